// An in-order queue with a thread of its own.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "device.h"

// Reached when the queue that recorded it gets there; carries that queue's error, if it has one.
struct lf_event {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool reached = false;
    lf_error* error = nullptr;
    ~State();

    // Waits until the event is reached; returns a copy of its error, which the caller owns, or null.
    lf_error* wait();
  };
  std::shared_ptr<State> state = std::make_shared<State>();
};

struct lf_queue {
  explicit lf_queue(lf_device* device);
  ~lf_queue();  // waits for everything given to it

  lf_error* submit(const void* stream, uint64_t bytes);
  lf_error* write(uint32_t handle, uint64_t offset, const void* source, uint64_t bytes);
  lf_error* read(uint32_t handle, uint64_t offset, void* destination, uint64_t bytes);
  void flush(lf_completion done, void* user);
  void record(lf_event* event);
  void wait(const lf_event* event);
  // Runs `action` when the queue gets there, whether or not something failed before it.
  void then(std::function<void()> action);

 private:
  // One piece of queued work: returns an error, or null.
  using Work = std::function<lf_error*()>;
  struct Item {
    Work work;
    bool always;  // also after a failure
  };

  void push(Work work, bool always);
  bool next(Item* item);
  void loop();
  lf_error* run_stream(const std::vector<uint8_t>& stream);
  // The error that waits to be delivered, which the caller then owns.
  lf_error* take_error();

  lf_device* device_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  std::atomic<bool> idle_{false};  // the queue's thread found nothing to do; cleared when there is something
  bool stop_ = false;
  lf_error* error_ = nullptr;  // touched by the queue's thread only
  std::thread thread_;
};
