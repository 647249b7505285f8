// What optimisers that move a parameter element by element share: operands param, grad, moments, scale?, copy?.
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// Elements of one task, and of the piece of it whose conversions stay in L1.
constexpr int64_t kTaskElements = 16384;
constexpr int64_t kPiece = 1024;

// The operands of an update with so many moments, m and v.
inline const char* check_update(Context& ctx, const char* op, const View* o, int moments) {
  const View &param = o[0], &grad = o[1], &scale = o[2 + moments], &copy = o[3 + moments];
  LF_CHECK(expect_dtype(ctx, op, "param", param, LF_F32));
  LF_CHECK(expect_float(ctx, op, "grad", grad));
  const char* names[] = {"param", "grad", "m", "v"};
  for (int i = 0; i < 2 + moments; i++) {
    if (i >= 2) LF_CHECK(expect_dtype(ctx, op, names[i], o[i], LF_F32));
    LF_CHECK(expect_same_shape(ctx, op, names[i], o[i], "param", param));
    LF_CHECK(expect_contiguous(ctx, op, names[i], o[i]));
  }
  if (copy.present()) {
    LF_CHECK(expect_float(ctx, op, "copy", copy));
    LF_CHECK(expect_same_shape(ctx, op, "copy", copy, "param", param));
    LF_CHECK(expect_contiguous(ctx, op, "copy", copy));
  }
  if (!scale.present()) return nullptr;
  LF_CHECK(expect_dtype(ctx, op, "scale", scale, LF_F32));
  return expect_shape(ctx, op, "scale", scale, 2);
}

// Moves a parameter and writes its copy. `move` gets the lanes of an element's gradient, scaled, with its number, the place of
// the parameter's lanes, and how many there are.
template <typename Move>
LF_INLINE void update(Context& ctx, const View* o, int moments, Move move) {
  const View &param = o[0], &grad = o[1], &scale = o[2 + moments], &copy = o[3 + moments];
  const f32v factor = broadcast(scale.present() ? scale.as<const float>()[scale.stride[0]] : 1.0f);
  const int64_t n = element_count(param);
  ctx.for_each(ceil_div(n, kTaskElements), [&](int64_t task, int) {
    float scratch[kPiece];
    const int64_t end = smaller(n, (task + 1) * kTaskElements);
    for (int64_t start = task * kTaskElements; start < end; start += kPiece) {
      const int64_t size = smaller(kPiece, end - start);
      const float* g = read_row(grad, start, size, 1, scratch);
      float* p = param.as<float>() + start;
      for_lanes(size, [&](int64_t i, int64_t lanes) { move(load_lanes(g + i, lanes) * factor, start + i, p + i, lanes); });
      if (copy.present()) write_row(copy, start, size, 1, p);
    }
  });
}

}  // namespace
}  // namespace LF_ISA
}  // namespace lf_cpu
