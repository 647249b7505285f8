// The block formats of GGUF, and that of GPTQ and AWQ weights: a row is a sequence of blocks, each with its own scale (and minimum).
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

// Elements in a block; 0 when `dtype` is not a block format. A row must be a whole number of blocks.
LF_INLINE int64_t block_elements(lf_dtype dtype) {
  switch (dtype) {
    case LF_Q4_0: case LF_Q4_1: case LF_Q5_0: case LF_Q5_1: case LF_Q8_0: case LF_Q4_Z: return 32;
    case LF_Q4_K: case LF_Q5_K: case LF_Q6_K: return 256;
    default: return 0;
  }
}
LF_INLINE int64_t block_bytes(lf_dtype dtype) {
  switch (dtype) {
    case LF_Q4_0: return 18;
    case LF_Q4_1: case LF_Q4_Z: return 20;
    case LF_Q5_0: return 22;
    case LF_Q5_1: return 24;
    case LF_Q8_0: return 34;
    case LF_Q4_K: return 144;
    case LF_Q5_K: return 176;
    case LF_Q6_K: return 210;
    default: return 0;
  }
}

// Decodes n elements, a whole number of blocks, that start at `src`.
void dequantize_row(lf_dtype dtype, const void* src, int64_t n, float* dst);

}  // namespace LF_ISA
}  // namespace lf_cpu
