// FILL, COPY, BINARY, UNARY and UNARY_BACKWARD.
#include "activation.h"
#include "quant_formats.h"
#include "strided.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// ------------------------------------------------------------------------------------------------ scalar conversion --

bool is_integer(lf_dtype dtype) {
  return dtype == LF_I32 || dtype == LF_I64 || dtype == LF_U8 || dtype == LF_I8 || dtype == LF_U32;
}

int64_t load_integer(const uint8_t* p, lf_dtype dtype) {
  switch (dtype) {
    case LF_I32: return *reinterpret_cast<const int32_t*>(p);
    case LF_U32: return *reinterpret_cast<const uint32_t*>(p);
    case LF_U8: return *p;
    case LF_I8: return *reinterpret_cast<const int8_t*>(p);
    default: return *reinterpret_cast<const int64_t*>(p);
  }
}

// Keeps the low bits, as a C conversion between integers does.
void store_integer(uint8_t* p, lf_dtype dtype, int64_t value) {
  switch (dtype) {
    case LF_I32: case LF_U32: *reinterpret_cast<uint32_t*>(p) = uint32_t(value); break;
    case LF_U8: case LF_I8: *p = uint8_t(value); break;
    default: *reinterpret_cast<int64_t*>(p) = value;
  }
}

double load_real(const uint8_t* p, lf_dtype dtype) {
  switch (dtype) {
    case LF_F32: return *reinterpret_cast<const float*>(p);
    case LF_BF16: return widen(*reinterpret_cast<const bf16*>(p));
    case LF_F16: return widen(*reinterpret_cast<const f16*>(p));
    case LF_F64: return *reinterpret_cast<const double*>(p);
    default: return double(load_integer(p, dtype));
  }
}

// Truncates towards zero and clamps to the range of the integer; NaN gives 0.
int64_t saturate(double value, lf_dtype dtype) {
  double low, high;
  switch (dtype) {
    case LF_I32: low = -2147483648.0, high = 2147483647.0; break;
    case LF_U32: low = 0.0, high = 4294967295.0; break;
    case LF_U8: low = 0.0, high = 255.0; break;
    case LF_I8: low = -128.0, high = 127.0; break;
    default: low = -9223372036854775808.0, high = 9223372036854774784.0; break;  // the largest double below 2^63
  }
  if (value != value) return 0;
  return int64_t(value < low ? low : value > high ? high : value);
}

void store_real(uint8_t* p, lf_dtype dtype, double value) {
  switch (dtype) {
    case LF_F32: *reinterpret_cast<float*>(p) = float(value); break;
    case LF_BF16: *reinterpret_cast<bf16*>(p) = narrow<bf16>(float(value)); break;
    case LF_F16: *reinterpret_cast<f16*>(p) = narrow<f16>(float(value)); break;
    case LF_F64: *reinterpret_cast<double*>(p) = value; break;
    default: store_integer(p, dtype, saturate(value, dtype));
  }
}

const char* expect_plain(Context& ctx, const char* op, const char* name, const View& v) {
  LF_CHECK(expect_present(ctx, op, name, v));
  LF_CHECK(expect_strided(ctx, op, name, v));
  if (element_bytes(v.dtype)) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand %s is %s, expected a plain number type", op, name, dtype_name(v.dtype));
}

// ------------------------------------------------------------------------------------------------------------- FILL --

const char* check_fill(Context& ctx, const uint32_t*, const View* operands, int) {
  return expect_plain(ctx, "FILL", "dst", operands[0]);
}

const char* fill(Context& ctx, const uint32_t* params, const View* operands, int count) {
  LF_CHECK(check_fill(ctx, params, operands, count));
  const View& dst = operands[0];
  const float value = param_f32(params, 0);
  const View* views[] = {&dst};
  const StridedLoop loop = strided_loop(views, 1);
  const int64_t stride = loop.stride[0][loop.rank - 1];
  const int size = element_bytes(dst.dtype);
  for_each_run(ctx, loop, [&](const int64_t* offsets, int64_t, int64_t n, int) {
    uint8_t* p = dst.data + offsets[0] * size;
    if (is_float(dst)) {
      float row[kScratch];
      for_lanes(n, [&](int64_t i, int64_t lanes) { store_lanes(row + i, broadcast(value), lanes); });
      write_row(dst, offsets[0], n, stride, row);
    } else {
      for (int64_t i = 0; i < n; i++) store_real(p + i * stride * size, dst.dtype, value);
    }
  });
  return nullptr;
}

