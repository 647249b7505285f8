// MATMUL: c = alpha * op(a) op(b) + beta * c.
#include "gemm.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr const char* kOp = "MATMUL";

const char* check(Context& ctx, const uint32_t* params, const View* o, int) {
  const View &a = o[0], &b = o[1], &c = o[2];
  LF_CHECK(expect_float(ctx, kOp, "a", a));
  LF_CHECK(expect_float(ctx, kOp, "b", b));
  LF_CHECK(expect_float(ctx, kOp, "c", c));
  LF_CHECK(expect_rank(ctx, kOp, "a", a, 2));
  LF_CHECK(expect_rank(ctx, kOp, "b", b, 2));
  LF_CHECK(expect_rank(ctx, kOp, "c", c, 2));
  const int trans_a = params[0] != 0, trans_b = params[1] != 0;
  if (a.shape[1 - trans_a] != b.shape[trans_b])
    return ctx.fail(LF_INVALID, "%s: operand a%s has shape %s and operand b%s %s; their inner dimensions differ", kOp,
                    trans_a ? " (transposed)" : "", shape_text(a).text, trans_b ? " (transposed)" : "",
                    shape_text(b).text);
  LF_CHECK(expect_shape(ctx, kOp, "c", c, a.shape[trans_a], b.shape[1 - trans_b]));
  if (params[4] > LF_MATH_BF16) return ctx.fail(LF_UNSUPPORTED, "%s: there is no math mode %u", kOp, params[4]);
  return nullptr;
}

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  const bool trans_a = params[0] != 0, trans_b = params[1] != 0;
  Product p;
  p.m = o[2].shape[0], p.n = o[2].shape[1], p.k = o[0].shape[trans_a ? 0 : 1];
  p.a = rows_of(o[0], trans_a);
  p.b = columns_of(o[1], !trans_b);
  p.out = output_of(o[2]);
  p.out.alpha = param_f32(params, 2), p.out.beta = param_f32(params, 3);
  p.math = lf_math(params[4]);
  const size_t bytes = product_scratch(ctx, p);
  void* scratch = ctx.shared(bytes);
  if (!scratch) return out_of_scratch(ctx, kOp, bytes);
  return multiply(ctx, kOp, p, scratch);
}

}  // namespace

void register_matmul(KernelTable& table) { table.entry[LF_OP_MATMUL] = {run, check}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
