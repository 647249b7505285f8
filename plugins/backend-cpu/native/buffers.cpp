#include "buffers.h"

#include <algorithm>

#include "error.h"

namespace lf_cpu {

using namespace lf;

lf_error* BufferTable::alloc(uint64_t bytes, uint32_t* handle) {
  if (bytes == 0) return make_error(LF_INVALID, "a buffer of 0 bytes was asked for");
  auto buffer = std::make_shared<Buffer>();
  std::unique_lock<std::mutex> lock(mutex_);
  auto fits = [&] { return !limit_ || (bytes <= limit_ && allocated_ <= limit_ - bytes); };
  uint64_t left = UINT64_MAX;
  bool taken = false;
  for (;;) {
    if (fits() && (taken = buffer->memory.take(bytes, &left))) break;
    // What was freed already comes back when the queue gets there: nobody should fail for want of that.
    if (leaving_ == 0) break;
    removed_.wait(lock);
  }
  if (!fits()) {
    return make_error(LF_OUT_OF_MEMORY, "%llu bytes were asked for with %llu in use; the limit is %llu",
                      (unsigned long long)bytes, (unsigned long long)allocated_, (unsigned long long)limit_);
  }
  if (!taken) {
    if (left == UINT64_MAX) return make_error(LF_OUT_OF_MEMORY, "the system refused %llu bytes", (unsigned long long)bytes);
    return make_error(LF_OUT_OF_MEMORY, "%llu bytes were asked for; this machine has %llu left", (unsigned long long)bytes,
                      (unsigned long long)left);
  }
  buffer->data = buffer->memory.data();
  buffer->bytes = bytes;
  if (lf_error* error = place(std::move(buffer), handle)) return error;
  allocated_ += bytes;
  peak_ = std::max(peak_, allocated_);
  return nullptr;
}

lf_error* BufferTable::map(const char* path, uint64_t offset, uint64_t bytes, uint32_t* handle) {
  auto buffer = std::make_shared<Buffer>();
  if (lf_error* error = map_file(path, offset, bytes, &buffer->mapping)) return error;
  buffer->data = buffer->mapping.data();
  buffer->bytes = bytes;
  buffer->writable = false;
  std::lock_guard<std::mutex> lock(mutex_);
  if (lf_error* error = place(std::move(buffer), handle)) return error;
  mapped_ += bytes;
  return nullptr;
}

lf_error* BufferTable::place(std::shared_ptr<Buffer> buffer, uint32_t* handle) {
  uint32_t slot;
  if (free_.size() > kRestingSlots || (slots_.size() > kSlotMask && !free_.empty())) {
    slot = free_.front();
    free_.pop_front();
  } else if (slots_.size() <= kSlotMask) {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    return make_error(LF_OUT_OF_MEMORY, "%u buffers exist; there cannot be more", kSlotMask + 1);
  }
  slots_[slot].buffer = std::move(buffer);
  *handle = (slots_[slot].generation << kSlotBits) | slot;
  return nullptr;
}

const BufferTable::Slot* BufferTable::find(uint32_t handle) const {
  const uint32_t slot = handle & kSlotMask;
  if (slot >= slots_.size() || slots_[slot].generation != handle >> kSlotBits || !slots_[slot].buffer) return nullptr;
  return &slots_[slot];
}

std::shared_ptr<Buffer> BufferTable::get(uint32_t handle) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const Slot* slot = find(handle);
  return slot ? slot->buffer : nullptr;
}

std::shared_ptr<Buffer> BufferTable::get_owned(uint32_t handle) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const Slot* slot = find(handle);
  return slot && !slot->buffer->freed ? slot->buffer : nullptr;
}

bool BufferTable::begin_free(uint32_t handle) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Slot* slot = find(handle);
  if (!slot || slot->buffer->freed) return false;
  slot->buffer->freed = true;
  if (slot->buffer->writable) leaving_ += slot->buffer->bytes;
  return true;
}

void BufferTable::remove(uint32_t handle) {
  std::shared_ptr<Buffer> buffer;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!find(handle)) return;
    Slot& slot = slots_[handle & kSlotMask];
    buffer = std::move(slot.buffer);
    // Generation 0 would make handle 0 possible.
    slot.generation = slot.generation % ((1u << (32 - kSlotBits)) - 1) + 1;
    free_.push_back(handle & kSlotMask);
    if (!buffer->writable) mapped_ -= buffer->bytes;
  }
  const uint64_t bytes = buffer->writable ? buffer->bytes : 0;
  buffer.reset();
  {
    // Only now is the memory back.
    std::lock_guard<std::mutex> lock(mutex_);
    allocated_ -= bytes;
    leaving_ -= bytes;
  }
  removed_.notify_all();
}

uint64_t BufferTable::allocated() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return allocated_;
}

uint64_t BufferTable::left() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!limit_) return UINT64_MAX;
  return limit_ > allocated_ ? limit_ - allocated_ : 0;
}
uint64_t BufferTable::peak() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return peak_;
}
uint64_t BufferTable::mapped() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return mapped_;
}

}  // namespace lf_cpu
