// What the matrix products share: reading operands, and what becomes of a sum.
#pragma once
#include "../device/mma.h"
#include "activation.h"
#include "block_formats.h"
#include "gemm.h"

namespace lf_gpu {

LF_ON_DEVICE int64_t source_row(const MatrixSource& s, int64_t row) { return s.index ? load(s.index + row) : row; }

// Eight elements of a row along the depth, or 0 from `end` on. `k` is a multiple of 8. kPlanes: the operand may be a weight whose
// codes and groups lie in planes.
template <bool kPlanes = true>
LF_ON_DEVICE void read_depth8(const MatrixSource& s, int64_t row, int64_t k, int64_t end, float (&v)[8]) {
  if (kPlanes && s.groups) {
    if (k < end) {
      const int64_t word = unit_of(row, k, s.row_stride) * kUnitWords + word_of_unit(int(row % kUnit), int(k % kUnit));
      const int64_t entry = (row / kUnit * s.groups_of_row + k / s.group_depth) * kUnit + row % kUnit;
      return decode_word8(load(reinterpret_cast<const uint32_t*>(s.data) + word), group_word(s.dtype, s.groups, entry), v);
    }
  } else if (is_block_format(s.dtype)) {
    if (k < end) return decode8(s.dtype, s.data, row * s.row_stride + k, v);
  } else if (s.vector && s.depth_stride == 1 && k + 8 <= end) {
    return read_words8(s.data, s.dtype, row * s.row_stride + k, v);
  }
  const bool blocks = is_block_format(s.dtype);
#pragma unroll
  for (int i = 0; i < 8; i++)
    v[i] = !blocks && k + i < end ? read_float(s.data, s.dtype, row * s.row_stride + (k + i) * s.depth_stride) : 0.0f;
}

template <typename T>
struct Packed8 {
  Words4 words[sizeof(T) / 2];
};
template <typename T>
LF_ON_DEVICE Words4 pack8(const float (&v)[8]) {
  Words4 x;
#pragma unroll
  for (int i = 0; i < 4; i++) x.w[i] = uint32_t(narrow<T>(v[2 * i]).bits) | uint32_t(narrow<T>(v[2 * i + 1]).bits) << 16;
  return x;
}
template <typename T>
LF_ON_DEVICE void put8(Shared<T> to, const float (&v)[8]) {
  store_shared_words(to, pack8<T>(v));
}
template <>
LF_ON_DEVICE void put8<float>(Shared<float> to, const float (&v)[8]) {
  Words4 x, y;
#pragma unroll
  for (int i = 0; i < 4; i++) x.w[i] = float_to_bits(v[i]), y.w[i] = float_to_bits(v[4 + i]);
  store_shared_words(to, x);
  store_shared_words(to + 4, y);
}

// What a block works on: rows [first_row, first_row + rows) and depths [first_depth, end_depth), of group `group`.
struct Span {
  int64_t first_row, end_row, first_depth, end_depth, group;
};
// The block's part, by its number along the rows (block_y) and the group (block_z). Nothing when end_row <= first_row.
LF_ON_DEVICE Span span_of(const GemmArgs& a, int rows_of_block) {
  Span s{int64_t(block_y()) * rows_of_block, a.m, 0, a.depth, 0};
  if (a.group_kind == kGroupedRows) {
    int64_t tile = block_y();
    s.first_row = s.end_row = 0;
    for (uint32_t e = 0; e < a.groups; e++) {
      const int64_t first = load(a.offsets + e * a.offset_stride), last = load(a.offsets + (e + 1) * a.offset_stride);
      const int64_t tiles = (last - first + rows_of_block - 1) / rows_of_block;
      if (tile < tiles) {
        s.first_row = first + tile * rows_of_block, s.end_row = last, s.group = e;
        break;
      }
      tile -= tiles;
    }
  } else if (a.group_kind == kGroupedDepth) {
    s.group = block_z();
    s.first_depth = load(a.offsets + s.group * a.offset_stride);
    s.end_depth = load(a.offsets + (s.group + 1) * a.offset_stride);
  } else if (a.row_limit) {
    s.end_row = smaller(a.m, int64_t(load(a.row_limit)) - a.first_row);
  }
  return s;
}

LF_ON_DEVICE void finish_sum(const GemmArgs& a, int64_t group, int64_t row, int64_t column, float sum) {
  if (a.start) sum += load(a.start + row * a.n + column);
  if (a.copy) write_float(a.copy, a.copy_dtype, row * a.copy_stride + column, sum * a.copy_scale);
  if (!a.out) return;
  float v = a.alpha * sum;
  if (a.bias) v += read_float(a.bias, a.bias_dtype, column * a.bias_stride);
  if (a.activation) v = unary(a.activation, v);
  const int64_t to = a.out_index ? load(a.out_index + row) : row;
  const int64_t place = to * a.out_row_stride + column * a.out_column_stride + group * a.out_group_stride;
  if (a.beta != 0.0f) v += a.beta * read_float(a.out, a.out_dtype, place);
  write_float(a.out, a.out_dtype, place, v);
}

// Finishes a warp's sums of 16 rows. They pass through the warp's part of shared memory, so that neighbouring lanes write
// neighbouring columns; `stage` has room for 16 rows of kStagedStride<tiles>.
template <int kTiles>
constexpr int kStagedStride = kTiles * kTile + 1;
template <typename M, int kTiles>
LF_ON_DEVICE void finish_rows(const GemmArgs& a, const typename M::Sums (&sums)[kTiles], Shared<float> stage, const Span& span,
                              int64_t first_row, int64_t first_column) {
  constexpr int kColumns = kTiles * kTile;
#pragma unroll
  for (int j = 0; j < kTiles; j++)
#pragma unroll
    for (int e = 0; e < kTileSums; e++) stage[M::row(e) * kStagedStride<kTiles> + j * kTile + M::column(e)] = sums[j].v[e];
  sync_warp();
  for (int i = lane_id(); i < kTile * kColumns; i += kWarp) {
    const int r = i / kColumns, c = i % kColumns;
    if (first_row + r < span.end_row && first_column + c < a.n)
      finish_sum(a, span.group, first_row + r, first_column + c, stage[r * kStagedStride<kTiles> + c]);
  }
  sync_warp();
}

// One of two, member by member and by value, so that it stays in registers.
template <typename T>
LF_ON_DEVICE T pick(bool first, T x, T y) {
  return first ? x : y;
}
LF_ON_DEVICE MatrixSource choose(bool first, const MatrixSource& x, const MatrixSource& y) {
  return {pick(first, x.data, y.data),
          pick(first, x.dtype, y.dtype),
          pick(first, x.vector, y.vector),
          pick(first, x.row_stride, y.row_stride),
          pick(first, x.depth_stride, y.depth_stride),
          pick(first, x.group_stride, y.group_stride),
          pick(first, x.index, y.index),
          pick(first, x.groups, y.groups),
          pick(first, x.groups_of_row, y.groups_of_row),
          pick(first, x.group_depth, y.group_depth)};
}

LF_ON_DEVICE MatrixSource of_group(MatrixSource s, int64_t group) {
  s.data += group * s.group_stride * int64_t(element_bytes(s.dtype));
  return s;
}

}  // namespace lf_gpu
