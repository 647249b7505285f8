// A fixed set of worker threads that run the tasks of one call at a time. Tasks are handed out by an atomic counter, so
// that a worker that was descheduled does not hold the others up.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "kernel.h"

namespace lf_cpu {

class ThreadPool {
 public:
  explicit ThreadPool(int workers) {
    for (int i = 1; i < workers; i++) threads_.emplace_back([this, i] { work(i); });
  }

  ~ThreadPool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int workers() const { return static_cast<int>(threads_.size()) + 1; }

  // Runs tasks 0..count-1; the calling thread is worker 0. One call at a time.
  void run(int64_t count, Task fn, void* user) {
    if (count <= 0) return;
    if (threads_.empty() || count == 1) {
      for (int64_t i = 0; i < count; i++) fn(user, i, 0);
      return;
    }
    fn_ = fn;
    user_ = user;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
    {
      // The lock orders the new generation with a worker that is about to sleep.
      std::lock_guard<std::mutex> lock(mutex_);
      generation_.fetch_add(1, std::memory_order_release);
    }
    if (sleeping_.load(std::memory_order_acquire) > 0) wake_.notify_all();
    drain(0);
    for (int spins = 0; busy_.load(std::memory_order_acquire) != 0; spins++) pause(spins);
  }

 private:
  static void pause(int spins) {
    if (spins % 64 == 63) {
      std::this_thread::yield();
      return;
    }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }

  void drain(int worker) {
    for (int64_t task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) fn_(user_, task, worker);
  }

  void work(int worker) {
    uint64_t seen = 0;
    for (;;) {
      // Kernels follow each other within microseconds: spin for a while before sleeping.
      int spins = 0;
      while (generation_.load(std::memory_order_acquire) == seen && spins < kSpins) pause(spins++);
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleeping_.fetch_add(1, std::memory_order_release);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
        sleeping_.fetch_sub(1, std::memory_order_release);
      }
      seen = generation_.load(std::memory_order_acquire);
      if (stop_) return;
      drain(worker);
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  static constexpr int kSpins = 2000;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<int> busy_{0};
  std::atomic<int64_t> next_{0};
  Task fn_ = nullptr;
  void* user_ = nullptr;
  int64_t count_ = 0;
  bool stop_ = false;
};

}  // namespace lf_cpu
