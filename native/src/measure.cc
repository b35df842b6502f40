#include "pennyweight/measure.h"

#include <chrono>
#include <vector>

#include "pennyweight/isa.h"
#include "pennyweight/memory.h"
#include "pennyweight/team.h"

namespace pennyweight {

namespace {

using Clock = std::chrono::steady_clock;

// Best of five rounds: what the machine can do, not what its neighbours leave.
template <class F>
double best_seconds(Team& team, F&& work) {
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    const auto start = Clock::now();
    team.start([&](int thread) { work(thread); });
    team.wait();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (seconds < best) best = seconds;
  }
  return best;
}

}  // namespace

double measure_bandwidth(int num_threads) {
  constexpr size_t kBytes = size_t{192} << 20;
  const Buffer<uint64_t> data = allocate<uint64_t>(kBytes / 8);
  for (size_t i = 0; i < kBytes / 8; i += 64) data[i] = i;
  Team team(num_threads);
  std::vector<uint64_t> sums(static_cast<size_t>(num_threads) * 8);
  const double seconds = best_seconds(team, [&](int thread) {
    const size_t words = kBytes / 8;
    const size_t end = words * (thread + 1) / num_threads;
    uint64_t a = 0;
    uint64_t b = 0;
    uint64_t c = 0;
    uint64_t d = 0;
    for (size_t i = words * thread / num_threads; i + 32 <= end; i += 32) {
      __builtin_prefetch(&data[i] + 256);
      __builtin_prefetch(&data[i] + 264);
      __builtin_prefetch(&data[i] + 272);
      __builtin_prefetch(&data[i] + 280);
      for (size_t j = 0; j < 32; j += 4) {
        a += data[i + j];
        b ^= data[i + j + 1];
        c += data[i + j + 2];
        d ^= data[i + j + 3];
      }
    }
    sums[thread * 8] = a + b + c + d;
  });
  return sums[0] == 1 ? 0 : kBytes / seconds;
}

double measure_int8_peak(int num_threads) {
  const KernelTable& kernels = active_kernels();
  Team team(num_threads);
  std::vector<double> work(num_threads);
  const double seconds = best_seconds(team, [&](int thread) { work[thread] = kernels.peak(2'000'000); });
  return work[0] * num_threads / seconds;
}

}  // namespace pennyweight
