// What norms and their gradients share: walks over rows, and checks of operands.
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

// Elements of x that one task covers. The gradient of the weight is summed within a task and then over tasks, in order.
constexpr int64_t kTaskElements = 32768;

static inline int64_t rows_a_task(int64_t n) { return larger<int64_t>(1, kTaskElements / larger<int64_t>(1, n)); }

// Rows of scratch in a worker's memory, each padded to whole vectors.
struct RowScratch {
  uint8_t* base;
  size_t row_bytes;
  float* operator[](int i) const { return reinterpret_cast<float*>(base + i * row_bytes); }
};
static inline size_t scratch_row_bytes(int64_t n) { return round_up(larger<int64_t>(n, 1), 16) * 4; }
static inline bool reserve_rows(Context& ctx, int64_t n, int rows) {
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, rows * scratch_row_bytes(n))) return false;
  return true;
}
static inline RowScratch row_scratch(Context& ctx, int worker, int64_t n, int rows) {
  return {static_cast<uint8_t*>(ctx.local(worker, rows * scratch_row_bytes(n))), scratch_row_bytes(n)};
}

// Sum over a row of f(i, lanes), which must be 0 in lanes beyond the end. Four accumulators, joined in fixed order.
template <typename F>
LF_INLINE float row_sum(int64_t n, F&& f) {
  f32v acc[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int u = 0; u < 4; u++) acc[u] = f(acc[u], i + u * kLanes, int64_t(kLanes));
  for (; i + kLanes <= n; i += kLanes) acc[0] = f(acc[0], i, int64_t(kLanes));
  if (i < n) acc[1] = f(acc[1], i, n - i);
  return sum((acc[0] + acc[1]) + (acc[2] + acc[3]));
}

// x, or x + residual in `h`.
static inline const float* read_input(const View& x, const View& residual, int64_t row, int64_t n, float* h, float* other) {
  const float* px = read_row(x, row_offset(x, row), n, row_stride(x), h);
  if (!residual.present()) return px;
  const float* pr = read_row(residual, row_offset(residual, row), n, row_stride(residual), other);
  for_lanes(n, [&](int64_t i, int64_t lanes) {
    store_lanes(h + i, load_lanes(px + i, lanes) + load_lanes(pr + i, lanes), lanes);
  });
  return h;
}

static inline const char* check_vector(Context& ctx, const char* op, const char* name, const View& v, int64_t n) {
  LF_CHECK(expect_float(ctx, op, name, v));
  return expect_shape(ctx, op, name, v, n);
}
static inline const char* check_statistic(Context& ctx, const char* op, const char* name, const View& v, int64_t rows) {
  LF_CHECK(expect_dtype(ctx, op, name, v, LF_F32));
  if (element_count(v) != rows)
    return ctx.fail(LF_INVALID, "%s: operand %s has shape %s, expected [%lld], one per row", op, name, shape_text(v).text,
                    (long long)rows);
  return expect_contiguous(ctx, op, name, v);
}
static inline const char* check_like(Context& ctx, const char* op, const char* name, const View& v, const char* like, const View& x) {
  LF_CHECK(expect_float(ctx, op, name, v));
  return expect_same_shape(ctx, op, name, v, like, x);
}
static inline const char* check_input(Context& ctx, const char* op, const char* name, const View& x) {
  LF_CHECK(expect_float(ctx, op, name, x));
  if (x.rank >= 1) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand %s has no dimension", op, name);
}

// Whether rows of all these operands, as far as they are present, are elements of one type side by side.
static inline bool rows_alike(const View& x, const View* const* others, int count) {
  if (row_stride(x) != 1) return false;
  for (int i = 0; i < count; i++)
    if (others[i]->present() && (others[i]->dtype != x.dtype || row_stride(*others[i]) != 1)) return false;
  return true;
}

}  // namespace LF_ISA
}  // namespace lf_cpu
