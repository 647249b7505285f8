#include "memory_block.h"

#include <sys/mman.h>

#include <cstdlib>

#include "system_memory.h"

namespace lf_cpu {
namespace {
constexpr uint64_t kAlignment = 64;
constexpr uint64_t kHugePage = uint64_t{2} << 20;
constexpr uint64_t kMost = uint64_t{1} << 62;
}  // namespace

bool MemoryBlock::take(uint64_t bytes, uint64_t* left) {
  release();
  *left = UINT64_MAX;
  if (bytes > kMost) return false;
  const uint64_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  const uint64_t rounded = (bytes + alignment - 1) / alignment * alignment;
  const bool counted = rounded >= MemoryLedger::kSmallest;
  if (counted && !MemoryLedger::reserve(rounded, left)) return false;
  data_ = static_cast<uint8_t*>(aligned_alloc(alignment, rounded));
  if (!data_) {
    if (counted) MemoryLedger::remove(nullptr, rounded);
    return false;
  }
#if defined(MADV_HUGEPAGE)
  if (alignment == kHugePage) madvise(data_, rounded, MADV_HUGEPAGE);
#endif
  if (counted) MemoryLedger::add(data_, rounded);
  bytes_ = bytes;
  counted_ = counted ? rounded : 0;
  return true;
}

void MemoryBlock::release() {
  if (counted_) MemoryLedger::remove(data_, counted_);
  free(data_);
  data_ = nullptr;
  bytes_ = counted_ = 0;
}

}  // namespace lf_cpu
