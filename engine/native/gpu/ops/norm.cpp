// RMS_NORM, LAYER_NORM and their gradients.
#include "../kernels/norm.h"

#include "checks.h"

namespace lf_gpu {
namespace {

const char* expect_statistic(Context& c, const View& v, const char* name, int64_t rows) {
  LF_RETURN_IF(expect_dtype(c, v, name, LF_F32));
  return expect_shape(c, v, name, {rows});
}
const char* expect_like(Context& c, const View& v, const char* name, const View& x, bool optional) {
  if (optional && !v.present()) return nullptr;
  LF_RETURN_IF(expect_float(c, v, name));
  return expect_same_shape(c, v, name, x, "x");
}

// Which operand is which, of the forward pass.
struct Forward {
  int bias, y, sum, mean, rstd;
};
constexpr Forward kRms{-1, 3, 4, -1, 5}, kLayer{3, 4, 5, 6, 7};

const char* check_forward(Context& c, const View* o, const Forward& f) {
  LF_RETURN_IF(expect_float(c, o[0], "x"));
  LF_RETURN_IF(expect_rank(c, o[0], "x", 1, LF_MAX_RANK));
  const int64_t n = o[0].shape[o[0].rank - 1], rows = row_count(o[0]);
  LF_RETURN_IF(expect_like(c, o[1], "residual", o[0], true));
  LF_RETURN_IF(expect_floats(c, o[2], "weight", {n}));
  if (f.bias >= 0 && o[f.bias].present()) LF_RETURN_IF(expect_floats(c, o[f.bias], "bias", {n}));
  LF_RETURN_IF(expect_like(c, o[f.y], "y", o[0], false));
  LF_RETURN_IF(expect_like(c, o[f.sum], "sum", o[0], true));
  if (f.mean >= 0 && o[f.mean].present()) LF_RETURN_IF(expect_statistic(c, o[f.mean], "mean", rows));
  if (o[f.rstd].present()) LF_RETURN_IF(expect_statistic(c, o[f.rstd], "rstd", rows));
  return nullptr;
}
const char* run_forward(Context& c, const View* o, const Forward& f, float eps, float weight_offset) {
  NormArgs args{};
  args.x = rows_of(o[0]), args.residual = rows_of(o[1]), args.weight = rows_of(o[2]);
  args.bias = rows_of(f.bias >= 0 ? o[f.bias] : View{});
  args.y = rows_of(o[f.y]), args.sum = rows_of(o[f.sum]);
  if (f.mean >= 0) args.mean = elements_of(o[f.mean]);
  args.rstd = elements_of(o[f.rstd]);
  args.n = o[0].shape[o[0].rank - 1];
  args.eps = eps, args.weight_offset = weight_offset;
  args.centred = f.mean >= 0;
  args.cached = args.n <= kLongestCachedRow;
  const uint32_t shared = kNormScratch + (args.cached ? static_cast<uint32_t>(args.n) * 4 : 0);
  return c.launch("norm_forward", {static_cast<uint32_t>(row_count(o[0]))}, threads_for(c, ceil_div(args.n, 8), kNormThreads), shared,
                  args);
}

const char* check_rms(Context& c, const uint32_t*, const View* o, int) { return check_forward(c, o, kRms); }
const char* run_rms(Context& c, const uint32_t* p, const View* o, int) {
  return run_forward(c, o, kRms, param_f32(p, 0), param_f32(p, 1));
}
const char* check_layer(Context& c, const uint32_t*, const View* o, int) { return check_forward(c, o, kLayer); }
const char* run_layer(Context& c, const uint32_t* p, const View* o, int) { return run_forward(c, o, kLayer, param_f32(p, 0), 0.0f); }

// Which operand is which, of the gradient.
struct Backward {
  int mean, rstd, dh_in, dx, dweight, dbias;
};
constexpr Backward kRmsBackward{-1, 3, 4, 5, 6, -1}, kLayerBackward{3, 4, 5, 6, 7, 8};

const char* check_backward(Context& c, const View* o, const Backward& b) {
  LF_RETURN_IF(expect_float(c, o[1], "h"));
  LF_RETURN_IF(expect_rank(c, o[1], "h", 1, LF_MAX_RANK));
  const int64_t n = o[1].shape[o[1].rank - 1], rows = row_count(o[1]);
  LF_RETURN_IF(expect_like(c, o[0], "dy", o[1], false));
  LF_RETURN_IF(expect_floats(c, o[2], "weight", {n}));
  if (b.mean >= 0) LF_RETURN_IF(expect_statistic(c, o[b.mean], "mean", rows));
  LF_RETURN_IF(expect_statistic(c, o[b.rstd], "rstd", rows));
  LF_RETURN_IF(expect_like(c, o[b.dh_in], "dh_in", o[1], true));
  LF_RETURN_IF(expect_like(c, o[b.dx], "dx", o[1], false));
  for (int i : {b.dweight, b.dbias}) {
    if (i < 0 || !o[i].present()) continue;
    LF_RETURN_IF(expect_dtype(c, o[i], "dweight or dbias", LF_F32));
    LF_RETURN_IF(expect_shape(c, o[i], "dweight or dbias", {n}));
  }
  return nullptr;
}
const char* run_backward(Context& c, const View* o, const Backward& b, float weight_offset) {
  NormGradientArgs args{};
  args.dy = rows_of(o[0]), args.h = rows_of(o[1]), args.weight = rows_of(o[2]);
  if (b.mean >= 0) args.mean = elements_of(o[b.mean]);
  args.rstd = elements_of(o[b.rstd]);
  args.dh_in = rows_of(o[b.dh_in]), args.dx = rows_of(o[b.dx]);
  args.dweight = rows_of(o[b.dweight]);
  args.dbias = rows_of(b.dbias >= 0 ? o[b.dbias] : View{});
  args.n = o[1].shape[o[1].rank - 1];
  args.rows = row_count(o[1]);
  args.weight_offset = weight_offset;
  args.centred = b.mean >= 0;
  const bool sums = (args.dweight.data || args.dbias.data) && args.rows > 0;
  if (sums) {
    // First, because dx may lie where dy was.
    args.pieces = ceil_div(args.rows, kGradientRows);
    args.partial = static_cast<float*>(c.workspace(static_cast<uint64_t>(2 * args.pieces * args.n) * 4));
    if (!args.partial) return c.exhausted();
    const uint32_t threads = threads_for(c, ceil_div(args.n, 8), kNormThreads);
    const Grid grid{static_cast<uint32_t>(ceil_div(ceil_div(args.n, 8), threads)), static_cast<uint32_t>(args.pieces)};
    LF_RETURN_IF(c.launch("norm_weight_partials", grid, threads, 0, args));
    const uint32_t wide = threads_for(c, args.n, kNormThreads);
    LF_RETURN_IF(c.launch("norm_weight_sums", {static_cast<uint32_t>(ceil_div(args.n, wide))}, wide, 0, args));
  }
  return c.launch("norm_input_gradient", {static_cast<uint32_t>(args.rows)}, threads_for(c, ceil_div(args.n, 8), kNormThreads),
                  kNormScratch, args);
}

const char* check_rms_backward(Context& c, const uint32_t*, const View* o, int) { return check_backward(c, o, kRmsBackward); }
const char* run_rms_backward(Context& c, const uint32_t* p, const View* o, int) {
  return run_backward(c, o, kRmsBackward, param_f32(p, 0));
}
const char* check_layer_backward(Context& c, const uint32_t*, const View* o, int) { return check_backward(c, o, kLayerBackward); }
const char* run_layer_backward(Context& c, const uint32_t*, const View* o, int) { return run_backward(c, o, kLayerBackward, 0.0f); }

const OpRegistration kRmsNorm{LF_OP_RMS_NORM, run_rms, check_rms}, kLayerNorm{LF_OP_LAYER_NORM, run_layer, check_layer},
    kRmsNormBackward{LF_OP_RMS_NORM_BACKWARD, run_rms_backward, check_rms_backward},
    kLayerNormBackward{LF_OP_LAYER_NORM_BACKWARD, run_layer_backward, check_layer_backward};

}  // namespace
}  // namespace lf_gpu
