// CLIP_SCALE and ADAMW.
#include "update.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

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

const char* check_adamw(Context& ctx, const uint32_t*, const View* o, int) { return check_update(ctx, "ADAMW", o, 2); }

const char* adamw(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_adamw(ctx, params, o, count));
  float *const m = o[2].as<float>(), *const v = o[3].as<float>();
  const float lr = param_f32(params, 0), beta1 = param_f32(params, 1), beta2 = param_f32(params, 2),
              eps = param_f32(params, 3), weight_decay = param_f32(params, 4);
  const double correction1 = param_f32(params, 5), correction2 = param_f32(params, 6);
  const f32v decay = broadcast(1.0f - lr * weight_decay), keep1 = broadcast(1.0f - beta1), vbeta2 = broadcast(beta2),
             keep2 = broadcast(1.0f - beta2), step = broadcast(float(-lr / correction1)),
             root2 = broadcast(float(__builtin_sqrt(correction2))), veps = broadcast(eps);
  update(ctx, o, 2, [&](f32v g, int64_t at, float* p, int64_t lanes) {
    f32v vm = load_lanes(m + at, lanes), vv = load_lanes(v + at, lanes), vp = load_lanes(p, lanes) * decay;
    vm = fma(g - vm, keep1, vm);
    vv = fma(g * keep2, g, vv * vbeta2);
    vp = fma(step, vm / (sqrt(vv) / root2 + veps), vp);
    store_lanes(m + at, vm, lanes);
    store_lanes(v + at, vv, lanes);
    store_lanes(p, vp, lanes);
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
