// How much memory this process may still take: the machine's, or its control group's when that is less.
#pragma once
#include <cstdint>

namespace lf_cpu {
struct SystemMemory {
  uint64_t total, available;
};
SystemMemory system_memory();
// Processors that this process may use: the affinity mask, or the control group's quota when that is less.
int usable_processors();
}  // namespace lf_cpu
