#include "queue.h"

#include <algorithm>
#include <cstring>

#include "scheduling.h"
#include "stream.h"

using namespace lf_cpu;

namespace {
constexpr int kSpins = 2000;
}

lf_event::State::~State() { free_error(error); }

lf_error* lf_event::State::wait() {
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [this] { return reached; });
  return error ? copy_error(*error) : nullptr;
}

lf_queue::lf_queue(lf_device* device) : device_(device) {
  std::lock_guard<std::mutex> lock(device_->queues_mutex);
  device_->queues.push_back(this);
  try {
    thread_ = std::thread([this] { loop(); });
  } catch (...) {
    device_->queues.pop_back();
    throw;
  }
}

lf_queue::~lf_queue() {
  // Nobody shall wait for this device any more, nor this queue for others.
  device_->leave_groups();
  {
    // From here on, frees no longer wait for this queue.
    std::lock_guard<std::mutex> lock(device_->queues_mutex);
    auto& queues = device_->queues;
    queues.erase(std::remove(queues.begin(), queues.end(), this), queues.end());
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    idle_.store(false, std::memory_order_release);
  }
  changed_.notify_one();
  thread_.join();
  free_error(error_);
}

void lf_queue::push(Work work, bool always) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    items_.push_back({std::move(work), always});
    idle_.store(false, std::memory_order_release);
  }
  changed_.notify_one();
}

bool lf_queue::next(Item* item) {
  // Streams follow each other closely: waking this thread costs the caller ten times what handing it work does.
  for (int spins = 0; idle_.load(std::memory_order_acquire) && spins < kSpins; spins++) spin_pause(spins);
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return stop_ || !items_.empty(); });
  if (items_.empty()) return false;
  *item = std::move(items_.front());
  items_.pop_front();
  idle_.store(items_.empty(), std::memory_order_relaxed);
  return true;
}

void lf_queue::loop() {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), "lf-cpu-queue");
#endif
  if (device_->urgent) run_soon();
  for (Item item; next(&item);) {
    if (error_ && !item.always) continue;
    lf_error* error = guarded(item.work);
    if (error_) {
      free_error(error);
    } else {
      error_ = error;
      if (error) device_->fail_groups(error->message);
    }
  }
}

lf_error* lf_queue::take_error() {
  lf_error* error = error_;
  error_ = nullptr;
  return error;
}

lf_error* lf_queue::submit(const void* stream, uint64_t bytes) {
  const auto* first = static_cast<const uint8_t*>(stream);
  std::vector<uint8_t> copy(first, first + bytes);
  for (uint64_t at = 0; at < bytes;) {
    char reason[256];
    const lf_command* command = check_command(copy.data(), bytes, at, reason, sizeof reason);
    if (!command) {
      lf_error* error = make_error(LF_INVALID, "at byte %llu of the stream: %s", (unsigned long long)at, reason);
      if (error != exhausted_error()) error->command = at;
      return error;
    }
    at += command->bytes;
  }
  push([this, stream = std::move(copy)] { return run_stream(stream); }, false);
  return nullptr;
}

lf_error* lf_queue::run_stream(const std::vector<uint8_t>& stream) {
  for (uint64_t at = 0; at < stream.size();) {
    if (lf_error* error = device_->run(stream.data(), stream.size(), &at)) return error;
  }
  return nullptr;
}

namespace {

lf_error* check_range(const std::shared_ptr<Buffer>& buffer, uint32_t handle, uint64_t offset, uint64_t bytes) {
  if (!buffer) return make_error(LF_INVALID, "buffer %u does not exist (any more)", handle);
  if (offset > buffer->bytes || bytes > buffer->bytes - offset) {
    return make_error(LF_INVALID, "bytes %llu to %llu lie outside of a buffer of %llu", (unsigned long long)offset,
                      (unsigned long long)(offset + bytes), (unsigned long long)buffer->bytes);
  }
  return nullptr;
}

}  // namespace

lf_error* lf_queue::write(uint32_t handle, uint64_t offset, const void* source, uint64_t bytes) {
  if (lf_error* error = check_range(device_->buffers.get_owned(handle), handle, offset, bytes)) return error;
  push(
      [this, handle, offset, source, bytes]() -> lf_error* {
        const auto buffer = device_->buffers.get(handle);
        if (lf_error* error = check_range(buffer, handle, offset, bytes)) return error;
        if (!buffer->writable) return make_error(LF_INVALID, "a file mapped for reading cannot be written");
        memcpy(buffer->data + offset, source, bytes);
        return nullptr;
      },
      false);
  return nullptr;
}

lf_error* lf_queue::read(uint32_t handle, uint64_t offset, void* destination, uint64_t bytes) {
  if (lf_error* error = check_range(device_->buffers.get_owned(handle), handle, offset, bytes)) return error;
  push(
      [this, handle, offset, destination, bytes]() -> lf_error* {
        const auto buffer = device_->buffers.get(handle);
        if (lf_error* error = check_range(buffer, handle, offset, bytes)) return error;
        memcpy(destination, buffer->data + offset, bytes);
        if (!buffer->mapping.damaged()) return nullptr;
        return make_error(LF_IO, "%s cannot be read any more: it was made shorter while it was in use, or its storage failed",
                          buffer->mapping.path().c_str());
      },
      false);
  return nullptr;
}

void lf_queue::flush(lf_completion done, void* user) {
  push(
      [this, done, user]() -> lf_error* {
        done(user, take_error());
        return nullptr;
      },
      true);
}

void lf_queue::record(lf_event* event) {
  push(
      [this, state = event->state]() -> lf_error* {
        std::lock_guard<std::mutex> lock(state->mutex);
        state->error = take_error();
        state->reached = true;
        state->changed.notify_all();
        return nullptr;
      },
      true);
}

void lf_queue::wait(const lf_event* event) {
  push([state = event->state] { return state->wait(); }, true);
}

void lf_queue::then(std::function<void()> action) {
  push(
      [action = std::move(action)]() -> lf_error* {
        action();
        return nullptr;
      },
      true);
}
