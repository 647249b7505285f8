// CLIP_SCALE, ADAMW, LION, ADAMW_8BIT and ADAFACTOR.
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

// Of the shape of param, without gaps. An absent operand is as good.
const char* expect_like(Context& c, const View& v, const char* name, const View& param) {
  if (!v.present()) return nullptr;
  LF_RETURN_IF(expect_same_shape(c, v, name, param, "param"));
  return expect_contiguous(c, v, name);
}
// A parameter with its gradient, and where they are given the gradient's scale and the copy.
const char* check_parameter(Context& c, const View& param, const View& grad, const View& scale, const View& copy) {
  LF_RETURN_IF(expect_dtype(c, param, "param", LF_F32));
  LF_RETURN_IF(expect_contiguous(c, param, "param"));
  LF_RETURN_IF(expect_float(c, grad, "grad"));
  LF_RETURN_IF(expect_like(c, grad, "grad", param));
  if (copy.present()) LF_RETURN_IF(expect_float(c, copy, "copy"));
  LF_RETURN_IF(expect_like(c, copy, "copy", param));
  if (!scale.present()) return nullptr;
  LF_RETURN_IF(expect_dtype(c, scale, "scale", LF_F32));
  return expect_shape(c, scale, "scale", {2});
}
const char* expect_vector(Context& c, const View& v, const char* name, int64_t n) {
  LF_RETURN_IF(expect_dtype(c, v, name, LF_F32));
  LF_RETURN_IF(expect_shape(c, v, name, {n}));
  return expect_contiguous(c, v, name);
}
template <typename Args>
void set_parameter(Args& args, const View& param, const View& grad, const View& scale, const View& copy) {
  args.param = elements_of(param), args.grad = elements_of(grad);
  if (copy.present()) args.copy = elements_of(copy);
  if (scale.present()) args.scale = scale.as<const float>(), args.scale_stride = scale.stride[0];
}

const char* check_lion(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(check_parameter(c, o[0], o[1], o[3], o[4]));
  LF_RETURN_IF(expect_dtype(c, o[2], "m", LF_F32));
  return expect_like(c, o[2], "m", o[0]);
}
const char* run_lion(Context& c, const uint32_t* p, const View* o, int) {
  LionArgs args{};
  set_parameter(args, o[0], o[1], o[3], o[4]);
  args.m = elements_of(o[2]);
  args.n = o[0].elements();
  args.lr = param_f32(p, 0), args.beta1 = param_f32(p, 1), args.beta2 = param_f32(p, 2), args.weight_decay = param_f32(p, 3);
  const int64_t pieces = ceil_div(args.n, 8);
  const uint32_t threads = threads_for(c, pieces, kOptimizerThreads);
  return c.launch("lion", grid_for(c, ceil_div(pieces, threads)), threads, 0, args);
}

const char* check_adamw_8bit(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(check_parameter(c, o[0], o[1], o[8], o[9]));
  for (int i : {2, 3}) {
    LF_RETURN_IF(expect_dtype(c, o[i], i == 2 ? "m" : "v", LF_U8));
    LF_RETURN_IF(expect_like(c, o[i], i == 2 ? "m" : "v", o[0]));
  }
  const int64_t blocks = ceil_div(o[0].elements(), kMomentBlock);
  LF_RETURN_IF(expect_vector(c, o[4], "m_absmax", blocks));
  LF_RETURN_IF(expect_vector(c, o[5], "v_absmax", blocks));
  LF_RETURN_IF(expect_vector(c, o[6], "m_map", kMomentCodes));
  return expect_vector(c, o[7], "v_map", kMomentCodes);
}
const char* run_adamw_8bit(Context& c, const uint32_t* p, const View* o, int) {
  Adamw8BitArgs args{};
  set_parameter(args, o[0], o[1], o[8], o[9]);
  args.m = o[2].as<uint8_t>(), args.v = o[3].as<uint8_t>();
  args.m_absmax = o[4].as<float>(), args.v_absmax = o[5].as<float>();
  args.m_map = o[6].as<const float>(), args.v_map = o[7].as<const float>();
  args.n = o[0].elements();
  float* const numbers[] = {&args.lr, &args.beta1, &args.beta2, &args.eps, &args.weight_decay, &args.bias_correction1, &args.bias_correction2};
  for (int i = 0; i < 7; i++) *numbers[i] = param_f32(p, i);
  return c.launch("adamw_8bit", {static_cast<uint32_t>(ceil_div(args.n, kMomentBlock))}, kMomentBlock, kMomentShared, args);
}

