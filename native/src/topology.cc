#include "pennyweight/topology.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#endif

namespace pennyweight {

namespace {

#if defined(__linux__)
// (package, core) of each processor in the affinity mask; processors the kernel says nothing of count as cores.
int physical_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) return 0;
  std::set<std::pair<int, int>> cores;
  int unknown = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &mask)) continue;
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::ifstream package_file(folder + "physical_package_id");
    std::ifstream core_file(folder + "core_id");
    int package = 0;
    int core = 0;
    if (package_file >> package && core_file >> core)
      cores.emplace(package, core);
    else
      ++unknown;
  }
  return static_cast<int>(cores.size()) + unknown;
}

// CPUs the cgroup's quota allows, 0 for no limit. https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max)
int quota_cores() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0)
    return std::max(1, static_cast<int>(std::floor(std::stod(quota) / period)));
  std::ifstream quota_v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream period_v1("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double microseconds = 0;
  if (quota_v1 >> microseconds && period_v1 >> period && microseconds > 0 && period > 0)
    return std::max(1, static_cast<int>(std::floor(microseconds / period)));
  return 0;
}
#endif

}  // namespace

int useful_threads() {
  int threads = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  if (const int cores = physical_cores(); cores > 0) threads = cores;
  if (const int quota = quota_cores(); quota > 0) threads = std::min(threads, quota);
#endif
  return std::max(1, threads);
}

}  // namespace pennyweight