// ------------------------------------------------------------------------------------------------------------- COPY --

const char* check_copy(Context& ctx, const uint32_t*, const View* operands, int) {
  const View &src = operands[0], &dst = operands[1];
  LF_CHECK(expect_present(ctx, "COPY", "src", src));
  LF_CHECK(expect_strided(ctx, "COPY", "src", src));
  LF_CHECK(expect_plain(ctx, "COPY", "dst", dst));
  LF_CHECK(expect_same_shape(ctx, "COPY", "dst", dst, "src", src));
  if (is_block_format(src.dtype)) {
    const int64_t block = block_elements(src.dtype);
    if (block == 0) return ctx.fail(LF_UNSUPPORTED, "COPY: operand src has unknown block format %d", int(src.dtype));
    if (!is_float(dst))
      return ctx.fail(LF_INVALID, "COPY: %s can be dequantised to f32, bf16 or f16, not to %s", dtype_name(src.dtype),
                      dtype_name(dst.dtype));
    if (row_length(src) % block)
      return ctx.fail(LF_INVALID, "COPY: rows of src %s are no multiple of the %lld elements of a %s block",
                      shape_text(src).text, (long long)block, dtype_name(src.dtype));
    return nullptr;
  }
  return expect_plain(ctx, "COPY", "src", src);
}

void dequantize(Context& ctx, const View& src, const View& dst) {
  const int64_t block = block_elements(src.dtype), row = row_length(src), rows = row_count(src);
  const int64_t bytes = block_bytes(src.dtype);
  const int64_t run = kPiece / block * block;  // blocks have 32 or 256 elements
  const int64_t runs_a_row = ceil_div(row, run);
  ctx.for_each(rows * runs_a_row, [&](int64_t task, int) {
    const int64_t r = task / runs_a_row, start = task % runs_a_row * run, n = smaller(run, row - start);
    float scratch[kScratch];
    const uint8_t* blocks = src.data + (r * (row / block) + start / block) * bytes;
    const int64_t stride = row_stride(dst), offset = row_offset(dst, r) + start * stride;
    float* target = row_target(dst, offset, stride, scratch);
    dequantize_row(src.dtype, blocks, n, target);
    finish_row(dst, offset, n, stride, target);
  });
}

const char* copy(Context& ctx, const uint32_t* params, const View* operands, int count) {
  LF_CHECK(check_copy(ctx, params, operands, count));
  const View &src = operands[0], &dst = operands[1];
  if (is_block_format(src.dtype)) {
    dequantize(ctx, src, dst);
    return nullptr;
  }
  const View* views[] = {&src, &dst};
  const StridedLoop loop = strided_loop(views, 2);
  const int64_t from = loop.stride[0][loop.rank - 1], to = loop.stride[1][loop.rank - 1];
  const int from_size = element_bytes(src.dtype), to_size = element_bytes(dst.dtype);
  for_each_run(ctx, loop, [&](const int64_t* offsets, int64_t, int64_t n, int) {
    const uint8_t* s = src.data + offsets[0] * from_size;
    uint8_t* d = dst.data + offsets[1] * to_size;
    if (src.dtype == dst.dtype) {
      if (from == 1 && to == 1) {
        __builtin_memcpy(d, s, n * from_size);
      } else if (from_size == 4) {
        for (int64_t i = 0; i < n; i++) ((uint32_t*)d)[i * to] = ((const uint32_t*)s)[i * from];
      } else if (from_size == 2) {
        for (int64_t i = 0; i < n; i++) ((uint16_t*)d)[i * to] = ((const uint16_t*)s)[i * from];
      } else {
        for (int64_t i = 0; i < n; i++) __builtin_memcpy(d + i * to * to_size, s + i * from * from_size, from_size);
      }
    } else if (is_float(src) && is_float(dst)) {
      float scratch[kScratch];
      write_row(dst, offsets[1], n, to, read_row(src, offsets[0], n, from, scratch));
    } else if (is_integer(src.dtype) && is_integer(dst.dtype)) {
      for (int64_t i = 0; i < n; i++)
        store_integer(d + i * to * to_size, dst.dtype, load_integer(s + i * from * from_size, src.dtype));
    } else {
      for (int64_t i = 0; i < n; i++)
        store_real(d + i * to * to_size, dst.dtype, load_real(s + i * from * from_size, src.dtype));
    }
  });
  return nullptr;
}

