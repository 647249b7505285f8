// What this process may use of the machine: its memory and processors, or its control group's share when that is less.
#pragma once
#include <cstdint>

namespace lf_cpu {

struct SystemMemory {
  uint64_t total, available;
};
SystemMemory system_memory();

// Processors that this process may use: physical cores in the affinity mask, or the control group's quota when that is
// less. Two threads of one core share its vector units, so that a second one only adds waiting.
int usable_processors();

// Large allocations of this process are counted here. The system hands out addresses freely and ends the process later,
// when the pages are touched: what is promised and not yet touched must be subtracted from what is available.
class MemoryLedger {
 public:
  // Reserves `bytes` when they fit into what is left; false otherwise, with what is left.
  static bool reserve(uint64_t bytes, uint64_t* left);
  // Where the memory that `reserve` promised lies, so that its touched pages can be told apart.
  static void add(const void* data, uint64_t bytes);
  // `data` is null when the allocation that was promised did not happen.
  static void remove(const void* data, uint64_t bytes);
  // Allocations below this many bytes are not worth counting.
  static constexpr uint64_t kSmallest = uint64_t{16} << 20;
};

}  // namespace lf_cpu
