// Matrix products whose operands are converted on their way to shared memory: of any float type and strides, of block
// formats, gathered or grouped. A block of four warps makes a tile of 64 x 64; while it multiplies one slice of the depth,
// the next is fetched.
#include "gemm.h"

#include "gemm_parts.h"

namespace lf_gpu {

template <typename T>
constexpr int kTileStride = kGemmDepth + 16 / int(sizeof(T));

// Brings 64 rows of a slice of the depth.
template <typename T>
LF_ON_DEVICE void fetch_tile(const MatrixSource& s, int64_t first_row, int64_t end_row, int64_t k, int64_t end, Shared<T> tile) {
  constexpr int kChunks = kGemmRows * kGemmDepth / 8;
  const bool along_rows = !is_block_format(s.dtype) && s.depth_stride != 1 && s.row_stride == 1 && !s.index;
  for (int c = thread_id(); c < kChunks; c += block_threads()) {
    float v[8];
    if (!along_rows) {
      const int i = c / (kGemmDepth / 8), j = c % (kGemmDepth / 8) * 8;
      const int64_t row = first_row + i;
      if (row < end_row) {
        read_depth8(s, source_row(s, row), k + j, end, v);
      } else {
        for (int e = 0; e < 8; e++) v[e] = 0.0f;
      }
      put8(tile + i * kTileStride<T> + j, v);
      continue;
    }
    const int j = c / (kGemmRows / 8), i = c % (kGemmRows / 8) * 8;
    const int64_t row = first_row + i, from = (k + j) * s.depth_stride + row;
    if (k + j < end && s.vector && row + 8 <= end_row) {
      read_words8(s.data, s.dtype, from, v);
    } else {
      for (int e = 0; e < 8; e++) v[e] = k + j < end && row + e < end_row ? read_float(s.data, s.dtype, from + e) : 0.0f;
    }
    for (int e = 0; e < 8; e++) tile[(i + e) * kTileStride<T> + j] = narrow<T>(v[e]);
  }
}

template <typename T>
LF_ON_DEVICE void general_gemm(const GemmArgs& a) {
  using M = Mma<T>;
  constexpr int kTileElements = kGemmRows * kTileStride<T>;
  const Span span = span_of(a, kGemmRows);
  const int64_t first_column = int64_t(block_x()) * kGemmColumns;
  if (span.first_row >= span.end_row) return;
  const MatrixSource b = a.group_kind == kGroupedRows ? of_group(a.b, span.group) : a.b;
  const int64_t slices = (span.end_depth - span.first_depth + kGemmDepth - 1) / kGemmDepth;
  const int64_t all_slices = slices + (a.depth2 + kGemmDepth - 1) / kGemmDepth;
  auto fetch = [&](int64_t slice) {
    const Shared<T> tile = shared_at<T>(uint32_t(slice & 1) * 2 * kTileElements * sizeof(T));
    if (slice < slices) {
      const int64_t k = span.first_depth + slice * kGemmDepth;
      fetch_tile(a.a, span.first_row, span.end_row, k, span.end_depth, tile);
      fetch_tile(b, first_column, a.n, k, span.end_depth, tile + kTileElements);
    } else {
      const int64_t k = (slice - slices) * kGemmDepth;
      fetch_tile(a.a2, span.first_row, span.end_row, k, a.depth2, tile);
      fetch_tile(a.b2, first_column, a.n, k, a.depth2, tile + kTileElements);
    }
  };
  const int warp = thread_id() / kWarp, row = warp / 2 * 32, column = warp % 2 * 32;
  const bool works = span.first_row + row < span.end_row && first_column + column < a.n;
  typename M::Sums sums[2][2] = {};
  if (all_slices > 0) fetch(0);
  for (int64_t slice = 0; slice < all_slices; slice++) {
    sync_block();
    if (slice + 1 < all_slices) fetch(slice + 1);
    if (!works) continue;
    const Shared<T> tile = shared_at<T>(uint32_t(slice & 1) * 2 * kTileElements * sizeof(T));
#pragma unroll
    for (int k = 0; k < kGemmDepth; k += kTile) {
      typename M::A x[2];
      typename M::B y[2];
      for (int i = 0; i < 2; i++) {
        x[i] = M::load_a(tile + (row + i * kTile) * kTileStride<T> + k, kTileStride<T>);
        y[i] = M::load_b(tile + kTileElements + (column + i * kTile) * kTileStride<T> + k, kTileStride<T>);
      }
      for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) M::multiply(sums[i][j], x[i], y[j]);
    }
  }
  if (!works) return;
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++)
      for (int e = 0; e < kTileSums; e++) {
        const int64_t r = span.first_row + row + i * kTile + M::row(e), c = first_column + column + j * kTile + M::column(e);
        if (r < span.end_row && c < a.n) finish_sum(a, span.group, r, c, sums[i][j].v[e]);
      }
}

LF_KERNEL(gemm_f32, GemmArgs, kGemmWarps* kWarp) { general_gemm<float>(a); }
LF_KERNEL(gemm_bf16, GemmArgs, kGemmWarps* kWarp) { general_gemm<bf16>(a); }
LF_KERNEL(gemm_f16, GemmArgs, kGemmWarps* kWarp) { general_gemm<f16>(a); }

}  // namespace lf_gpu
