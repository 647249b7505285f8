#include "packed.h"

#include "checks.h"

namespace lf_gpu {

uint64_t packed_bytes(uint32_t dtype, uint32_t layout, uint32_t n, uint32_t k, uint32_t group) {
  if (layout != LF_LAYOUT_PACKED_FORWARD && layout != LF_LAYOUT_PACKED_BACKWARD) return 0;
  const bool forward = layout == LF_LAYOUT_PACKED_FORWARD;
  if (is_blocks(dtype)) {
    if (!forward || k % block_extent(dtype)) return 0;
    if (has_planes(dtype)) {
      const uint64_t depth = static_cast<uint64_t>(codes_group(dtype, group)), units = (n + kUnitRows - 1) / kUnitRows;
      return depth ? codes_bytes(n, k) + units * kUnitRows * ((k + depth - 1) / depth) * group_entry(dtype) : 0;
    }
    return uint64_t{n} * (k / block_extent(dtype)) * block_size(dtype);
  }
  if (dtype != LF_BF16 && dtype != LF_F32) return 0;
  const uint64_t rows = forward ? n : k, columns = forward ? k : n;
  return rows * static_cast<uint64_t>(packed_stride(static_cast<int64_t>(columns))) * (dtype == LF_F32 ? 4 : 2);
}

}  // namespace lf_gpu