const char* check_adafactor(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(check_parameter(c, o[0], o[1], o[4], o[5]));
  if (!o[3].present()) {
    LF_RETURN_IF(expect_dtype(c, o[2], "row", LF_F32));
    return expect_like(c, o[2], "row", o[0]);
  }
  LF_RETURN_IF(expect_rank(c, o[0], "param", 2, 2));
  LF_RETURN_IF(expect_vector(c, o[2], "row", o[0].shape[0]));
  return expect_vector(c, o[3], "column", o[0].shape[1]);
}
const char* run_adafactor(Context& c, const uint32_t* p, const View* o, int) {
  AdafactorArgs args{};
  set_parameter(args, o[0], o[1], o[4], o[5]);
  args.row = o[2].as<float>(), args.column = o[3].as<float>();
  const bool factored = o[3].present();
  args.rows = factored ? o[0].shape[0] : 1, args.columns = factored ? o[0].shape[1] : o[0].elements();
  if (args.rows * args.columns == 0) return nullptr;
  args.row_pieces = ceil_div(args.rows, kAdafactorRows), args.pieces = ceil_div(args.rows * args.columns, kAdafactorPiece);
  float* const numbers[] = {&args.lr, &args.beta2, &args.eps, &args.threshold, &args.weight_decay};
  for (int i = 0; i < 5; i++) *numbers[i] = param_f32(p, i);
  const uint64_t sums = factored ? static_cast<uint64_t>(args.row_pieces * args.columns) : 0;
  args.factors = static_cast<float*>(c.workspace((2 + static_cast<uint64_t>(args.pieces) + sums) * 4));
  if (!args.factors) return c.exhausted();
  args.squares = args.factors + 2, args.column_sums = args.squares + args.pieces;
  constexpr uint32_t kScratch = 256;
  const uint32_t across = threads_for(c, args.columns, kOptimizerThreads), blocks = static_cast<uint32_t>(ceil_div(args.columns, across));
  const Grid pieces{static_cast<uint32_t>(args.pieces)};
  const uint32_t threads = threads_for(c, std::min(args.rows * args.columns, kAdafactorPiece), kOptimizerThreads);
  if (factored) {
    LF_RETURN_IF(c.launch("adafactor_rows", {static_cast<uint32_t>(args.rows)}, across, kScratch, args));
    LF_RETURN_IF(c.launch("adafactor_column_sums", {blocks, static_cast<uint32_t>(args.row_pieces)}, across, 0, args));
    LF_RETURN_IF(c.launch("adafactor_columns", {blocks}, across, 0, args));
    LF_RETURN_IF(c.launch("adafactor_mean", {1}, threads_for(c, args.rows, kOptimizerThreads), kScratch, args));
  }
  LF_RETURN_IF(c.launch("adafactor_squares", pieces, threads, kScratch, args));
  LF_RETURN_IF(c.launch("adafactor_step", {1}, threads_for(c, args.pieces, kOptimizerThreads), kScratch, args));
  return c.launch("adafactor_update", pieces, threads, 0, args);
}

const OpRegistration kClip{LF_OP_CLIP_SCALE, run_clip, check_clip}, kAdamw{LF_OP_ADAMW, run_adamw, check_adamw},
    kLion{LF_OP_LION, run_lion, check_lion}, kAdamw8Bit{LF_OP_ADAMW_8BIT, run_adamw_8bit, check_adamw_8bit},
    kAdafactor{LF_OP_ADAFACTOR, run_adafactor, check_adafactor};

}  // namespace
}  // namespace lf_gpu
