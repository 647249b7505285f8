// GROUPED_LINEAR and its backward passes: rows that are grouped by expert, each group with a weight of its own.
#include "linear_operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// x [M, rows' width], offsets [E + 1], w [E, N, K]; `columns` is the dimension of w that the width must equal.
const char* check_groups(Context& ctx, const char* op, const char* name, const View& x, const View& offsets, const View& w,
                         int columns) {
  LF_CHECK(expect_matrix(ctx, op, name, x));
  LF_CHECK(expect_float(ctx, op, "w", w));
  LF_CHECK(expect_rank(ctx, op, "w", w, 3));
  if (x.shape[1] != w.shape[columns])
    return ctx.fail(LF_INVALID, "%s: operand %s has shape %s, but w has %s", op, name, shape_text(x).text,
                    shape_text(w).text);
  LF_CHECK(expect_dtype(ctx, op, "offsets", offsets, LF_I32));
  return expect_shape(ctx, op, "offsets", offsets, w.shape[0] + 1);
}

int64_t offset_of(const View& offsets, int64_t e) { return offsets.as<const int32_t>()[e * offsets.stride[0]]; }

const char* check_offsets(Context& ctx, const char* op, const View& offsets, int64_t rows) {
  const int64_t groups = offsets.shape[0] - 1;
  for (int64_t e = 0; e < groups; e++)
    if (offset_of(offsets, e + 1) < offset_of(offsets, e))
      return ctx.fail(LF_INVALID, "%s: offsets fall from %lld to %lld at group %lld", op, (long long)offset_of(offsets, e),
                      (long long)offset_of(offsets, e + 1), (long long)e);
  if (offset_of(offsets, 0) == 0 && offset_of(offsets, groups) == rows) return nullptr;
  return ctx.fail(LF_INVALID, "%s: offsets go from %lld to %lld, but there are %lld rows", op,
                  (long long)offset_of(offsets, 0), (long long)offset_of(offsets, groups), (long long)rows);
}

// out [M, ...] = x [M, ...] times the matrix of each row's group, transposed when `forward`.
const char* multiply_groups(Context& ctx, const char* op, const View& x, const View& offsets, const View& w,
                            const View& out, bool forward, lf_math math) {
  LF_CHECK(check_offsets(ctx, op, offsets, x.shape[0]));
  const int64_t groups = w.shape[0];
  const int n = forward ? 1 : 2, k = forward ? 2 : 1;
  Product p;
  p.m = x.shape[0], p.n = w.shape[n], p.k = w.shape[k];
  p.a = rows_of(x);
  p.b.data = w.data, p.b.dtype = w.dtype;
  p.b.column_stride = w.stride[n], p.b.k_stride = w.stride[k];
  p.b.group_bytes = w.stride[0] * element_bytes(w.dtype);
  p.out = output_of(out);
  p.math = math;
  // What the product needs for its list of runs is most when every row is a run of its own.
  const int64_t run_bytes = round_up(larger<int64_t>(1, groups) * int64_t(sizeof(RowRun)), 64);
  const size_t bytes = run_bytes + product_scratch(ctx, p) + p.m * 64;
  uint8_t* memory = static_cast<uint8_t*>(ctx.shared(bytes));
  if (!memory) return out_of_scratch(ctx, op, bytes);
  RowRun* runs = reinterpret_cast<RowRun*>(memory);
  for (int64_t e = 0; e < groups; e++) {
    const int64_t first = offset_of(offsets, e), count = offset_of(offsets, e + 1) - first;
    if (count > 0) runs[p.run_count++] = {first, count, int32_t(e)};
  }
  p.runs = runs;
  p.runs_select_b = true;
  return multiply(ctx, op, p, memory + run_bytes);
}

constexpr const char* kForward = "GROUPED_LINEAR";
constexpr const char* kInput = "GROUPED_LINEAR_BACKWARD_INPUT";
constexpr const char* kWeight = "GROUPED_LINEAR_BACKWARD_WEIGHT";

const char* check_forward(Context& ctx, const uint32_t* params, const View* o, int) {
  LF_CHECK(check_groups(ctx, kForward, "x", o[0], o[1], o[2], 2));
  LF_CHECK(expect_math(ctx, kForward, params[0]));
  return expect_matrix(ctx, kForward, "y", o[3], o[0].shape[0], o[2].shape[1]);
}

const char* run_forward(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_forward(ctx, params, o, count));
  return multiply_groups(ctx, kForward, o[0], o[1], o[2], o[3], true, lf_math(params[0]));
}

const char* check_input(Context& ctx, const uint32_t* params, const View* o, int) {
  LF_CHECK(check_groups(ctx, kInput, "dy", o[0], o[1], o[2], 1));
  LF_CHECK(expect_math(ctx, kInput, params[0]));
  return expect_matrix(ctx, kInput, "dx", o[3], o[0].shape[0], o[2].shape[2]);
}

const char* run_input(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_input(ctx, params, o, count));
  return multiply_groups(ctx, kInput, o[0], o[1], o[2], o[3], false, lf_math(params[0]));
}

const char* check_weight(Context& ctx, const uint32_t* params, const View* o, int) {
  const View &x = o[0], &dy = o[1], &offsets = o[2], &dw = o[3];
  LF_CHECK(check_groups(ctx, kWeight, "x", x, offsets, dw, 2));
  LF_CHECK(expect_matrix(ctx, kWeight, "dy", dy, x.shape[0], dw.shape[1]));
  LF_CHECK(expect_dtype(ctx, kWeight, "dw", dw, LF_F32));
  return expect_math(ctx, kWeight, params[1]);
}

// Rows first..first + count of a matrix.
View part(const View& v, int64_t first, int64_t count) {
  View rows = v;
  rows.data += first * v.stride[0] * element_bytes(v.dtype);
  rows.shape[0] = count;
  return rows;
}

const char* run_weight(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_weight(ctx, params, o, count));
  const View &x = o[0], &dy = o[1], &offsets = o[2], &dw = o[3];
  LF_CHECK(check_offsets(ctx, kWeight, offsets, x.shape[0]));
  for (int64_t e = 0; e < dw.shape[0]; e++) {
    const int64_t first = offset_of(offsets, e), rows = offset_of(offsets, e + 1) - first;
    View own = dw;
    own.rank = 2;
    own.data += e * dw.stride[0] * element_bytes(dw.dtype);
    for (int d = 0; d < 2; d++) own.shape[d] = dw.shape[d + 1], own.stride[d] = dw.stride[d + 1];
    LF_CHECK(weight_gradient(ctx, kWeight, part(x, first, rows), part(dy, first, rows), own, 1.0f,
                             param_f32(params, 0), lf_math(params[1])));
  }
  return nullptr;
}

}  // namespace

void register_grouped_linear(KernelTable& table) {
  table.entry[LF_OP_GROUPED_LINEAR] = {run_forward, check_forward};
  table.entry[LF_OP_GROUPED_LINEAR_BACKWARD_INPUT] = {run_input, check_input};
  table.entry[LF_OP_GROUPED_LINEAR_BACKWARD_WEIGHT] = {run_weight, check_weight};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
