// An in-order queue: a thread that checks commands and hands them to the device's stream, and one that waits for the device
// and reports. The first never waits for the second, so that the device always has work.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "device.h"
#include "error.h"
#include "graphs.h"
#include "recorder.h"
#include "staging.h"

// Reached when the device gets there; carries the queue's error, if it has one.
struct lf_event {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool reached = false;
    lf_error* error = nullptr;
    ~State() { lf::free_error(error); }

    void reach(lf_error* error_of_queue);
    // Waits until the event is reached; returns a copy of its error, which the caller owns, or null.
    lf_error* wait();
  };
  std::shared_ptr<State> state = std::make_shared<State>();
};

struct lf_queue {
  explicit lf_queue(lf_device* device);
  ~lf_queue();  // waits for everything given to it

  lf_error* open();
  lf_error* submit(const void* stream, uint64_t bytes);
  lf_error* write(uint32_t handle, uint64_t offset, const void* source, uint64_t bytes);
  lf_error* read(uint32_t handle, uint64_t offset, void* destination, uint64_t bytes);
  void flush(lf_completion done, void* user);
  void record(lf_event* event);
  void wait(const lf_event* event);
  // Runs `now` when what was given before has been handed to the device, and `later` when the device is done with it,
  // whether or not that failed.
  void then(std::function<void()> now, std::function<void()> later);

 private:
  using Work = std::function<lf_error*()>;
  struct Item {
    Work work;
    bool always;  // also after a failure
  };
  // What happens when the device gets to an event. `report` receives the queue's error, which it then owns.
  struct Marker {
    lf_gpu::Event event = nullptr;
    lf_gpu::Fault* fault = nullptr;  // as it was then; null where nothing is reported
    lf_error* error = nullptr;       // found while commands were handed over
    std::vector<lf_gpu::Staging::Piece> pieces;
    std::vector<std::function<void()>> copies;  // out of the pieces
    std::function<void(lf_error*)> report;
    std::shared_ptr<std::vector<lf_gpu::CommandRecorder::Issued>> issued;
  };

  void push(Work work, bool always);
  void hand_over();
  void report();
  lf_error* mark(std::function<void(lf_error*)> report, bool reports_errors);
  lf_error* error_of(Marker& marker, lf_gpu::Driver::Status status);
  lf_error* run_stream(const std::vector<uint8_t>& stream);
  lf_error* run_commands(const std::vector<uint8_t>& stream);

  lf_device* device_;
  lf_gpu::Stream stream_ = nullptr;
  lf_gpu::Fault* fault_ = nullptr;  // on the device
  lf_gpu::DeviceMemory::Block fault_block_;
  lf_gpu::Staging staging_;
  lf_gpu::CommandRecorder recorder_;
  lf_gpu::Graphs graphs_;
  bool ready_ = false;

  std::mutex mutex_;
  std::condition_variable changed_, marked_;
  std::deque<Item> items_;
  std::deque<Marker> markers_;
  bool stop_ = false, stop_reporting_ = false;
  std::atomic<bool> reset_fault_{false};

  // Of the thread that hands over.
  lf_error* error_ = nullptr;
  std::vector<lf_gpu::Staging::Piece> pieces_;
  std::vector<std::function<void()>> copies_;

  std::thread handing_, reporting_;
};
