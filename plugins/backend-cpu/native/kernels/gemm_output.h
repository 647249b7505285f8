// What becomes of finished sums: scale, bias, activation, conversion.
#pragma once
#include "activation.h"
#include "gemm.h"

namespace lf_cpu {
namespace LF_ISA {

template <typename T>
static inline void write_sums(const Output& out, const float* sums, T* dst, int64_t count) {
  if (out.column_stride == 1) {
    for_lanes(count, [&](int64_t i, int64_t lanes) {
      f32v v = load(sums + i);
      if (out.beta != 0.0f) v = fma(load_lanes(dst + i, lanes), broadcast(out.beta), v);
      store_lanes(dst + i, v, lanes);
    });
  } else {
    for (int64_t i = 0; i < count; i++) {
      T* p = dst + i * out.column_stride;
      *p = narrow<T>(out.beta != 0.0f ? fma(widen(*p), out.beta, sums[i]) : sums[i]);
    }
  }
}

// Writes a tile of sums [rows][kWidth], which it changes: rows from `first_row` on, `count` columns from `column` on, of a
// product with n columns. kWidth is a multiple of kLanes.
template <int kWidth>
static void write_tile(const Output& out, int64_t first_row, int64_t rows, int64_t column, int64_t count, int64_t n,
                       float* tile) {
  float bias[kWidth] = {};
  if (out.bias)
    with_float(out.bias_dtype, [&](auto type) {
      widen_row(reinterpret_cast<const decltype(type)*>(out.bias) + column * out.bias_stride, count, out.bias_stride,
                bias);
    });
  for (int64_t r = 0; r < rows; r++) {
    float* sums = tile + r * kWidth;
    if (out.copy)
      for_lanes(count, [&](int64_t i, int64_t lanes) {
        store_lanes(out.copy + (first_row + r) * n + column + i, load(sums + i) * out.copy_scale, lanes);
      });
    if (!out.data) continue;
    if (out.bias || out.alpha != 1.0f)
      for (int v = 0; v < kWidth; v += kLanes)
        store(sums + v, fma(load(sums + v), broadcast(out.alpha), load(bias + v)));
    if (out.activation)
      with_unary(out.activation, [&](auto kind) {
        for (int v = 0; v < kWidth; v += kLanes) store(sums + v, unary<decltype(kind)::value>(load(sums + v)));
      });
    const int64_t row = out.index ? out.index[first_row + r] : first_row + r;
    with_float(out.dtype, [&](auto type) {
      using T = decltype(type);
      write_sums(out, sums, reinterpret_cast<T*>(out.data) + row * out.row_stride + column * out.column_stride, count);
    });
  }
}

}  // namespace LF_ISA
}  // namespace lf_cpu
