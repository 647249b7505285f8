// Buffers by handle: a slot and its generation, so that one that was freed is recognised.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "memory.h"

struct lf_error;

namespace lf_gpu {

struct Buffer {
  DeviceMemory::Block block;
  bool writable = true;
  bool freed = false;  // by its owner; queued work may still use it. Guarded by the table.
  // Counts what may have changed the contents, so that indices that were checked need not be again.
  std::atomic<uint64_t> version{0};

  uint8_t* data() const { return static_cast<uint8_t*>(block.data); }
  uint64_t bytes() const { return block.bytes; }
};

class BufferTable {
 public:
  explicit BufferTable(DeviceMemory& memory) : memory_(memory) {}

  lf_error* alloc(uint64_t bytes, Consumer consumer, bool writable, uint32_t* handle);
  // Says that the owner is done with the buffer. False when the handle names nothing. `retire` follows when what was queued
  // before has been handed to the device, `release` when the device is done with it.
  bool begin_free(uint32_t handle);
  std::shared_ptr<Buffer> retire(uint32_t handle);
  void release(const std::shared_ptr<Buffer>& buffer);
  // Null for a handle that names nothing (any more).
  std::shared_ptr<Buffer> get(uint32_t handle) const;
  // The same for a caller outside of the queue: null as soon as the buffer is freed.
  std::shared_ptr<Buffer> get_owned(uint32_t handle) const;
  // Gives back everything, when the device is closed.
  void clear();

 private:
  struct Slot {
    uint32_t generation = 1;
    std::shared_ptr<Buffer> buffer;
  };
  static constexpr uint32_t kSlotBits = 20, kSlotMask = (1u << kSlotBits) - 1, kGenerations = (1u << (32 - kSlotBits)) - 1;
  // Freed slots rest until there are this many, so that a stale handle is not soon mistaken for a new one.
  static constexpr size_t kResting = 1024;

  const Slot* find(uint32_t handle) const;

  DeviceMemory& memory_;
  mutable std::mutex mutex_;
  std::condition_variable removed_;
  std::vector<Slot> slots_;
  std::deque<uint32_t> free_;  // the longest free first
  uint64_t leaving_ = 0;       // buffers that are freed, but still used by queued work
};

}  // namespace lf_gpu
