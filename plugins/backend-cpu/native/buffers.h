// Buffers by handle. A handle holds a slot and its generation, so that one that was freed is recognised.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "mapped_file.h"

struct lf_error;

namespace lf_cpu {

struct Buffer {
  uint8_t* data = nullptr;
  uint64_t bytes = 0;
  bool writable = true;
  Mapping mapping;  // of a mapped file

  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();
};

class BufferTable {
 public:
  explicit BufferTable(uint64_t limit) : limit_(limit) {}

  lf_error* alloc(uint64_t bytes, uint32_t* handle);
  lf_error* map(const char* path, uint64_t offset, uint64_t bytes, uint32_t* handle);
  // Takes the buffer out of the table; the caller keeps it alive until queued work is done with it.
  std::shared_ptr<Buffer> remove(uint32_t handle);
  // Null for a handle that names nothing (any more).
  std::shared_ptr<Buffer> get(uint32_t handle) const;

  uint64_t allocated() const;
  uint64_t peak() const;
  uint64_t mapped() const;

 private:
  struct Slot {
    uint32_t generation = 1;
    std::shared_ptr<Buffer> buffer;
  };
  static constexpr uint32_t kSlotBits = 20;

  uint32_t place(std::shared_ptr<Buffer> buffer);

  mutable std::mutex mutex_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  uint64_t limit_, allocated_ = 0, peak_ = 0, mapped_ = 0;
};

}  // namespace lf_cpu
