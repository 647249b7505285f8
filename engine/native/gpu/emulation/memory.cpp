// Global memory of the emulated device: one reserved address range, a guard behind every allocation, and for every 16
// bytes how many of them are live.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "memory.h"

namespace simt {
namespace {

constexpr uint64_t kReserved = uint64_t{64} << 30, kGuard = 512, kGranule = 16;

struct Memory {
  std::mutex mutex;
  std::map<uint8_t*, uint64_t> blocks;
  uint64_t total = 0;
};

Memory& memory() {
  static Memory* const it = new Memory;
  return *it;
}

void* reserve(uint64_t bytes) {
  void* range = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return range == MAP_FAILED ? nullptr : range;
}

}  // namespace

Arena& arena() {
  static Arena it = [] {
    Arena a;
    a.base = static_cast<uint8_t*>(reserve(kReserved));
    a.live = static_cast<uint8_t*>(reserve(kReserved / kGranule));
    a.shadow = static_cast<Cell*>(reserve(kReserved / kCellBytes * sizeof(Cell)));
    a.sector_run = static_cast<uint32_t*>(reserve(kReserved / kSectorBytes * sizeof(uint32_t)));
    a.bytes = a.base && a.live && a.shadow && a.sector_run ? kReserved : 0;
    return a;
  }();
  return it;
}

uint8_t* allocate(uint64_t bytes) {
  Memory& m = memory();
  Arena& a = arena();
  std::lock_guard<std::mutex> lock(m.mutex);
  const uint64_t whole = (bytes + kGranule - 1) / kGranule * kGranule;
  // The first gap that is wide enough; 256 bytes is what drivers align to.
  uint8_t* at = a.base + kGuard;
  for (const auto& [start, size] : m.blocks) {
    if (at + whole + kGuard <= start) break;
    at = std::max(at, reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(start) + size + kGuard + 255) / 256 * 256));
  }
  if (at + whole + kGuard > a.base + a.bytes) return nullptr;
  m.blocks[at] = bytes;
  m.total += bytes;
  uint8_t* live = a.live + (at - a.base) / kGranule;
  memset(live, kGranule, bytes / kGranule);
  if (bytes % kGranule) live[bytes / kGranule] = static_cast<uint8_t>(bytes % kGranule);
  // As floats these are NaNs, as indices they lie outside of everything. Large blocks stay untouched, and zero.
  memset(at, 0xff, std::min<uint64_t>(bytes, 1 << 20));
  return at;
}

bool release(void* pointer) {
  Memory& m = memory();
  Arena& a = arena();
  std::lock_guard<std::mutex> lock(m.mutex);
  const auto found = m.blocks.find(static_cast<uint8_t*>(pointer));
  if (found == m.blocks.end()) return false;
  const uint64_t bytes = found->second;
  memset(a.live + (found->first - a.base) / kGranule, 0, (bytes + kGranule - 1) / kGranule);
  m.total -= bytes;
  m.blocks.erase(found);
  return true;
}

bool live(const void* pointer, uint64_t bytes) {
  Memory& m = memory();
  std::lock_guard<std::mutex> lock(m.mutex);
  auto* p = static_cast<uint8_t*>(const_cast<void*>(pointer));
  auto after = m.blocks.upper_bound(p);
  if (after == m.blocks.begin()) return false;
  const auto& [start, size] = *std::prev(after);
  const uint64_t offset = static_cast<uint64_t>(p - start);
  return offset <= size && bytes <= size - offset;
}

uint64_t allocated() {
  Memory& m = memory();
  std::lock_guard<std::mutex> lock(m.mutex);
  return m.total;
}

}  // namespace simt
