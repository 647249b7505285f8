#include "buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "error.h"
#include "system_memory.h"

namespace lf_cpu {
namespace {
constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
// Asking the system how much memory is left costs a file read: only worth it for what could matter.
constexpr uint64_t kCheckedAllocation = uint64_t{16} << 20;
}  // namespace

Buffer::~Buffer() {
  if (mapping.base) {
    unmap_file(mapping);
  } else {
    free(data);
  }
}

lf_error* BufferTable::alloc(uint64_t bytes, uint32_t* handle) {
  if (bytes == 0) return make_error(LF_INVALID, "a buffer of 0 bytes was asked for");
  std::lock_guard<std::mutex> lock(mutex_);
  if (limit_ && (bytes > limit_ || allocated_ > limit_ - bytes)) {
    return make_error(LF_OUT_OF_MEMORY, "%llu bytes were asked for with %llu in use; the limit is %llu",
                      (unsigned long long)bytes, (unsigned long long)allocated_, (unsigned long long)limit_);
  }
  if (bytes >= kCheckedAllocation) {
    // The system would hand out the addresses and end the process later, when the pages are touched.
    const uint64_t available = system_memory().available;
    if (bytes > available) {
      return make_error(LF_OUT_OF_MEMORY, "%llu bytes were asked for; this machine has %llu free",
                        (unsigned long long)bytes, (unsigned long long)available);
    }
  }
  const size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  const size_t rounded = (static_cast<size_t>(bytes) + alignment - 1) / alignment * alignment;
  auto buffer = std::make_shared<Buffer>();
  buffer->data = static_cast<uint8_t*>(aligned_alloc(alignment, rounded));
  if (!buffer->data) return make_error(LF_OUT_OF_MEMORY, "the system refused %llu bytes", (unsigned long long)bytes);
  buffer->bytes = bytes;
  if (alignment == kHugePage) madvise(buffer->data, rounded, MADV_HUGEPAGE);
  allocated_ += bytes;
  peak_ = std::max(peak_, allocated_);
  *handle = place(std::move(buffer));
  return nullptr;
}

lf_error* BufferTable::map(const char* path, uint64_t offset, uint64_t bytes, uint32_t* handle) {
  auto buffer = std::make_shared<Buffer>();
  if (lf_error* error = map_file(path, offset, bytes, &buffer->mapping)) return error;
  buffer->data = buffer->mapping.data;
  buffer->bytes = bytes;
  buffer->writable = false;
  std::lock_guard<std::mutex> lock(mutex_);
  mapped_ += bytes;
  *handle = place(std::move(buffer));
  return nullptr;
}

uint32_t BufferTable::place(std::shared_ptr<Buffer> buffer) {
  uint32_t slot;
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  } else {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  }
  slots_[slot].buffer = std::move(buffer);
  return (slots_[slot].generation << kSlotBits) | slot;
}

std::shared_ptr<Buffer> BufferTable::get(uint32_t handle) const {
  const uint32_t slot = handle & ((1u << kSlotBits) - 1);
  std::lock_guard<std::mutex> lock(mutex_);
  if (slot >= slots_.size() || slots_[slot].generation != handle >> kSlotBits) return nullptr;
  return slots_[slot].buffer;
}

std::shared_ptr<Buffer> BufferTable::remove(uint32_t handle) {
  const uint32_t slot = handle & ((1u << kSlotBits) - 1);
  std::lock_guard<std::mutex> lock(mutex_);
  if (slot >= slots_.size() || slots_[slot].generation != handle >> kSlotBits || !slots_[slot].buffer) return nullptr;
  std::shared_ptr<Buffer> buffer = std::move(slots_[slot].buffer);
  (buffer->mapping.base ? mapped_ : allocated_) -= buffer->bytes;
  // Generation 0 would make handle 0 possible.
  slots_[slot].generation = slots_[slot].generation % ((1u << (32 - kSlotBits)) - 1) + 1;
  free_.push_back(slot);
  return buffer;
}

uint64_t BufferTable::allocated() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return allocated_;
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
