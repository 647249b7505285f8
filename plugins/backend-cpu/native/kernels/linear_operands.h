// Checks that the linear operations share.
#pragma once
#include "gemm.h"
#include "quant_formats.h"

namespace lf_cpu {
namespace LF_ISA {

static inline const char* layout_name(lf_layout layout) {
  return layout == LF_LAYOUT_PACKED_FORWARD ? "packed forward" : layout == LF_LAYOUT_PACKED_BACKWARD ? "packed backward" : "strided";
}

// A weight [N, K]: strided floats, rows of a block format where `blocks` says so, or packed as `layout`. The runtime has
// checked that the buffer holds it.
static inline const char* expect_weight(Context& ctx, const char* op, const char* name, const View& w, lf_layout layout,
                                        bool blocks) {
  LF_CHECK(expect_present(ctx, op, name, w));
  LF_CHECK(expect_rank(ctx, op, name, w, 2));
  if (w.layout == LF_LAYOUT_STRIDED) {
    if (is_float(w)) return nullptr;
    if (!is_block_format(w.dtype) || !blocks)
      return ctx.fail(LF_UNSUPPORTED, "%s: operand %s is strided %s; expected f32, bf16, f16%s%s%s", op, name,
                      dtype_name(w.dtype), blocks ? " or a block format" : "",
                      layout == LF_LAYOUT_STRIDED ? "" : ", or ", layout == LF_LAYOUT_STRIDED ? "" : layout_name(layout));
    const int64_t block = block_elements(w.dtype);
    if (block == 0) return ctx.fail(LF_UNSUPPORTED, "%s: operand %s has an unknown data type", op, name);
    if (w.shape[1] % block)
      return ctx.fail(LF_INVALID, "%s: operand %s has shape %s, whose rows are not whole blocks of %lld (%s)", op, name,
                      shape_text(w).text, (long long)block, dtype_name(w.dtype));
    return nullptr;
  }
  if (w.layout != layout)
    return ctx.fail(LF_INVALID, "%s: operand %s is %s, expected %s or strided", op, name, layout_name(w.layout),
                    layout_name(layout));
  const bool forward = layout == LF_LAYOUT_PACKED_FORWARD;
  if (is_block_format(w.dtype) && !forward)
    return ctx.fail(LF_UNSUPPORTED, "%s: operand %s cannot be packed backward as %s, only as f32 or bf16", op, name,
                    dtype_name(w.dtype));
  if (packed_bytes(w.dtype, w.shape[forward ? 0 : 1], w.shape[forward ? 1 : 0], w.group) == 0 && element_count(w) > 0)
    return ctx.fail(LF_UNSUPPORTED, "%s: operand %s cannot be packed as %s, only as f32, bf16 or a block format", op, name,
                    dtype_name(w.dtype));
  return nullptr;
}

static inline const char* expect_matrix(Context& ctx, const char* op, const char* name, const View& v) {
  LF_CHECK(expect_float(ctx, op, name, v));
  return expect_rank(ctx, op, name, v, 2);
}
static inline const char* expect_matrix(Context& ctx, const char* op, const char* name, const View& v, int64_t rows,
                                        int64_t columns) {
  LF_CHECK(expect_float(ctx, op, name, v));
  return expect_shape(ctx, op, name, v, rows, columns);
}
static inline const char* expect_math(Context& ctx, const char* op, uint32_t math) {
  return math <= LF_MATH_BF16 ? nullptr : ctx.fail(LF_UNSUPPORTED, "%s: there is no math mode %u", op, math);
}

// dw [N, K] = alpha * dy^T x + beta * dw, of checked operands (linear_backward.cpp).
const char* weight_gradient(Context& ctx, const char* op, const View& x, const View& dy, const View& dw, float alpha,
                            float beta, lf_math math);

}  // namespace LF_ISA
}  // namespace lf_cpu
