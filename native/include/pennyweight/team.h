// A team of threads that run one function together (SPMD) and share its loops.
//
// Waiting is bounded spinning, then a futex: an idle team burns nothing, and on an oversubscribed machine a waiter
// gives its core away after microseconds. A waiter that had to sleep spins less the next time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace pennyweight {

class Team {
 public:
  // Called by every thread with its index; must not throw.
  using Job = std::function<void(int thread)>;

  // Throws std::invalid_argument, or std::system_error if the system gives no more threads.
  explicit Team(int num_threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return static_cast<int>(threads_.size()); }
  // Processor time of all threads since they began, their short waits included. From any thread.
  double cpu_seconds() const;

  // Starts `job` on all threads and returns at once; the previous job must have ended.
  void start(Job job);
  // Waits until the started job has ended on all threads.
  void wait();

  // Inside a job, called by all threads alike: -------------------------------------------------------------------
  // Runs f(i) once for each i of 0..count-1, shared out in contiguous runs, then stolen; ends with a barrier.
  template <class F>
  void for_each(int thread, int count, F&& f) {
    const int n = size();
    for (int turn = 0; turn < n; ++turn) {
      const int victim = thread + turn < n ? thread + turn : thread + turn - n;
      const int begin = static_cast<int>(static_cast<int64_t>(count) * victim / n);
      const int length = static_cast<int>(static_cast<int64_t>(count) * (victim + 1) / n) - begin;
      std::atomic<int>& next = cursors_[victim].next;
      if (next.load(std::memory_order_relaxed) >= length) continue;
      for (int i = next.fetch_add(1, std::memory_order_relaxed); i < length;
           i = next.fetch_add(1, std::memory_order_relaxed))
        f(begin + i);
    }
    barrier(thread);
  }
  void barrier(int thread);

 private:
  struct alignas(64) Cursor {
    std::atomic<int> next{0};
    int spins = 0;  // budget of this thread's waits
  };

  void work(int thread);
  void stop();
  void await(int thread, std::atomic<uint32_t>& word, uint32_t old);

  std::vector<Cursor> cursors_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<uint32_t> started_{0};
  alignas(64) std::atomic<uint32_t> finished_{0};
  std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
  Job job_;
  std::vector<std::thread> threads_;
};

}  // namespace pennyweight
