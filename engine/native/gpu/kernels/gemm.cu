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
#pragma unroll
        for (int e = 0; e < 8; e++) v[e] = 0.0f;
      }
      put8(tile + i * kTileStride<T> + j, v);
      continue;
    }
    const int j = c / (kGemmRows / 8), i = c % (kGemmRows / 8) * 8;
    const int64_t row = first_row + i, from = (k + j) * s.depth_stride + row;
    // The rows of a group may begin anywhere.
    if (k + j < end && s.vector && row % 8 == 0 && row + 8 <= end_row) {
      read_words8(s.data, s.dtype, from, v);
    } else {
#pragma unroll
      for (int e = 0; e < 8; e++) v[e] = k + j < end && row + e < end_row ? read_float(s.data, s.dtype, from + e) : 0.0f;
    }
#pragma unroll
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
  // One place in the code for all four operands: what decodes them is large.
  auto fetch = [&](int64_t slice) {
    const Shared<T> tile = shared_at<T>(uint32_t(slice & 1) * 2 * kTileElements * sizeof(T));
    const bool second = slice >= slices;
    const int64_t k = second ? (slice - slices) * kGemmDepth : span.first_depth + slice * kGemmDepth;
    const int64_t end = second ? a.depth2 : span.end_depth;
#pragma unroll 1
    for (int side = 0; side < 2; side++) {
      const MatrixSource s = choose(side, choose(second, a.b2, b), choose(second, a.a2, a.a));
      fetch_tile(s, side ? first_column : span.first_row, side ? a.n : span.end_row, k, end, tile + side * kTileElements);
    }
  };
  const int warp = thread_id() / kWarp, row = warp / 2 * 32, column = warp % 2 * 32;
  const bool works = span.first_row + row < span.end_row && first_column + column < a.n;
  typename M::Sums sums[2][2] = {};
  for (int64_t turn = 0; turn <= all_slices; turn++) {
    if (turn < all_slices) fetch(turn);
    const int64_t slice = turn - 1;
    const Shared<T> tile = shared_at<T>(uint32_t(slice & 1) * 2 * kTileElements * sizeof(T));
    if (slice >= 0 && works) {
#pragma unroll
      for (int k = 0; k < kGemmDepth; k += kTile) {
        typename M::A x[2];
        typename M::B y[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
          x[i] = M::load_a(tile + (row + i * kTile) * kTileStride<T> + k, kTileStride<T>);
          y[i] = M::load_b(tile + kTileElements + (column + i * kTile) * kTileStride<T> + k, kTileStride<T>);
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
          for (int j = 0; j < 2; j++) M::multiply(sums[i][j], x[i], y[j]);
      }
    }
    sync_block();
  }
  if (!works) return;
  constexpr int kStage = kTile * kStagedStride<2>;
  static_assert(kGemmWarps * kStage * 4 <= 4 * kTileElements * int(sizeof(T)), "the stage fits");
  const Shared<float> stage = shared_at<float>(uint32_t(warp * kStage * 4));
#pragma unroll
  for (int i = 0; i < 2; i++) finish_rows<M>(a, sums[i], stage, span, span.first_row + row + i * kTile, first_column + column);
}

LF_KERNEL_HELD(gemm_f32, GemmArgs, kGemmWarps* kWarp, 5) { general_gemm<float>(a); }
LF_KERNEL_HELD(gemm_bf16, GemmArgs, kGemmWarps* kWarp, 5) { general_gemm<bf16>(a); }
LF_KERNEL_HELD(gemm_f16, GemmArgs, kGemmWarps* kWarp, 5) { general_gemm<f16>(a); }

}  // namespace lf_gpu
