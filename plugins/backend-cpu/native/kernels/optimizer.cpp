// CLIP_SCALE and ADAMW.
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// Elements of one task, and of the piece of it whose conversions stay in L1.
constexpr int64_t kTaskElements = 16384;
constexpr int64_t kPiece = 1024;

const char* check_clip_scale(Context& ctx, const uint32_t*, const View* o, int) {
  LF_CHECK(expect_dtype(ctx, "CLIP_SCALE", "sum_squares", o[0], LF_F32));
  LF_CHECK(expect_dtype(ctx, "CLIP_SCALE", "out", o[1], LF_F32));
  if (element_count(o[0]) != 1)
    return ctx.fail(LF_INVALID, "CLIP_SCALE: operand sum_squares has shape %s, expected [1]", shape_text(o[0]).text);
  LF_CHECK(expect_shape(ctx, "CLIP_SCALE", "out", o[1], 2));
  return nullptr;
}

const char* clip_scale(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_clip_scale(ctx, params, o, count));
  const float max_norm = param_f32(params, 0), grad_scale = param_f32(params, 1);
  const float norm = grad_scale * __builtin_sqrtf(*o[0].as<const float>());
  float factor = 1.0f;
  if (max_norm > 0.0f) {
    factor = max_norm / (norm + 1e-6f);
    if (factor > 1.0f) factor = 1.0f;  // a NaN norm stays visible
  }
  o[1].as<float>()[0] = norm;
  o[1].as<float>()[o[1].stride[0]] = grad_scale * factor;
  return nullptr;
}

const char* check_adamw(Context& ctx, const uint32_t*, const View* o, int) {
  const char* op = "ADAMW";
  const View &param = o[0], &grad = o[1], &m = o[2], &v = o[3], &scale = o[4], &copy = o[5];
  LF_CHECK(expect_dtype(ctx, op, "param", param, LF_F32));
  LF_CHECK(expect_float(ctx, op, "grad", grad));
  LF_CHECK(expect_dtype(ctx, op, "m", m, LF_F32));
  LF_CHECK(expect_dtype(ctx, op, "v", v, LF_F32));
  const View* all[] = {&param, &grad, &m, &v, &copy};
  const char* names[] = {"param", "grad", "m", "v", "copy"};
  for (int i = 0; i < (copy.present() ? 5 : 4); i++) {
    LF_CHECK(expect_same_shape(ctx, op, names[i], *all[i], "param", param));
    LF_CHECK(expect_contiguous(ctx, op, names[i], *all[i]));
  }
  if (copy.present()) LF_CHECK(expect_float(ctx, op, "copy", copy));
  if (!scale.present()) return nullptr;
  LF_CHECK(expect_dtype(ctx, op, "scale", scale, LF_F32));
  return expect_shape(ctx, op, "scale", scale, 2);
}

const char* adamw(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_adamw(ctx, params, o, count));
  const View &param = o[0], &grad = o[1], &m = o[2], &v = o[3], &scale = o[4], &copy = o[5];
  const float lr = param_f32(params, 0), beta1 = param_f32(params, 1), beta2 = param_f32(params, 2),
              eps = param_f32(params, 3), weight_decay = param_f32(params, 4);
  const double correction1 = param_f32(params, 5), correction2 = param_f32(params, 6);
  const float grad_scale = scale.present() ? scale.as<const float>()[scale.stride[0]] : 1.0f;
  const f32v decay = broadcast(1.0f - lr * weight_decay), keep1 = broadcast(1.0f - beta1), vbeta2 = broadcast(beta2),
             keep2 = broadcast(1.0f - beta2), step = broadcast(float(-lr / correction1)),
             root2 = broadcast(float(__builtin_sqrt(correction2))), veps = broadcast(eps), vscale = broadcast(grad_scale);
  const int64_t n = element_count(param);
  ctx.for_each(ceil_div(n, kTaskElements), [&](int64_t task, int) {
    float scratch[kPiece];
    const int64_t end = smaller(n, (task + 1) * kTaskElements);
    for (int64_t start = task * kTaskElements; start < end; start += kPiece) {
      const int64_t size = smaller(kPiece, end - start);
      const float* g = read_row(grad, start, size, 1, scratch);
      float *p = param.as<float>() + start, *pm = m.as<float>() + start, *pv = v.as<float>() + start;
      for_lanes(size, [&](int64_t i, int64_t lanes) {
        const f32v vg = load_lanes(g + i, lanes) * vscale;
        f32v vm = load_lanes(pm + i, lanes), vv = load_lanes(pv + i, lanes), vp = load_lanes(p + i, lanes) * decay;
        vm = fma(vg - vm, keep1, vm);
        vv = fma(vg * keep2, vg, vv * vbeta2);
        vp = fma(step, vm / (sqrt(vv) / root2 + veps), vp);
        store_lanes(pm + i, vm, lanes);
        store_lanes(pv + i, vv, lanes);
        store_lanes(p + i, vp, lanes);
      });
      if (copy.present()) write_row(copy, start, size, 1, p);
    }
  });
  return nullptr;
}

}  // namespace

void register_optimizer(KernelTable& table) {
  table.entry[LF_OP_CLIP_SCALE] = {clip_scale, check_clip_scale};
  table.entry[LF_OP_ADAMW] = {adamw, check_adamw};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
