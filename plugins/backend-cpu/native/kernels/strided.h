// Element-wise walks over operands of one shape and any strides.
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

// Elements that one piece of work holds at most: three rows of f32 of this length stay in L1.
constexpr int64_t kPiece = 1024;
// Length of a row of scratch for a piece: a few lines more, so that rows do not lie a multiple of 4 KiB apart.
constexpr int64_t kScratch = kPiece + 48;
// Elements that one task covers, so that handing it out costs nothing beside its work.
constexpr int64_t kTaskElements = 16384;

// A loop nest over up to three operands of equal shape, with adjacent dimensions merged where every operand allows it.
struct StridedLoop {
  int operands = 0;
  int rank = 1;  // at least 1; the last dimension is the inner loop
  int64_t shape[LF_MAX_RANK] = {1, 1, 1, 1};
  int64_t stride[3][LF_MAX_RANK] = {};
};

static inline StridedLoop strided_loop(const View* const* views, int count) {
  StridedLoop loop;
  loop.operands = count;
  int rank = 0;
  for (int d = 0; d < views[0]->rank; d++) {
    int64_t extent = views[0]->shape[d];
    if (extent == 1) continue;
    bool merges = rank > 0;
    for (int o = 0; o < count && merges; o++) merges = loop.stride[o][rank - 1] == views[o]->stride[d] * extent;
    if (merges) {
      loop.shape[rank - 1] *= extent;
    } else {
      loop.shape[rank++] = extent;
    }
    for (int o = 0; o < count; o++) loop.stride[o][rank - 1] = views[o]->stride[d];
  }
  if (rank == 0) {  // a single element
    rank = 1;
    for (int o = 0; o < count; o++) loop.stride[o][0] = 1;
  }
  loop.rank = rank;
  return loop;
}

// Calls body(offsets, index, n, worker) for runs of at most kPiece elements of the inner dimension, where offsets[o] is
// the run's first element in operand o and index its position in the contiguous index space. Runs may execute in any
// order, on several threads.
template <typename F>
LF_INLINE void for_each_run(Context& ctx, const StridedLoop& loop, F&& body) {
  const int64_t inner = loop.shape[loop.rank - 1];
  int64_t outer = 1;
  for (int d = 0; d + 1 < loop.rank; d++) outer *= loop.shape[d];
  const int64_t pieces_a_row = ceil_div(inner, kPiece), pieces = outer * pieces_a_row;
  if (pieces == 0) return;
  const int64_t pieces_a_task = larger<int64_t>(1, kTaskElements / smaller(inner, kPiece));
  ctx.for_each(ceil_div(pieces, pieces_a_task), [&](int64_t task, int worker) {
    const int64_t end = smaller(pieces, (task + 1) * pieces_a_task);
    for (int64_t piece = task * pieces_a_task; piece < end; piece++) {
      const int64_t row = piece / pieces_a_row, start = piece % pieces_a_row * kPiece;
      int64_t offsets[3] = {}, rest = row;
      for (int d = loop.rank - 2; d >= 0; d--) {
        const int64_t position = rest % loop.shape[d];
        rest /= loop.shape[d];
        for (int o = 0; o < loop.operands; o++) offsets[o] += position * loop.stride[o][d];
      }
      for (int o = 0; o < loop.operands; o++) offsets[o] += start * loop.stride[o][loop.rank - 1];
      body(offsets, row * inner + start, smaller(kPiece, inner - start), worker);
    }
  });
}

}  // namespace LF_ISA
}  // namespace lf_cpu
