// Checks of operands and row-wise access to float operands of any dtype and stride.
//
// Kernels compute on rows of f32 that lie in L1: `read_row` hands out the operand's own memory when it already is
// contiguous f32 and converts into scratch otherwise, `write_row` converts back.
#pragma once
#include <cstdio>

#include "../kernel.h"
#include "simd.h"

// Returns from the calling function when a check fails.
#define LF_CHECK(expression)                                \
  do {                                                      \
    if (const char* lf_check_failure = (expression)) return lf_check_failure; \
  } while (0)

namespace lf_cpu {
namespace LF_ISA {

LF_INLINE int64_t element_count(const View& v) {
  int64_t n = 1;
  for (int i = 0; i < v.rank; i++) n *= v.shape[i];
  return n;
}
LF_INLINE bool is_float(const View& v) { return v.dtype == LF_F32 || v.dtype == LF_BF16 || v.dtype == LF_F16; }
LF_INLINE bool is_block_format(lf_dtype dtype) { return dtype >= LF_Q4_0; }
LF_INLINE int element_bytes(lf_dtype dtype) {
  switch (dtype) {
    case LF_F32: case LF_I32: case LF_U32: return 4;
    case LF_BF16: case LF_F16: return 2;
    case LF_F64: case LF_I64: return 8;
    case LF_U8: case LF_I8: return 1;
    default: return 0;
  }
}
LF_INLINE const char* dtype_name(lf_dtype dtype) {
  switch (dtype) {
    case LF_F32: return "f32";
    case LF_BF16: return "bf16";
    case LF_F16: return "f16";
    case LF_F64: return "f64";
    case LF_I32: return "i32";
    case LF_I64: return "i64";
    case LF_U8: return "u8";
    case LF_I8: return "i8";
    case LF_U32: return "u32";
    case LF_I4: return "i4";
    case LF_Q4_0: return "q4_0";
    case LF_Q4_1: return "q4_1";
    case LF_Q5_0: return "q5_0";
    case LF_Q5_1: return "q5_1";
    case LF_Q8_0: return "q8_0";
    case LF_Q4_K: return "q4_k";
    case LF_Q5_K: return "q5_k";
    case LF_Q6_K: return "q6_k";
    case LF_Q4_Z: return "q4_z";
  }
  return "unknown";
}

struct ShapeText {
  char text[64];
};
static inline ShapeText shape_text(int rank, const int64_t* shape) {
  ShapeText out;
  int used = snprintf(out.text, sizeof out.text, "[");
  for (int i = 0; i < rank; i++)
    used += snprintf(out.text + used, sizeof out.text - used, i ? ", %lld" : "%lld", (long long)shape[i]);
  snprintf(out.text + used, sizeof out.text - used, "]");
  return out;
}
static inline ShapeText shape_text(const View& v) { return shape_text(v.rank, v.shape); }

// ---------------------------------------------------------------------------------------------------------- checks --

static inline const char* expect_present(Context& ctx, const char* op, const char* name, const View& v) {
  return v.present() ? nullptr : ctx.fail(LF_INVALID, "%s: operand %s is absent", op, name);
}
static inline const char* expect_strided(Context& ctx, const char* op, const char* name, const View& v) {
  if (v.layout == LF_LAYOUT_STRIDED) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand %s has a packed layout, which only matrix products take", op, name);
}
static inline const char* expect_dtype(Context& ctx, const char* op, const char* name, const View& v, lf_dtype dtype) {
  LF_CHECK(expect_present(ctx, op, name, v));
  LF_CHECK(expect_strided(ctx, op, name, v));
  if (v.dtype == dtype) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand %s is %s, expected %s", op, name, dtype_name(v.dtype), dtype_name(dtype));
}
static inline const char* expect_float(Context& ctx, const char* op, const char* name, const View& v) {
  LF_CHECK(expect_present(ctx, op, name, v));
  LF_CHECK(expect_strided(ctx, op, name, v));
  if (is_float(v)) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand %s is %s, expected f32, bf16 or f16", op, name, dtype_name(v.dtype));
}
static inline const char* expect_rank(Context& ctx, const char* op, const char* name, const View& v, int rank) {
  if (v.rank == rank) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand %s has shape %s, expected %d dimension%s", op, name, shape_text(v).text, rank,
                  rank == 1 ? "" : "s");
}
static inline const char* expect_shape(Context& ctx, const char* op, const char* name, const View& v, int rank,
                                       const int64_t* shape) {
  bool same = v.rank == rank;
  for (int i = 0; same && i < rank; i++) same = v.shape[i] == shape[i];
  if (same) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand %s has shape %s, expected %s", op, name, shape_text(v).text,
                  shape_text(rank, shape).text);
}
static inline const char* expect_shape(Context& ctx, const char* op, const char* name, const View& v, int64_t s0) {
  return expect_shape(ctx, op, name, v, 1, &s0);
}
static inline const char* expect_shape(Context& ctx, const char* op, const char* name, const View& v, int64_t s0,
                                       int64_t s1) {
  const int64_t shape[] = {s0, s1};
  return expect_shape(ctx, op, name, v, 2, shape);
}
static inline const char* expect_shape(Context& ctx, const char* op, const char* name, const View& v, int64_t s0,
                                       int64_t s1, int64_t s2) {
  const int64_t shape[] = {s0, s1, s2};
  return expect_shape(ctx, op, name, v, 3, shape);
}
// `other` has exactly the shape of `v`; the message gives both.
static inline const char* expect_same_shape(Context& ctx, const char* op, const char* name, const View& other,
                                            const char* reference_name, const View& reference) {
  bool same = other.rank == reference.rank;
  for (int i = 0; same && i < other.rank; i++) same = other.shape[i] == reference.shape[i];
  if (same) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand %s has shape %s, but %s has %s", op, name, shape_text(other).text,
                  reference_name, shape_text(reference).text);
}
// The last dimension is dense in memory, as heads and cached rows must be.
static inline const char* expect_dense_rows(Context& ctx, const char* op, const char* name, const View& v) {
  if (v.shape[v.rank - 1] <= 1 || v.stride[v.rank - 1] == 1) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand %s has stride %lld in its last dimension, expected 1", op, name,
                  (long long)v.stride[v.rank - 1]);
}
static inline bool is_contiguous(const View& v) {
  int64_t expected = 1;
  for (int i = v.rank - 1; i >= 0; i--) {
    if (v.shape[i] != 1 && v.stride[i] != expected) return false;
    expected *= v.shape[i];
  }
  return true;
}
static inline const char* expect_contiguous(Context& ctx, const char* op, const char* name, const View& v) {
  if (is_contiguous(v)) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand %s with shape %s is not contiguous", op, name, shape_text(v).text);
}
static inline const char* out_of_scratch(Context& ctx, const char* op, size_t bytes) {
  return ctx.fail(LF_OUT_OF_MEMORY, "%s: no memory for %zu bytes of scratch", op, bytes);
}