// ----------------------------------------------------------------------------------------------------------- BINARY --

const char* check_binary(Context& ctx, const uint32_t* params, const View* operands, int) {
  if (params[0] > LF_MIN) return ctx.fail(LF_INVALID, "BINARY: unknown kind %u", params[0]);
  LF_CHECK(expect_float(ctx, "BINARY", "a", operands[0]));
  LF_CHECK(expect_float(ctx, "BINARY", "b", operands[1]));
  LF_CHECK(expect_float(ctx, "BINARY", "out", operands[2]));
  LF_CHECK(expect_same_shape(ctx, "BINARY", "b", operands[1], "a", operands[0]));
  return expect_same_shape(ctx, "BINARY", "out", operands[2], "a", operands[0]);
}

template <uint32_t kind>
LF_INLINE f32v combine(f32v a, f32v b) {
  if constexpr (kind == LF_ADD) return a + b;
  else if constexpr (kind == LF_SUB) return a - b;
  else if constexpr (kind == LF_MUL) return a * b;
  else if constexpr (kind == LF_DIV) return a / b;
  else if constexpr (kind == LF_MAX) return max(a, b);
  else return min(a, b);
}

template <uint32_t kind>
void binary_of_kind(Context& ctx, const uint32_t* params, const View* operands) {
  const f32v alpha = broadcast(param_f32(params, 1)), beta = broadcast(param_f32(params, 2));
  const View &a = operands[0], &b = operands[1], &out = operands[2];
  const View* views[] = {&a, &b, &out};
  const StridedLoop loop = strided_loop(views, 3);
  const int inner = loop.rank - 1;
  for_each_run(ctx, loop, [&](const int64_t* offsets, int64_t, int64_t n, int) {
    float scratch_a[kScratch], scratch_b[kScratch], scratch_out[kScratch];
    const float* pa = read_row(a, offsets[0], n, loop.stride[0][inner], scratch_a);
    const float* pb = read_row(b, offsets[1], n, loop.stride[1][inner], scratch_b);
    float* po = row_target(out, offsets[2], loop.stride[2][inner], scratch_out);
    for_lanes(n, [&](int64_t i, int64_t lanes) {
      store_lanes(po + i, combine<kind>(alpha * load_lanes(pa + i, lanes), beta * load_lanes(pb + i, lanes)), lanes);
    });
    finish_row(out, offsets[2], n, loop.stride[2][inner], po);
  });
}

const char* binary(Context& ctx, const uint32_t* params, const View* operands, int count) {
  LF_CHECK(check_binary(ctx, params, operands, count));
  switch (params[0]) {
    case LF_ADD: binary_of_kind<LF_ADD>(ctx, params, operands); break;
    case LF_SUB: binary_of_kind<LF_SUB>(ctx, params, operands); break;
    case LF_MUL: binary_of_kind<LF_MUL>(ctx, params, operands); break;
    case LF_DIV: binary_of_kind<LF_DIV>(ctx, params, operands); break;
    case LF_MAX: binary_of_kind<LF_MAX>(ctx, params, operands); break;
    default: binary_of_kind<LF_MIN>(ctx, params, operands);
  }
  return nullptr;
}

// ------------------------------------------------------------------------------------------------------------ UNARY --

