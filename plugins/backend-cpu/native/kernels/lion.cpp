// LION.
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr int64_t kTaskElements = 16384;
constexpr int64_t kPiece = 1024;

const char* check_lion(Context& ctx, const uint32_t*, const View* o, int) {
  const char* op = "LION";
  const View &param = o[0], &grad = o[1], &m = o[2], &scale = o[3], &copy = o[4];
  LF_CHECK(expect_dtype(ctx, op, "param", param, LF_F32));
  LF_CHECK(expect_float(ctx, op, "grad", grad));
  LF_CHECK(expect_dtype(ctx, op, "m", m, LF_F32));
  const View* all[] = {&param, &grad, &m, &copy};
  const char* names[] = {"param", "grad", "m", "copy"};
  for (int i = 0; i < (copy.present() ? 4 : 3); i++) {
    LF_CHECK(expect_same_shape(ctx, op, names[i], *all[i], "param", param));
    LF_CHECK(expect_contiguous(ctx, op, names[i], *all[i]));
  }
  if (copy.present()) LF_CHECK(expect_float(ctx, op, "copy", copy));
  if (!scale.present()) return nullptr;
  LF_CHECK(expect_dtype(ctx, op, "scale", scale, LF_F32));
  return expect_shape(ctx, op, "scale", scale, 2);
}

const char* lion(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_lion(ctx, params, o, count));
  const View &param = o[0], &grad = o[1], &m = o[2], &scale = o[3], &copy = o[4];
  const float lr = param_f32(params, 0), beta1 = param_f32(params, 1), beta2 = param_f32(params, 2);
  const float grad_scale = scale.present() ? scale.as<const float>()[scale.stride[0]] : 1.0f;
  const f32v decay = broadcast(1.0f - lr * param_f32(params, 3)), vbeta1 = broadcast(beta1),
             keep1 = broadcast(1.0f - beta1), vbeta2 = broadcast(beta2), keep2 = broadcast(1.0f - beta2),
             up = broadcast(lr), down = broadcast(-lr), zero = broadcast(0.0f), vscale = broadcast(grad_scale);
  const int64_t n = element_count(param);
  ctx.for_each(ceil_div(n, kTaskElements), [&](int64_t task, int) {
    float scratch[kPiece];
    const int64_t end = smaller(n, (task + 1) * kTaskElements);
    for (int64_t start = task * kTaskElements; start < end; start += kPiece) {
      const int64_t size = smaller(kPiece, end - start);
      const float* g = read_row(grad, start, size, 1, scratch);
      float *p = param.as<float>() + start, *pm = m.as<float>() + start;
      for_lanes(size, [&](int64_t i, int64_t lanes) {
        const f32v vg = load_lanes(g + i, lanes) * vscale, vm = load_lanes(pm + i, lanes);
        const f32v direction = fma(vg, keep1, vm * vbeta1);
        // The sign alone moves the parameter; a NaN goes on.
        f32v step = select(direction < zero, up, select(direction <= zero, zero, down));
        step = select(direction <= direction, step, direction);
        store_lanes(p + i, fma(load_lanes(p + i, lanes), decay, step), lanes);
        store_lanes(pm + i, fma(vg, keep2, vm * vbeta2), lanes);
      });
      if (copy.present()) write_row(copy, start, size, 1, p);
    }
  });
  return nullptr;
}

}  // namespace

void register_lion(KernelTable& table) { table.entry[LF_OP_LION] = {lion, check_lion}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
