// The team of threads: every index once, barriers that order memory, jobs in sequence, more threads than cores.
#include "pennyweight/team.h"

#include <chrono>
#include <numeric>

#include "tests.h"

namespace pennyweight::test {

namespace {

// Loops of all lengths in one job; what one loop wrote, the next one reads on other threads.
void check_loops(Report& report, int threads, int rounds) {
  Team team(threads);
  CHECK(report, team.size() == threads, "size");
  for (int round = 0; round < rounds; ++round) {
    const int count = round % 37;
    std::vector<int> first(count);
    std::vector<int> second(count);
    team.start([&](int thread) {
      team.for_each(thread, count, [&](int i) { first[i] += 1; });
      team.for_each(thread, count, [&](int i) { second[i] = 10 * first[count - 1 - i] + 1; });
    });
    team.wait();
    const std::string what = std::to_string(threads) + " threads, " + std::to_string(count) + " turns";
    CHECK(report, first == std::vector<int>(count, 1), what);
    CHECK(report, second == std::vector<int>(count, 11), what);
  }
}

// Uneven work is stolen: the sum is right whoever did it.
void check_uneven(Report& report) {
  Team team(3);
  std::vector<long> sums(64);
  team.start([&](int thread) {
    team.for_each(thread, 64, [&](int i) {
      for (int k = 0; k < (i < 4 ? 20000 : 10); ++k) sums[i] += k % 7;
    });
  });
  team.wait();
  for (int i = 5; i < 64; ++i) CHECK(report, sums[i] == sums[4], "turn " + std::to_string(i));
  CHECK(report, sums[0] == sums[3] && sums[0] > sums[4], "long turns");
}

// Work costs processor time on every thread, waiting for work costs next to none.
void check_cpu_seconds(Report& report) {
  Team team(2);
  std::vector<double> results(2);
  team.start([&](int thread) {
    for (int k = 0; k < 20'000'000; ++k) results[thread] += 1.0 / (1 + k);
  });
  team.wait();
  const double worked = team.cpu_seconds();
  CHECK(report, worked > 0.002, "work is counted");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(report, team.cpu_seconds() - worked < 0.05, "sleep is not");
}

// Teams end while idle, at once after a job, and with a job under way.
void check_end(Report& report) {
  {
    const Team idle(2);
  }
  std::atomic<int> ran{0};
  {
    Team busy(2);
    busy.start([&](int) { ran.fetch_add(1); });
  }
  CHECK(report, ran.load() == 2, "a started job ends before its team");
}

}  // namespace

void test_team(Report& report, const Options& options) {
  for (const int threads : {1, 2, 3, 5}) check_loops(report, threads, options.quick ? 40 : 400);
  check_uneven(report);
  check_end(report);
  check_cpu_seconds(report);
}

}  // namespace pennyweight::test
