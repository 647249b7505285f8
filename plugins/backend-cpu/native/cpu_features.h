// Which ISA levels this processor and operating system can run.
#pragma once
#include <cstddef>

#include "kernel.h"

namespace lf_cpu {

// The kernel table of the named level, or of the best one when `name` is null or empty (LF_CPU_ISA then decides, when
// set). Null when the level is unknown, not compiled in, or cannot run here; `reason` then says which and why.
const KernelTable* select_kernels(const char* name, char* reason, size_t reason_size);

// The levels that can run here, best last, separated by spaces.
const char* runnable_levels();

// The processor's name as the operating system gives it.
void cpu_name(char* out, size_t size);

}  // namespace lf_cpu
