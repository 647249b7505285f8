// Matrix products of 16-bit operands that lie in whole words: copied to shared memory as they are, three slices of the depth
// under way at a time, multiplied by the matrix unit. An operand may be dense along its depth or, `transposed`, along its
// rows. A block makes a tile of 128 x 128; its warps share it in two rows.
#include "gemm.h"

#include "gemm_parts.h"

namespace lf_gpu {

// Starts the copy of 128 rows of a slice of the depth.
template <typename T, bool kTransposed>
LF_ON_DEVICE void start_tile(const MatrixSource& s, int64_t first_row, int64_t end_row, int64_t k, int64_t end, Shared<T> tile) {
  constexpr int kChunks = kAsyncRows * kAsyncDepth / 8;
  const T* data = reinterpret_cast<const T*>(s.data);
#pragma unroll
  for (int turn = 0; turn < kChunks / kAsyncThreads; turn++) {
    const int c = turn * kAsyncThreads + thread_id();
    if (kTransposed) {
      const int j = c / (kAsyncRows / 8), i = c % (kAsyncRows / 8) * 8;
      const bool valid = k + j < end && first_row + i < end_row;
      copy_async16(tile + j * (kAsyncRows + 8) + i, data + (valid ? (k + j) * s.depth_stride + first_row + i : 0), valid);
    } else {
      const int i = c / (kAsyncDepth / 8), j = c % (kAsyncDepth / 8) * 8;
      const bool valid = k + j < end && first_row + i < end_row;
      const int64_t row = valid ? source_row(s, first_row + i) : 0;
      copy_async16(tile + i * (kAsyncDepth + 8) + j, data + (valid ? row * s.row_stride + k + j : 0), valid);
    }
  }
}

template <typename T, bool kTransposedA, bool kTransposedB>
LF_ON_DEVICE void async_gemm(const GemmArgs& a) {
  using M = Mma<T>;
  constexpr int kA = kAsyncTile<kTransposedA>, kB = kAsyncTile<kTransposedB>;
  constexpr int kStrideA = kTransposedA ? kAsyncRows + 8 : kAsyncDepth + 8, kStrideB = kTransposedB ? kAsyncColumns + 8 : kAsyncDepth + 8;
  constexpr int kWarpsAcross = kAsyncThreads / kWarp / 2;
  constexpr int kTilesDown = kAsyncRows / 2 / kTile, kTilesAcross = kAsyncColumns / kWarpsAcross / kTile;
  const Span span = span_of(a, kAsyncRows);
  const int64_t first_column = int64_t(block_x()) * kAsyncColumns;
  if (span.first_row >= span.end_row) return;
  const MatrixSource b = a.group_kind == kGroupedRows ? of_group(a.b, span.group) : a.b;
  const int64_t slices = (span.end_depth - span.first_depth + kAsyncDepth - 1) / kAsyncDepth;
  const int64_t all_slices = slices + (a.depth2 + kAsyncDepth - 1) / kAsyncDepth;
  auto stage_of = [&](int64_t slice) { return shared_at<T>(uint32_t(slice % kAsyncStages) * (kA + kB) * sizeof(T)); };
  auto start = [&](int64_t slice) {
    const Shared<T> tile = stage_of(slice);
    if (slice < slices) {
      const int64_t k = span.first_depth + slice * kAsyncDepth;
      start_tile<T, kTransposedA>(a.a, span.first_row, span.end_row, k, span.end_depth, tile);
      start_tile<T, kTransposedB>(b, first_column, a.n, k, span.end_depth, tile + kA);
    } else if (slice < all_slices) {
      const int64_t k = (slice - slices) * kAsyncDepth;
      start_tile<T, kTransposedA>(a.a2, span.first_row, span.end_row, k, a.depth2, tile);
      start_tile<T, kTransposedB>(a.b2, first_column, a.n, k, a.depth2, tile + kA);
    }
    copy_async_commit();
  };
  const int warp = thread_id() / kWarp;
  const int row = warp / kWarpsAcross * (kAsyncRows / 2), column = warp % kWarpsAcross * (kTilesAcross * kTile);
  const bool works = span.first_row + row < span.end_row && first_column + column < a.n;
  typename M::Sums sums[kTilesDown][kTilesAcross] = {};
  for (int64_t slice = 0; slice < kAsyncStages - 1; slice++) start(slice);
  for (int64_t slice = 0; slice < all_slices; slice++) {
    copy_async_wait<kAsyncStages - 2>();
    sync_block();
    start(slice + kAsyncStages - 1);
    if (!works) continue;
    const Shared<T> ta = stage_of(slice), tb = ta + kA;
#pragma unroll
    for (int k = 0; k < kAsyncDepth; k += kTile) {
      typename M::A x[kTilesDown];
      typename M::B y[kTilesAcross];
#pragma unroll
      for (int i = 0; i < kTilesDown; i++) {
        const int r = row + i * kTile;
        x[i] = kTransposedA ? M::load_a_transposed(ta + k * kStrideA + r, kStrideA) : M::load_a(ta + r * kStrideA + k, kStrideA);
      }
#pragma unroll
      for (int j = 0; j < kTilesAcross; j++) {
        const int c = column + j * kTile;
        y[j] = kTransposedB ? M::load_b_transposed(tb + k * kStrideB + c, kStrideB) : M::load_b(tb + c * kStrideB + k, kStrideB);
      }
#pragma unroll
      for (int i = 0; i < kTilesDown; i++)
#pragma unroll
        for (int j = 0; j < kTilesAcross; j++) M::multiply(sums[i][j], x[i], y[j]);
    }
  }
  // The slices' memory becomes the stage of the sums.
  copy_async_wait<0>();
  sync_block();
  if (!works) return;
  constexpr int kStage = kTile * kStagedStride<kTilesAcross>;
  static_assert(kAsyncThreads / kWarp * kStage * 4 <= kAsyncStages * (kA + kB) * int(sizeof(T)), "the stage fits");
  const Shared<float> stage = shared_at<float>(uint32_t(warp * kStage * 4));
#pragma unroll
  for (int i = 0; i < kTilesDown; i++)
    finish_rows<M>(a, sums[i], stage, span, span.first_row + row + i * kTile, first_column + column);
}

// nn: both dense along the depth (a weight [N, K]); nt: b dense along its rows (the gradient of an input); tt: both (that of
// a weight).
LF_KERNEL_HELD(gemm_async_nn_bf16, GemmArgs, kAsyncThreads, 2) { async_gemm<bf16, false, false>(a); }
LF_KERNEL_HELD(gemm_async_nt_bf16, GemmArgs, kAsyncThreads, 2) { async_gemm<bf16, false, true>(a); }
LF_KERNEL_HELD(gemm_async_tt_bf16, GemmArgs, kAsyncThreads, 2) { async_gemm<bf16, true, true>(a); }
LF_KERNEL_HELD(gemm_async_nn_f16, GemmArgs, kAsyncThreads, 2) { async_gemm<f16, false, false>(a); }
LF_KERNEL_HELD(gemm_async_nt_f16, GemmArgs, kAsyncThreads, 2) { async_gemm<f16, false, true>(a); }
LF_KERNEL_HELD(gemm_async_tt_f16, GemmArgs, kAsyncThreads, 2) { async_gemm<f16, true, true>(a); }

}  // namespace lf_gpu
