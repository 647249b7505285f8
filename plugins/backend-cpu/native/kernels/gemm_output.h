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
  if (out.copy)
    for (int64_t r = 0; r < rows; r++)
      for_lanes(count, [&](int64_t i, int64_t lanes) {
        const f32v sums = load(tile + r * kWidth + i);
        store_lanes(out.copy + (first_row + r) * n + column + i, sums * out.copy_scale, lanes);
      });
  if (!out.data) return;
  const int64_t size = rows * kWidth;
  if (out.bias || out.alpha != 1.0f)
    for (int64_t i = 0; i < size; i += kWidth)
      for (int v = 0; v < kWidth; v += kLanes)
        store(tile + i + v, fma(load(tile + i + v), broadcast(out.alpha), load(bias + v)));
  if (out.activation)
    with_unary(out.activation, [&](auto kind) {
      for (int64_t i = 0; i < size; i += kLanes) store(tile + i, unary<decltype(kind)::value>(load(tile + i)));
    });
  with_float(out.dtype, [&](auto type) {
    using T = decltype(type);
    T* data = reinterpret_cast<T*>(out.data) + column * out.column_stride;
    for (int64_t r = 0; r < rows; r++) {
      const int64_t row = out.index ? out.index[first_row + r] : first_row + r;
      write_sums(out, tile + r * kWidth, data + row * out.row_stride, count);
    }
  });
}

}  // namespace LF_ISA
}  // namespace lf_cpu
