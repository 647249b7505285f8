// CLIP_SCALE and ADAMW.
#include "../kernels/optimizer.h"

#include "checks.h"

namespace lf_gpu {
namespace {

const char* check_clip(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_dtype(c, o[0], "sum_squares", LF_F32));
  if (o[0].elements() != 1) return c.fail(LF_INVALID, "operand sum_squares has %lld elements, expected 1", (long long)o[0].elements());
  LF_RETURN_IF(expect_dtype(c, o[1], "out", LF_F32));
  return expect_shape(c, o[1], "out", {2});
}
const char* run_clip(Context& c, const uint32_t* p, const View* o, int) {
  ClipArgs args{};
  args.sum_squares = o[0].as<const float>();
  args.out = o[1].as<float>();
  args.out_stride = o[1].stride[0];
  args.max_norm = param_f32(p, 0), args.grad_scale = param_f32(p, 1);
  return c.launch("clip_scale", {1}, c.info().warp, 0, args);
}

const char* check_adamw(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_dtype(c, o[0], "param", LF_F32));
  LF_RETURN_IF(expect_contiguous(c, o[0], "param"));
  LF_RETURN_IF(expect_float(c, o[1], "grad"));
  for (int i : {2, 3}) LF_RETURN_IF(expect_dtype(c, o[i], i == 2 ? "m" : "v", LF_F32));
  for (int i : {1, 2, 3, 5}) {
    if (i == 5 && !o[i].present()) continue;
    const char* name = i == 1 ? "grad" : i == 2 ? "m" : i == 3 ? "v" : "copy";
    LF_RETURN_IF(expect_float(c, o[i], name));
    LF_RETURN_IF(expect_same_shape(c, o[i], name, o[0], "param"));
    LF_RETURN_IF(expect_contiguous(c, o[i], name));
  }
  if (!o[4].present()) return nullptr;
  LF_RETURN_IF(expect_dtype(c, o[4], "scale", LF_F32));
  return expect_shape(c, o[4], "scale", {2});
}
const char* run_adamw(Context& c, const uint32_t* p, const View* o, int) {
  AdamwArgs args{};
  args.param = elements_of(o[0]), args.grad = elements_of(o[1]), args.m = elements_of(o[2]), args.v = elements_of(o[3]);
  if (o[5].present()) args.copy = elements_of(o[5]);
  if (o[4].present()) args.scale = o[4].as<const float>(), args.scale_stride = o[4].stride[0];
  args.n = o[0].elements();
  float* const numbers[] = {&args.lr, &args.beta1, &args.beta2, &args.eps, &args.weight_decay, &args.bias_correction1, &args.bias_correction2};
  for (int i = 0; i < 7; i++) *numbers[i] = param_f32(p, i);
  const int64_t pieces = ceil_div(args.n, 8);
  const uint32_t threads = threads_for(c, pieces, kOptimizerThreads);
  return c.launch("adamw", grid_for(c, ceil_div(pieces, threads)), threads, 0, args);
}

const OpRegistration kClip{LF_OP_CLIP_SCALE, run_clip, check_clip}, kAdamw{LF_OP_ADAMW, run_adamw, check_adamw};

}  // namespace
}  // namespace lf_gpu
