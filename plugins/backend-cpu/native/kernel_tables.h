// Every ISA level that was compiled in, from the plainest to the best. A level's table is made by code of that level:
// it must only be asked for where that code can run.
#pragma once
#include "kernel.h"

namespace lf_cpu {

#define LF_LEVEL(name, isa) const KernelTable& kernel_table_##name();
#include "kernel_levels.inc"
#undef LF_LEVEL

struct Level {
  const char* isa;
  const KernelTable& (*table)();
};

constexpr Level kLevels[] = {
#define LF_LEVEL(name, isa) {isa, kernel_table_##name},
#include "kernel_levels.inc"
#undef LF_LEVEL
};

}  // namespace lf_cpu
