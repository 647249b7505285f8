#include "queue.h"

#include <algorithm>
#include <cstring>

#include "stream.h"

using namespace lf;
using namespace lf_gpu;

namespace {

// Larger copies to the host go through pinned memory piece by piece.
constexpr uint64_t kLargestPiece = 8 << 20, kMostInFlight = 64 << 20;

lf_error* check_range(const std::shared_ptr<Buffer>& buffer, uint32_t handle, uint64_t offset, uint64_t bytes) {
  if (!buffer) return make_error(LF_INVALID, "buffer %u does not exist (any more)", handle);
  if (offset > buffer->bytes() || bytes > buffer->bytes() - offset) {
    return make_error(LF_INVALID, "bytes %llu to %llu lie outside of a buffer of %llu", (unsigned long long)offset,
                      (unsigned long long)(offset + bytes), (unsigned long long)buffer->bytes());
  }
  return nullptr;
}

lf_error* fault_error(const Fault& fault, const std::vector<CommandRecorder::Issued>& issued) {
  const uint64_t element = uint64_t{fault.element_hi} << 32 | fault.element_lo;
  const auto found = std::find_if(issued.begin(), issued.end(), [&](const auto& i) { return i.serial == fault.claimed; });
  lf_error* error = nullptr;
  const auto at = (unsigned long long)element;
  if (fault.rule == kFaultOrder) {
    error = make_error(LF_INVALID, "operand %u: element %llu is %d, less than the one before", fault.operand, at, fault.value);
  } else if (fault.rule == kFaultLength) {
    error = make_error(LF_INVALID, "operand %u: element %llu is %d, further from the one before than the command says", fault.operand,
                       at, fault.value);
  } else {
    error = make_error(LF_INVALID, "operand %u: element %llu is %d, which is not within %d and %d", fault.operand, at, fault.value,
                       fault.low, fault.high);
  }
  if (error != exhausted_error() && found != issued.end()) error->command = found->at, error->op = found->op;
  return error;
}

bool has_collective(const std::vector<uint8_t>& stream) {
  for (uint64_t at = 0; at < stream.size();) {
    const auto* command = reinterpret_cast<const lf_command*>(stream.data() + at);
    if (command->op == LF_OP_ALL_REDUCE || command->op == LF_OP_ALL_GATHER) return true;
    at += command->bytes;
  }
  return false;
}

}  // namespace

void lf_event::State::reach(lf_error* error_of_queue) {
  std::lock_guard<std::mutex> lock(mutex);
  error = error_of_queue;
  reached = true;
  changed.notify_all();
}

lf_error* lf_event::State::wait() {
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [this] { return reached; });
  return error ? copy_error(*error) : nullptr;
}

lf_queue::lf_queue(lf_device* device) : device_(device), staging_(device->driver), recorder_(device), graphs_(device->driver) {}

lf_error* lf_queue::open() {
  Driver& driver = device_->driver;
  Driver::Status status = driver.make_current(device_->index);
  if (!status) status = driver.stream_create(&stream_);
  if (status) return make_error(LF_DEVICE, "a queue: %s", driver.describe(status).c_str());
  std::string why;
  if (!device_->memory.take(sizeof(Fault), Consumer::kWorkspace, "a queue", &fault_block_, &why)) {
    return make_error(LF_OUT_OF_MEMORY, "%s", why.c_str());
  }
  fault_ = static_cast<Fault*>(fault_block_.data);
  status = driver.set_bytes(fault_, 0, sizeof(Fault), stream_);
  if (status) return make_error(LF_DEVICE, "a queue: %s", driver.describe(status).c_str());
  recorder_.begin(stream_, fault_);
  std::lock_guard<std::mutex> lock(device_->queues_mutex);
  device_->queues.push_back(this);
  handing_ = std::thread([this] { hand_over(); });
  reporting_ = std::thread([this] { report(); });
  ready_ = true;
  return nullptr;
}