const char* check_unary(Context& ctx, const uint32_t* params, const View* operands, int) {
  if (params[0] > LF_ABS) return ctx.fail(LF_INVALID, "UNARY: unknown kind %u", params[0]);
  LF_CHECK(expect_float(ctx, "UNARY", "x", operands[0]));
  LF_CHECK(expect_float(ctx, "UNARY", "out", operands[1]));
  return expect_same_shape(ctx, "UNARY", "out", operands[1], "x", operands[0]);
}

const char* unary_op(Context& ctx, const uint32_t* params, const View* operands, int count) {
  LF_CHECK(check_unary(ctx, params, operands, count));
  const View &x = operands[0], &out = operands[1];
  const View* views[] = {&x, &out};
  const StridedLoop loop = strided_loop(views, 2);
  const int inner = loop.rank - 1;
  with_unary(params[0], [&](auto kind) {
    for_each_run(ctx, loop, [&](const int64_t* offsets, int64_t, int64_t n, int) {
      float scratch_x[kScratch], scratch_out[kScratch];
      const float* px = read_row(x, offsets[0], n, loop.stride[0][inner], scratch_x);
      float* po = row_target(out, offsets[1], loop.stride[1][inner], scratch_out);
      for_lanes(n, [&](int64_t i, int64_t lanes) {
        store_lanes(po + i, unary<decltype(kind)::value>(load_lanes(px + i, lanes)), lanes);
      });
      finish_row(out, offsets[1], n, loop.stride[1][inner], po);
    });
  });
  return nullptr;
}

const char* check_unary_backward(Context& ctx, const uint32_t* params, const View* operands, int) {
  if (params[0] > LF_ABS) return ctx.fail(LF_INVALID, "UNARY_BACKWARD: unknown kind %u", params[0]);
  LF_CHECK(expect_float(ctx, "UNARY_BACKWARD", "x", operands[0]));
  LF_CHECK(expect_float(ctx, "UNARY_BACKWARD", "dy", operands[1]));
  LF_CHECK(expect_float(ctx, "UNARY_BACKWARD", "dx", operands[2]));
  LF_CHECK(expect_same_shape(ctx, "UNARY_BACKWARD", "dy", operands[1], "x", operands[0]));
  return expect_same_shape(ctx, "UNARY_BACKWARD", "dx", operands[2], "x", operands[0]);
}

const char* unary_backward(Context& ctx, const uint32_t* params, const View* operands, int count) {
  LF_CHECK(check_unary_backward(ctx, params, operands, count));
  const View &x = operands[0], &dy = operands[1], &dx = operands[2];
  const View* views[] = {&x, &dy, &dx};
  const StridedLoop loop = strided_loop(views, 3);
  const int inner = loop.rank - 1;
  with_unary(params[0], [&](auto kind) {
    for_each_run(ctx, loop, [&](const int64_t* offsets, int64_t, int64_t n, int) {
      float scratch_x[kScratch], scratch_dy[kScratch], scratch_dx[kScratch];
      const float* px = read_row(x, offsets[0], n, loop.stride[0][inner], scratch_x);
      const float* pdy = read_row(dy, offsets[1], n, loop.stride[1][inner], scratch_dy);
      float* pdx = row_target(dx, offsets[2], loop.stride[2][inner], scratch_dx);
      for_lanes(n, [&](int64_t i, int64_t lanes) {
        f32v slope = unary_derivative<decltype(kind)::value>(load_lanes(px + i, lanes));
        store_lanes(pdx + i, slope * load_lanes(pdy + i, lanes), lanes);
      });
      finish_row(dx, offsets[2], n, loop.stride[2][inner], pdx);
    });
  });
  return nullptr;
}

}  // namespace

void register_elementwise(KernelTable& table) {
  table.entry[LF_OP_FILL] = {fill, check_fill};
  table.entry[LF_OP_COPY] = {copy, check_copy};
  table.entry[LF_OP_BINARY] = {binary, check_binary};
  table.entry[LF_OP_UNARY] = {unary_op, check_unary};
  table.entry[LF_OP_UNARY_BACKWARD] = {unary_backward, check_unary_backward};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
