// What one thread can do at most at an ISA level: loops that do nothing else, for the roofline of the kernels.
#pragma once
#include <cstddef>
#include <cstdint>

namespace lf_cpu {

// Each runs its loop `rounds` times and returns the operations done (a multiply and an add are two; bytes for read), or
// 0 where the level has no such instruction. `keep` receives a value that depends on all of it.
struct Limits {
  double (*f32)(int64_t rounds, float* keep);
  double (*bf16)(int64_t rounds, float* keep);
  double (*int8)(int64_t rounds, float* keep);
  double (*read)(const float* data, size_t count, float* keep);
};

#define LF_LEVEL(name, isa) Limits limits_##name();
#include "kernel_levels.inc"
#undef LF_LEVEL

}  // namespace lf_cpu