lf_queue::~lf_queue() {
  // Nobody shall wait for this device any more, nor this queue for others.
  device_->collectives.leave();
  {
    // From here on, frees no longer wait for this queue.
    std::lock_guard<std::mutex> lock(device_->queues_mutex);
    auto& queues = device_->queues;
    queues.erase(std::remove(queues.begin(), queues.end(), this), queues.end());
  }
  device_->driver.make_current(device_->index);
  if (handing_.joinable()) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    changed_.notify_one();
    handing_.join();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_reporting_ = true;
    }
    marked_.notify_one();
    if (reporting_.joinable()) reporting_.join();
  }
  if (stream_) {
    device_->driver.stream_synchronize(stream_);
    device_->driver.stream_destroy(stream_);
  }
  for (const auto& piece : pieces_) staging_.give_back(piece);
  staging_.release();
  if (fault_) device_->memory.give_back(fault_block_);
  free_error(error_);
}

void lf_queue::push(Work work, bool always) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    items_.push_back({std::move(work), always});
  }
  changed_.notify_one();
}

void lf_queue::hand_over() {
  device_->driver.make_current(device_->index);
  for (;;) {
    Item item;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !items_.empty(); });
      if (items_.empty()) return;
      item = std::move(items_.front());
      items_.pop_front();
    }
    if (reset_fault_.exchange(false)) device_->driver.set_bytes(fault_, 0, sizeof(Fault), stream_);
    if (error_ && !item.always) continue;
    lf_error* error = guarded(item.work);
    if (error_) {
      free_error(error);
    } else {
      error_ = error;
      if (error) device_->collectives.fail(error->message);
    }
  }
}

// Hands the device an event, and the reporting thread what to do when it is reached.
lf_error* lf_queue::mark(std::function<void(lf_error*)> report, bool reports_errors) {
  Driver& driver = device_->driver;
  Marker marker;
  marker.report = std::move(report);
  marker.copies = std::move(copies_);
  copies_.clear();
  marker.pieces = std::move(pieces_);
  pieces_.clear();
  Driver::Status status = 0;
  if (reports_errors) {
    marker.error = error_;
    error_ = nullptr;
    marker.issued = std::make_shared<std::vector<CommandRecorder::Issued>>(recorder_.take_issued());
    Staging::Piece piece;
    status = staging_.take(sizeof(Fault), &piece);
    if (!status) {
      marker.fault = reinterpret_cast<Fault*>(piece.data);
      marker.fault->claimed = 0;
      marker.pieces.push_back(piece);
      status = driver.copy_to_host(piece.data, fault_, sizeof(Fault), stream_);
    }
  }
  const auto outgrown = recorder_.take_outgrown();
  if (!outgrown.empty()) {
    marker.copies.push_back([this, outgrown] {
      for (const auto& block : outgrown) device_->memory.give_back(block);
    });
  }
  if (!status) status = driver.event_create(&marker.event);
  if (!status) status = driver.event_record(marker.event, stream_);
  if (status && !marker.error) marker.error = make_error(LF_DEVICE, "%s", driver.describe(status).c_str());
  {
    std::lock_guard<std::mutex> lock(mutex_);
    markers_.push_back(std::move(marker));
  }
  marked_.notify_one();
  return nullptr;
}

lf_error* lf_queue::error_of(Marker& marker, Driver::Status status) {
  lf_error* error = marker.error;
  if (status) {
    free_error(error);
    return make_error(LF_DEVICE, "the device failed: %s", device_->driver.describe(status).c_str());
  }
  if (marker.fault && marker.fault->claimed) {
    // It came before whatever was found while commands were handed over.
    free_error(error);
    reset_fault_ = true;
    return fault_error(*marker.fault, *marker.issued);
  }
  return error;
}

