#include "queue.h"

#include <algorithm>
#include <cstring>

#include "stream.h"

using namespace lf_cpu;

lf_queue::lf_queue(lf_device* device) : device_(device) {
  std::lock_guard<std::mutex> lock(device_->queues_mutex);
  device_->queues.push_back(this);
  thread_ = std::thread([this] { loop(); });
}

lf_queue::~lf_queue() {
  {
    std::lock_guard<std::mutex> lock(device_->queues_mutex);
    auto& queues = device_->queues;
    queues.erase(std::remove(queues.begin(), queues.end(), this), queues.end());
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
  thread_.join();
  delete error_;
}

void lf_queue::push(Work work, bool always) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    items_.push_back({std::move(work), always});
  }
  changed_.notify_one();
}

void lf_queue::loop() {
  for (;;) {
    Item item;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !items_.empty(); });
      if (items_.empty()) return;
      item = std::move(items_.front());
      items_.pop_front();
    }
    if (error_ && !item.always) continue;
    lf_error* error = item.work();
    if (!error) continue;
    if (error_) {
      delete error;
    } else {
      error_ = error;
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
  char reason[256];
  for (uint64_t at = 0; at < bytes;) {
    const lf_command* command = check_command(copy.data(), bytes, at, reason, sizeof reason);
    if (!command) {
      lf_error* error = make_error(LF_INVALID, "at byte %llu: %s", (unsigned long long)at, reason);
      error->command = at;
      return error;
    }
    at += command->bytes;
  }
  push([this, stream = std::move(copy)] { return run_stream(stream); }, false);
  return nullptr;
}

lf_error* lf_queue::run_stream(const std::vector<uint8_t>& stream) {
  for (uint64_t at = 0; at < stream.size();) {
    const auto* command = reinterpret_cast<const lf_command*>(stream.data() + at);
    if (lf_error* error = device_->run(command, at)) return error;
    at += command->bytes;
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
  if (lf_error* error = check_range(device_->buffers.get(handle), handle, offset, bytes)) return error;
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
  if (lf_error* error = check_range(device_->buffers.get(handle), handle, offset, bytes)) return error;
  push(
      [this, handle, offset, destination, bytes]() -> lf_error* {
        const auto buffer = device_->buffers.get(handle);
        if (lf_error* error = check_range(buffer, handle, offset, bytes)) return error;
        memcpy(destination, buffer->data + offset, bytes);
        if (!mapping_damaged(buffer->mapping)) return nullptr;
        return make_error(LF_IO, "%s became shorter while it was in use", buffer->mapping.path.c_str());
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
        lf_error* error = take_error();
        std::lock_guard<std::mutex> lock(state->mutex);
        state->reached = true;
        if (error) {
          state->status = error->status;
          state->message = error->message;
          delete error;
        }
        state->changed.notify_all();
        return nullptr;
      },
      true);
}

void lf_queue::wait(const lf_event* event) {
  push(
      [state = event->state]() -> lf_error* {
        std::unique_lock<std::mutex> lock(state->mutex);
        state->changed.wait(lock, [&] { return state->reached; });
        return state->status == LF_OK ? nullptr : make_error(state->status, "%s", state->message.c_str());
      },
      true);
}

void lf_queue::then(std::function<void()> action) {
  push(
      [action = std::move(action)]() -> lf_error* {
        action();
        return nullptr;
      },
      true);
}
