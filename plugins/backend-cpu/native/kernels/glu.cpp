// GLU and GLU_BACKWARD: gated linear units (Shazeer 2020), out = activation(gate) * up.
#include "activation.h"
#include "reciprocal.h"
#include "strided.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

const char* check_glu(Context& ctx, const uint32_t* params, const View* o, int) {
  if (params[0] > LF_ABS) return ctx.fail(LF_INVALID, "GLU: unknown activation %u", params[0]);
  LF_CHECK(expect_float(ctx, "GLU", "gate", o[0]));
  LF_CHECK(expect_float(ctx, "GLU", "up", o[1]));
  LF_CHECK(expect_float(ctx, "GLU", "out", o[2]));
  LF_CHECK(expect_same_shape(ctx, "GLU", "up", o[1], "gate", o[0]));
  return expect_same_shape(ctx, "GLU", "out", o[2], "gate", o[0]);
}

template <uint32_t kind>
LF_INLINE f32v gate_of(f32v x) {
  if constexpr (kind == LF_SILU) return x * logistic(x);
  else return unary<kind>(x);
}

const char* glu(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_glu(ctx, params, o, count));
  const View &gate = o[0], &up = o[1], &out = o[2];
  const View* views[] = {&gate, &up, &out};
  const StridedLoop loop = strided_loop(views, 3);
  const int inner = loop.rank - 1;
  const bool direct = gate.dtype == up.dtype && gate.dtype == out.dtype && loop.stride[0][inner] == 1 &&
                      loop.stride[1][inner] == 1 && loop.stride[2][inner] == 1;
  with_unary(params[0], [&](auto kind) {
    constexpr uint32_t kKind = decltype(kind)::value;
    if (direct) {
      with_float(gate.dtype, [&](auto type) {
        using T = decltype(type);
        for_each_run(ctx, loop, [&](const int64_t* offsets, int64_t, int64_t n, int) {
          const T *g = gate.as<const T>() + offsets[0], *u = up.as<const T>() + offsets[1];
          T* y = out.as<T>() + offsets[2];
          for_lanes(n, [&](int64_t i, int64_t lanes) {
            store_lanes(y + i, gate_of<kKind>(load_lanes(g + i, lanes)) * load_lanes(u + i, lanes), lanes);
          });
        });
      });
      return;
    }
    for_each_run(ctx, loop, [&](const int64_t* offsets, int64_t, int64_t n, int) {
      float scratch_gate[kScratch], scratch_up[kScratch], scratch_out[kScratch];
      const float* g = read_row(gate, offsets[0], n, loop.stride[0][inner], scratch_gate);
      const float* u = read_row(up, offsets[1], n, loop.stride[1][inner], scratch_up);
      float* y = row_target(out, offsets[2], loop.stride[2][inner], scratch_out);
      for_lanes(n, [&](int64_t i, int64_t lanes) {
        store_lanes(y + i, gate_of<kKind>(load_lanes(g + i, lanes)) * load_lanes(u + i, lanes), lanes);
      });
      finish_row(out, offsets[2], n, loop.stride[2][inner], y);
    });
  });
  return nullptr;
}

const char* check_glu_backward(Context& ctx, const uint32_t* params, const View* o, int) {
  const char* names[] = {"gate", "up", "dout", "dgate", "dup"};
  if (params[0] > LF_ABS) return ctx.fail(LF_INVALID, "GLU_BACKWARD: unknown activation %u", params[0]);
  for (int i = 0; i < 5; i++) {
    LF_CHECK(expect_float(ctx, "GLU_BACKWARD", names[i], o[i]));
    LF_CHECK(expect_same_shape(ctx, "GLU_BACKWARD", names[i], o[i], "gate", o[0]));
  }
  return nullptr;
}

// activation(x) and its derivative. The common activations share their one expensive function.
template <uint32_t kind>
LF_INLINE void unary_with_derivative(f32v x, f32v& value, f32v& derivative) {
  if constexpr (kind == LF_SILU) {
    const f32v s = logistic(x);
    value = x * s;
    derivative = s * fma(x, 1.0f - s, broadcast(1.0f));
  } else {
    value = unary<kind>(x);
    derivative = unary_derivative<kind>(x);
  }
}

template <uint32_t kind, typename T>
LF_INLINE void glu_gradients(const T* gate, const T* up, const T* dout, T* dgate, T* dup, int64_t n) {
  for_lanes(n, [&](int64_t i, int64_t lanes) {
    const f32v d = load_lanes(dout + i, lanes), u = load_lanes(up + i, lanes);
    f32v value, derivative;
    unary_with_derivative<kind>(load_lanes(gate + i, lanes), value, derivative);
    store_lanes(dgate + i, d * u * derivative, lanes);
    store_lanes(dup + i, d * value, lanes);
  });
}

const char* glu_backward(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_glu_backward(ctx, params, o, count));
  const View &gate = o[0], &up = o[1], &dout = o[2], &dgate = o[3], &dup = o[4];
  const int64_t n = row_length(gate), rows = row_count(gate), pieces = ceil_div(n, kPiece);
  const int64_t step = larger<int64_t>(1, kTaskElements / larger<int64_t>(1, smaller(n, kPiece)));
  const View* const views[] = {&gate, &up, &dout, &dgate, &dup};
  bool direct = true;
  for (const View* view : views) direct = direct && view->dtype == gate.dtype && row_stride(*view) == 1;
  with_unary(params[0], [&](auto kind) {
    constexpr uint32_t kKind = decltype(kind)::value;
    ctx.for_each(ceil_div(rows * pieces, step), [&](int64_t task, int) {
      float scratch[5][kScratch];
      for (int64_t p = task * step; p < smaller(rows * pieces, (task + 1) * step); p++) {
        const int64_t row = p / pieces, start = p % pieces * kPiece, m = smaller(kPiece, n - start);
        auto offset = [&](const View& v) { return row_offset(v, row) + start * row_stride(v); };
        if (direct) {
          with_float(gate.dtype, [&](auto type) {
            using T = decltype(type);
            auto at = [&](const View& v) { return v.as<T>() + offset(v); };
            glu_gradients<kKind>(at(gate), at(up), at(dout), at(dgate), at(dup), m);
          });
          continue;
        }
        const float* g = read_row(gate, offset(gate), m, row_stride(gate), scratch[0]);
        const float* u = read_row(up, offset(up), m, row_stride(up), scratch[1]);
        const float* d = read_row(dout, offset(dout), m, row_stride(dout), scratch[2]);
        float* dg = row_target(dgate, offset(dgate), row_stride(dgate), scratch[3]);
        float* du = row_target(dup, offset(dup), row_stride(dup), scratch[4]);
        glu_gradients<kKind>(g, u, d, dg, du, m);
        finish_row(dgate, offset(dgate), m, row_stride(dgate), dg);
        finish_row(dup, offset(dup), m, row_stride(dup), du);
      }
    });
  });
  return nullptr;
}

}  // namespace

void register_glu(KernelTable& table) {
  table.entry[LF_OP_GLU] = {glu, check_glu};
  table.entry[LF_OP_GLU_BACKWARD] = {glu_backward, check_glu_backward};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
