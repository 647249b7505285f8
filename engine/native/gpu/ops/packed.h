// Packed weights: rows along what a product sums over (K forward, N backward), each padded to whole words of 16 bytes.
// A block format keeps its blocks.
#pragma once
#include <cstdint>

#include "../runtime/context.h"

namespace lf_gpu {

inline int64_t packed_stride(int64_t columns) { return (columns + 7) / 8 * 8; }

inline uint64_t block_size(uint32_t dtype) {
  switch (dtype) {
    case LF_Q4_0: return 18;
    case LF_Q4_1: return 20;
    case LF_Q5_0: return 22;
    case LF_Q5_1: return 24;
    case LF_Q8_0: return 34;
    case LF_Q4_K: return 144;
    case LF_Q5_K: return 176;
    default: return 210;
  }
}

}  // namespace lf_gpu