// ------------------------------------------------------------------------------------------------------------ rows --

LF_INLINE int64_t row_length(const View& v) { return v.rank ? v.shape[v.rank - 1] : 1; }
LF_INLINE int64_t row_stride(const View& v) { return v.rank ? v.stride[v.rank - 1] : 1; }
LF_INLINE int64_t row_count(const View& v) {
  int64_t n = 1;
  for (int i = 0; i + 1 < v.rank; i++) n *= v.shape[i];
  return n;
}
// Offset, in elements, of the row-th vector along the last dimension.
LF_INLINE int64_t row_offset(const View& v, int64_t row) {
  if (v.rank == 2) return row * v.stride[0];
  int64_t offset = 0;
  for (int d = v.rank - 2; d > 0; d--) {
    offset += (row % v.shape[d]) * v.stride[d];
    row /= v.shape[d];
  }
  return v.rank >= 2 ? offset + row * v.stride[0] : 0;
}

// Calls f with a value of the C++ type of a float dtype.
template <typename F>
LF_INLINE void with_float(lf_dtype dtype, F&& f) {
  if (dtype == LF_F32) f(float{});
  else if (dtype == LF_BF16) f(bf16{});
  else f(f16{});
}

template <typename T>
LF_INLINE void widen_row(const T* src, int64_t n, int64_t stride, float* dst) {
  if (stride == 1) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(dst + i, load(src + i));
    if (i < n) store_n(dst + i, load_n(src + i, n - i), n - i);
  } else {
    for (int64_t i = 0; i < n; i++) dst[i] = widen(src[i * stride]);
  }
}
template <typename T>
LF_INLINE void narrow_row(T* dst, int64_t n, int64_t stride, const float* src) {
  if (stride == 1) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(dst + i, load(src + i));
    if (i < n) store_n(dst + i, load_n(src + i, n - i), n - i);
  } else {
    for (int64_t i = 0; i < n; i++) dst[i * stride] = narrow<T>(src[i]);
  }
}

// n elements that start `offset` elements into the view, `stride` apart, as f32: the memory itself, or `scratch`.
static inline const float* read_row(const View& v, int64_t offset, int64_t n, int64_t stride, float* scratch) {
  if (v.dtype == LF_F32 && stride == 1) return v.as<const float>() + offset;
  with_float(v.dtype, [&](auto type) { widen_row(v.as<const decltype(type)>() + offset, n, stride, scratch); });
  return scratch;
}
static inline void write_row(const View& v, int64_t offset, int64_t n, int64_t stride, const float* src) {
  with_float(v.dtype, [&](auto type) { narrow_row(v.as<decltype(type)>() + offset, n, stride, src); });
}
// Where to compute a row that `finish_row` then stores: the view's own memory when it is contiguous f32.
LF_INLINE float* row_target(const View& v, int64_t offset, int64_t stride, float* scratch) {
  return v.dtype == LF_F32 && stride == 1 ? v.as<float>() + offset : scratch;
}
LF_INLINE void finish_row(const View& v, int64_t offset, int64_t n, int64_t stride, const float* computed) {
  if (v.dtype == LF_F32 && stride == 1) return;
  write_row(v, offset, n, stride, computed);
}

// Calls body(i, lanes) for i = 0, kLanes, ... with lanes = kLanes but for the last call.
template <typename F>
LF_INLINE void for_lanes(int64_t n, F&& body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, int64_t(kLanes));
  if (i < n) body(i, n - i);
}
// load/store of `lanes` lanes; the test is folded away where `lanes` is a constant.
template <typename T>
LF_INLINE f32v load_lanes(const T* p, int64_t lanes) {
  return lanes == kLanes ? load(p) : load_n(p, lanes);
}
template <typename T>
LF_INLINE void store_lanes(T* p, f32v v, int64_t lanes) {
  if (lanes == kLanes) store(p, v);
  else store_n(p, v, lanes);
}

LF_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
LF_INLINE int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace LF_ISA
}  // namespace lf_cpu
