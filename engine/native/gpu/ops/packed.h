// Packed weights: rows along what a product sums over (K forward, N backward), each padded to whole words of 16 bytes.
// A block format keeps its blocks, but for those of 4 bits with a scale and a whole zero, LF_Q4_Z (AWQ, GPTQ) and LF_Q4_0: their codes
// and groups lie in planes of their own, so that codes are read as whole lines and a scale is read once a group.
#pragma once
#include <cstdint>

#include "../runtime/context.h"

namespace lf_gpu {

inline int64_t packed_stride(int64_t columns) { return (columns + 7) / 8 * 8; }

inline uint64_t block_size(uint32_t dtype) {
  switch (dtype) {
    case LF_Q4_0: return 18;
    case LF_Q4_1: case LF_Q4_Z: return 20;
    case LF_Q5_0: return 22;
    case LF_Q5_1: return 24;
    case LF_Q8_0: return 34;
    case LF_Q4_K: return 144;
    case LF_Q5_K: return 176;
    default: return 210;
  }
}

// The formats of 4 bits whose codes and groups lie in planes (kernels/block_formats.h). The rows of a plane of codes are filled up to
// whole units.
inline bool has_planes(uint32_t dtype) { return dtype == LF_Q4_Z || dtype == LF_Q4_0; }
constexpr uint64_t kUnitRows = 32;
// Elements of a row that share a scale; 0 for a group that blocks do not make.
inline int64_t codes_group(uint32_t dtype, uint32_t group) { return dtype == LF_Q4_0 || group == 0 ? 32 : group % 32 ? 0 : group; }
inline uint64_t codes_bytes(uint64_t n, uint64_t k) { return (n + kUnitRows - 1) / kUnitRows * kUnitRows * k / 2; }
// Of an entry of the plane of groups.
inline uint64_t group_entry(uint32_t dtype) { return dtype == LF_Q4_0 ? 2 : 4; }

}  // namespace lf_gpu
