#include "buffers.h"

#include "error.h"

namespace lf_gpu {

using namespace lf;

lf_error* BufferTable::alloc(uint64_t bytes, Consumer consumer, bool writable, uint32_t* handle) {
  if (bytes == 0) return make_error(LF_INVALID, "a buffer of 0 bytes was asked for");
  auto buffer = std::make_shared<Buffer>();
  buffer->writable = writable;
  const char* purpose = consumer == Consumer::kFiles ? "a weight of a file" : "a buffer";
  std::string why;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!memory_.take(bytes, consumer, purpose, &buffer->block, &why)) {
    // What was freed already comes back when the queue gets there: nobody should fail for want of that.
    if (leaving_ == 0) return make_error(LF_OUT_OF_MEMORY, "%s", why.c_str());
    removed_.wait(lock);
  }
  uint32_t slot;
  if (free_.size() > kResting || (slots_.size() > kSlotMask && !free_.empty())) {
    slot = free_.front();
    free_.pop_front();
  } else if (slots_.size() <= kSlotMask) {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    memory_.give_back(buffer->block);
    return make_error(LF_OUT_OF_MEMORY, "%u buffers exist; there cannot be more", kSlotMask + 1);
  }
  slots_[slot].buffer = std::move(buffer);
  *handle = slots_[slot].generation << kSlotBits | slot;
  return nullptr;
}

const BufferTable::Slot* BufferTable::find(uint32_t handle) const {
  const uint32_t slot = handle & kSlotMask;
  const bool known = slot < slots_.size() && slots_[slot].generation == handle >> kSlotBits && slots_[slot].buffer;
  return known ? &slots_[slot] : nullptr;
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
  leaving_++;
  return true;
}

std::shared_ptr<Buffer> BufferTable::retire(uint32_t handle) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!find(handle)) return nullptr;
  Slot& slot = slots_[handle & kSlotMask];
  std::shared_ptr<Buffer> buffer = std::move(slot.buffer);
  slot.buffer.reset();
  // Generation 0 would make handle 0 possible.
  slot.generation = slot.generation % kGenerations + 1;
  free_.push_back(handle & kSlotMask);
  return buffer;
}

void BufferTable::release(const std::shared_ptr<Buffer>& buffer) {
  if (!buffer) return;
  std::lock_guard<std::mutex> lock(mutex_);
  memory_.give_back(buffer->block);
  leaving_--;
  removed_.notify_all();
}

void BufferTable::clear() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (Slot& slot : slots_) {
    if (slot.buffer) memory_.give_back(slot.buffer->block);
    slot.buffer.reset();
  }
}

}  // namespace lf_gpu