void lf_queue::report() {
  device_->driver.make_current(device_->index);
  for (;;) {
    Marker marker;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      marked_.wait(lock, [this] { return stop_reporting_ || !markers_.empty(); });
      if (markers_.empty()) return;
      marker = std::move(markers_.front());
      markers_.pop_front();
    }
    Driver::Status status = 0;
    if (marker.event) {
      status = device_->driver.event_synchronize(marker.event);
      device_->driver.event_destroy(marker.event);
    }
    for (const auto& copy : marker.copies) copy();
    lf_error* error = error_of(marker, status);
    for (const auto& piece : marker.pieces) staging_.give_back(piece);
    marker.report(error);
  }
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
  // Timing each command needs them one by one.
  // Neither what several devices do together: their libraries' own rules for it differ.
  const uint64_t recognised = device_->profile.enabled() || has_collective(stream) ? 0 : graphs_.recognise(stream);
  if (!recognised || !graphs_.begin(stream_)) return run_commands(stream);
  recorder_.record_graph(true);
  lf_error* error = run_commands(stream);
  recorder_.record_graph(false);
  if (!graphs_.launch(recognised, stream_)) return error;
  // Nothing of it reached the device, the checks of indices among it.
  free_error(error);
  recorder_.forget_checks();
  return run_commands(stream);
}

lf_error* lf_queue::run_commands(const std::vector<uint8_t>& stream) {
  for (uint64_t at = 0; at < stream.size();) {
    const auto* command = reinterpret_cast<const lf_command*>(stream.data() + at);
    if (lf_error* error = recorder_.run(command, at)) return error;
    at += command->bytes;
  }
  return nullptr;
}

lf_error* lf_queue::write(uint32_t handle, uint64_t offset, const void* source, uint64_t bytes) {
  if (lf_error* error = check_range(device_->buffers.get_owned(handle), handle, offset, bytes)) return error;
  push(
      [this, handle, offset, source, bytes]() -> lf_error* {
        const auto buffer = device_->buffers.get(handle);
        if (lf_error* error = check_range(buffer, handle, offset, bytes)) return error;
        if (!buffer->writable) return make_error(LF_INVALID, "a file's buffer cannot be written");
        buffer->version++;
        Driver& driver = device_->driver;
        for (uint64_t done = 0; done < bytes;) {
          const uint64_t count = std::min(bytes - done, kLargestPiece);
          Staging::Piece piece;
          Driver::Status status = staging_.take(count, &piece);
          if (status) return make_error(LF_DEVICE, "a copy to the device: %s", driver.describe(status).c_str());
          memcpy(piece.data, static_cast<const uint8_t*>(source) + done, count);
          status = driver.copy_to_device(buffer->data() + offset + done, piece.data, count, stream_);
          pieces_.push_back(piece);
          if (status) return make_error(LF_DEVICE, "a copy to the device: %s", driver.describe(status).c_str());
          done += count;
          uint64_t in_flight = 0;
          for (const auto& p : pieces_) in_flight += p.bytes;
          if (in_flight > kMostInFlight) mark([](lf_error*) {}, false);
        }
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
        Driver& driver = device_->driver;
        for (uint64_t done = 0; done < bytes;) {
          const uint64_t count = std::min(bytes - done, kLargestPiece);
          Staging::Piece piece;
          Driver::Status status = staging_.take(count, &piece);
          if (!status) {
            status = driver.copy_to_host(piece.data, buffer->data() + offset + done, count, stream_);
            pieces_.push_back(piece);
          }
          if (status) return make_error(LF_DEVICE, "a copy to the host: %s", driver.describe(status).c_str());
          copies_.push_back([=] { memcpy(static_cast<uint8_t*>(destination) + done, piece.data, count); });
          done += count;
          uint64_t in_flight = 0;
          for (const auto& p : pieces_) in_flight += p.bytes;
          if (in_flight > kMostInFlight) mark([](lf_error*) {}, false);
        }
        return nullptr;
      },
      false);
  return nullptr;
}

void lf_queue::flush(lf_completion done, void* user) {
  push([this, done, user] { return mark([done, user](lf_error* error) { done(user, error); }, true); }, true);
}

void lf_queue::record(lf_event* event) {
  push([this, state = event->state] { return mark([state](lf_error* error) { state->reach(error); }, true); }, true);
}

void lf_queue::wait(const lf_event* event) {
  push([state = event->state] { return state->wait(); }, true);
}

void lf_queue::then(std::function<void()> now, std::function<void()> later) {
  push(
      [this, now = std::move(now), later = std::move(later)] {
        now();
        return mark([later](lf_error* error) {
          free_error(error);
          later();
        }, false);
      },
      true);
}
