// A fixed set of worker threads that run the tasks of one call at a time.
//
// Tasks are handed out by an atomic counter, and a call waits only for the workers that took part in it: a worker that
// the system has put aside does not hold up the others.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <pthread.h>
#endif

#include "kernel.h"
#include "scheduling.h"

namespace lf_cpu {

// One turn of a loop that waits for another thread; gives the processor away now and then.
inline void spin_pause(int spins) {
  if (spins % 64 == 63) {
    std::this_thread::yield();
    return;
  }
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

class ThreadPool {
 public:
  // Throws std::system_error when the system grants no more threads.
  explicit ThreadPool(int workers, bool urgent = false) {
    try {
      for (int i = 1; i < workers; i++) {
        threads_.emplace_back([this, i, urgent] {
          if (urgent) run_soon();
          work(i);
        });
#if defined(__linux__)
        char name[32];
        snprintf(name, sizeof name, "lf-cpu-%d", i);
        pthread_setname_np(threads_.back().native_handle(), name);
#endif
      }
    } catch (...) {
      stop();
      throw;
    }
  }

  ~ThreadPool() { stop(); }

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
    // Sequentially consistent with a worker that is about to sleep: it sees the call, or we see it sleeping.
    state_.store(((state_.load(std::memory_order_relaxed) / kGeneration + 1) * kGeneration) | kOpen);
    wake(count - 1);
    drain(0);
    state_.fetch_and(~kOpen);
    for (int spins = 0; state_.load(std::memory_order_acquire) & kActive; spins++) spin_pause(spins);
  }

 private:
  // The state in one word: how many workers are in the call, whether more may join, and the number of the call.
  static constexpr uint64_t kActive = 0xffffffffu, kOpen = uint64_t{1} << 32, kGeneration = uint64_t{1} << 33;

  void stop() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
      state_.fetch_add(kGeneration);
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void wake(int64_t wanted) {
    const int sleeping = sleeping_.load();
    if (sleeping == 0) return;
    // Passing through the lock puts us after a worker that has found nothing to do but does not wait yet.
    { std::lock_guard<std::mutex> lock(mutex_); }
    if (wanted >= sleeping) {
      wake_.notify_all();
    } else {
      for (int64_t i = 0; i < wanted; i++) wake_.notify_one();
    }
  }

  void drain(int worker) {
    for (int64_t task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) fn_(user_, task, worker);
  }

  // Joins the call that is open, unless it is the one that this worker has seen.
  bool join(uint64_t* seen) {
    uint64_t state = state_.load();
    while (state / kGeneration != *seen) {
      if (!(state & kOpen)) {
        *seen = state / kGeneration;
        return false;
      }
      if (!state_.compare_exchange_weak(state, state + 1)) continue;
      *seen = state / kGeneration;
      return true;
    }
    return false;
  }

  void work(int worker) {
    uint64_t seen = 0;
    while (!stop_.load(std::memory_order_relaxed)) {
      if (join(&seen)) {
        drain(worker);
        state_.fetch_sub(1, std::memory_order_release);
      }
      // Kernels follow each other within microseconds: spin for a while before sleeping.
      auto idle = [&] { return state_.load() / kGeneration == seen; };
      for (int spins = 0; idle() && spins < kSpins; spins++) spin_pause(spins);
      if (!idle()) continue;
      std::unique_lock<std::mutex> lock(mutex_);
      sleeping_.fetch_add(1);
      wake_.wait(lock, [&] { return !idle(); });
      sleeping_.fetch_sub(1);
    }
  }

  static constexpr int kSpins = 2000;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  alignas(64) std::atomic<uint64_t> state_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
  Task fn_ = nullptr;
  void* user_ = nullptr;
  int64_t count_ = 0;
};

}  // namespace lf_cpu
