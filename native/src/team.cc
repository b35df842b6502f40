#include "pennyweight/team.h"

#if defined(__APPLE__)
#include <mach/mach.h>
#include <pthread.h>
#elif defined(_MSC_VER)
#include <windows.h>
#else
#include <pthread.h>
#include <time.h>
#endif

#include <stdexcept>
#include <string>

namespace pennyweight {

namespace {

// About 50 microseconds of pauses at first: longer than any barrier of a step on an unshared machine.
constexpr int kMaxSpins = 2000;
constexpr int kMinSpins = 50;
constexpr int kMaxThreads = 1024;

int checked(int num_threads) {
  if (num_threads < 1 || num_threads > kMaxThreads)
    throw std::invalid_argument("threads must be 1 to " + std::to_string(kMaxThreads) + ", got " +
                                std::to_string(num_threads));
  return num_threads;
}

// Processor time of a thread that lives as long as its handle; 0 where the system does not say.
double thread_seconds(std::thread& thread) {
#if defined(__APPLE__)
  thread_basic_info info{};
  mach_msg_type_number_t count = THREAD_BASIC_INFO_COUNT;
  const mach_port_t port = pthread_mach_thread_np(thread.native_handle());
  if (thread_info(port, THREAD_BASIC_INFO, reinterpret_cast<thread_info_t>(&info), &count) != KERN_SUCCESS) return 0;
  return info.user_time.seconds + info.system_time.seconds +
         1e-6 * (info.user_time.microseconds + info.system_time.microseconds);
#elif defined(_MSC_VER)
  FILETIME begun, ended, kernel, user;
  if (!GetThreadTimes(thread.native_handle(), &begun, &ended, &kernel, &user)) return 0;
  return 1e-7 *
         (4294967296.0 * (kernel.dwHighDateTime + user.dwHighDateTime) + kernel.dwLowDateTime + user.dwLowDateTime);
#else
  clockid_t clock;
  timespec spent;
  if (pthread_getcpuclockid(thread.native_handle(), &clock) != 0 || clock_gettime(clock, &spent) != 0) return 0;
  return static_cast<double>(spent.tv_sec) + 1e-9 * static_cast<double>(spent.tv_nsec);
#endif
}

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

}  // namespace

Team::Team(int num_threads) : cursors_(checked(num_threads)) {
  for (Cursor& cursor : cursors_) cursor.spins = kMaxSpins;
  threads_.reserve(num_threads);
  try {
    for (int i = 0; i < num_threads; ++i) threads_.emplace_back([this, i] { work(i); });
  } catch (...) {  // the system gives no more threads
    stop();
    throw;
  }
}

Team::~Team() {
  wait();
  stop();
}

void Team::stop() {
  stop_.store(true, std::memory_order_relaxed);
  started_.fetch_add(1, std::memory_order_release);
  started_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

double Team::cpu_seconds() const {
  double seconds = 0;
  for (const std::thread& thread : threads_) seconds += thread_seconds(const_cast<std::thread&>(thread));
  return seconds;
}

void Team::start(Job job) {
  job_ = std::move(job);
  running_.store(size(), std::memory_order_relaxed);
  started_.fetch_add(1, std::memory_order_release);
  started_.notify_all();
}

void Team::wait() {
  const uint32_t target = started_.load(std::memory_order_relaxed);
  for (uint32_t done = finished_.load(std::memory_order_acquire); done != target;
       done = finished_.load(std::memory_order_acquire))
    finished_.wait(done, std::memory_order_acquire);
}

void Team::await(int thread, std::atomic<uint32_t>& word, uint32_t old) {
  int& spins = cursors_[thread].spins;
  for (int i = 0; i < spins; ++i) {
    if (word.load(std::memory_order_acquire) != old) {
      if (spins < kMaxSpins) spins += 1 + spins / 16;
      return;
    }
    pause();
  }
  if (spins > kMinSpins) spins /= 2;
  while (word.load(std::memory_order_acquire) == old) word.wait(old, std::memory_order_acquire);
}

void Team::barrier(int thread) {
  const uint32_t old = generation_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < size()) {
    await(thread, generation_, old);
    return;
  }
  for (Cursor& cursor : cursors_) cursor.next.store(0, std::memory_order_relaxed);
  arrived_.store(0, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
}

void Team::work(int thread) {
  uint32_t seen = 0;
  for (;;) {
    await(thread, started_, seen);
    ++seen;
    if (stop_.load(std::memory_order_relaxed)) return;
    job_(thread);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      finished_.fetch_add(1, std::memory_order_release);
      finished_.notify_all();
    }
  }
}

}  // namespace pennyweight
