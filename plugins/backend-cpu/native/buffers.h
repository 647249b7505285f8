// Buffers by handle. A handle holds a slot and its generation, so that one that was freed is recognised.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "mapped_file.h"
#include "memory_block.h"

struct lf_error;

namespace lf_cpu {

struct Buffer {
  uint8_t* data = nullptr;
  uint64_t bytes = 0;
  bool writable = true;
  bool freed = false;  // by its owner; work that was queued before may still use it. Guarded by the table.
  MemoryBlock memory;
  Mapping mapping;  // of a file, instead of memory
};

class BufferTable {
 public:
  explicit BufferTable(uint64_t limit) : limit_(limit) {}

  lf_error* alloc(uint64_t bytes, uint32_t* handle);
  lf_error* map(const char* path, uint64_t offset, uint64_t bytes, uint32_t* handle);
  // Says that the owner is done with the buffer: `remove` follows when queued work is. False when the handle names
  // nothing, or was freed before.
  bool begin_free(uint32_t handle);
  void remove(uint32_t handle);
  // Null for a handle that names nothing (any more).
  std::shared_ptr<Buffer> get(uint32_t handle) const;
  // The same for a caller outside of the queue: null as soon as the buffer is freed.
  std::shared_ptr<Buffer> get_owned(uint32_t handle) const;

  uint64_t allocated() const;
  // What the limit leaves.
  uint64_t left() const;
  uint64_t peak() const;
  uint64_t mapped() const;

 private:
  struct Slot {
    uint32_t generation = 1;
    std::shared_ptr<Buffer> buffer;
  };
  static constexpr uint32_t kSlotBits = 20, kSlotMask = (1u << kSlotBits) - 1;
  // Freed slots rest until there are this many, so that a stale handle is not soon mistaken for a new one.
  static constexpr size_t kRestingSlots = 1024;

  lf_error* place(std::shared_ptr<Buffer> buffer, uint32_t* handle);
  const Slot* find(uint32_t handle) const;

  mutable std::mutex mutex_;
  std::condition_variable removed_;
  std::vector<Slot> slots_;
  std::deque<uint32_t> free_;  // the longest free first
  uint64_t limit_, allocated_ = 0, peak_ = 0, mapped_ = 0;
  uint64_t leaving_ = 0;  // bytes of `allocated_` that are freed, but still used by queued work
};

}  // namespace lf_cpu
