// CROSS_ENTROPY and DIVERGENCE.
#include "../kernels/loss.h"

#include "packed.h"
#include "product.h"

namespace lf_gpu {
namespace {

enum { kX, kW, kBias, kLabels, kRowWeight, kNll, kDx, kDw, kDbias, kWBackward, kEntropy, kLse, kArgmax };

const char* expect_rows(Context& c, const View& v, const char* name, lf_dtype dtype, int64_t rows, bool optional) {
  if (optional && !v.present()) return nullptr;
  LF_RETURN_IF(expect_dtype(c, v, name, dtype));
  return expect_shape(c, v, name, {rows});
}

const char* check_cross_entropy(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[kX], "x"));
  LF_RETURN_IF(expect_rank(c, o[kX], "x", 2, 2));
  LF_RETURN_IF(expect_weight(c, o[kW], "w", LF_LAYOUT_PACKED_FORWARD, true));
  const int64_t rows = o[kX].shape[0], depth = o[kX].shape[1], vocabulary = o[kW].shape[0];
  if (o[kW].shape[1] != depth) return c.fail(LF_INVALID, "operand w has %lld columns, but x has %lld", (long long)o[kW].shape[1], (long long)depth);
  LF_RETURN_IF(expect_rows(c, o[kLabels], "labels", LF_I32, rows, false));
  LF_RETURN_IF(expect_rows(c, o[kRowWeight], "row_weight", LF_F32, rows, true));
  LF_RETURN_IF(expect_rows(c, o[kNll], "nll", LF_F32, rows, false));
  LF_RETURN_IF(expect_rows(c, o[kEntropy], "entropy", LF_F32, rows, true));
  LF_RETURN_IF(expect_rows(c, o[kLse], "lse", LF_F32, rows, true));
  LF_RETURN_IF(expect_rows(c, o[kArgmax], "argmax", LF_I32, rows, true));
  LF_RETURN_IF(expect_rows(c, o[kDbias], "dbias", LF_F32, vocabulary, true));
  if (vocabulary >= 1 << 24) return c.fail(LF_UNSUPPORTED, "a vocabulary of %lld tokens", (long long)vocabulary);
  if (o[kBias].present()) LF_RETURN_IF(expect_floats(c, o[kBias], "bias", {vocabulary}));
  if (o[kDw].present()) {
    LF_RETURN_IF(expect_dtype(c, o[kDw], "dw", LF_F32));
    LF_RETURN_IF(expect_shape(c, o[kDw], "dw", {vocabulary, depth}));
  }
  if (o[kDx].present()) {
    LF_RETURN_IF(expect_matrix(c, o[kDx], "dx", rows, depth));
    if (o[kWBackward].present()) {
      LF_RETURN_IF(expect_weight(c, o[kWBackward], "w_backward", LF_LAYOUT_PACKED_BACKWARD, false));
      LF_RETURN_IF(expect_shape(c, o[kWBackward], "w_backward", {vocabulary, depth}));
    } else if (o[kW].layout != LF_LAYOUT_STRIDED) {
      return c.fail(LF_INVALID, "dx needs operand w_backward (w packed backward) when w is packed forward");
    }
  }
  return expect_math(c, p[5]);
}

// A block format has no order along N: it is decoded for the product with the gradients, some of its rows at a time.
constexpr int64_t kDecodedRows = 4096;
const char* input_gradient_of_blocks(Context& c, GemmArgs args, const View& w, uint32_t math) {
  const int64_t vocabulary = w.shape[0], depth = w.shape[1], rows = std::min(vocabulary, kDecodedRows);
  const lf_dtype type = math == LF_MATH_BF16 ? LF_BF16 : LF_F32;
  PackArgs decode{};
  decode.out_dtype = type;
  decode.columns = depth, decode.stride = depth;
  decode.out = static_cast<uint8_t*>(c.workspace(static_cast<uint64_t>(rows * depth) * (type == LF_F32 ? 4 : 2)));
  float* sums = static_cast<float*>(c.workspace(static_cast<uint64_t>(args.m * args.n) * 4));
  if (!decode.out || !sums) return c.exhausted();
  const MatrixSource a = args.a;
  const bool several = vocabulary > rows;
  for (int64_t first = 0; first < vocabulary; first += rows) {
    decode.rows = std::min(rows, vocabulary - first);
    decode.source = weight_source(w, true);
    static_assert(kDecodedRows % kUnitRows == 0, "parts begin with whole units");
    if (decode.source.groups) {
      decode.source.data += first * depth / 2;
      decode.source.groups += first * decode.source.groups_of_row * static_cast<int64_t>(group_entry(w.dtype));
    }
    else decode.source.data += first * (depth / block_extent(w.dtype)) * static_cast<int64_t>(block_size(w.dtype));
    const int64_t chunks = decode.rows * depth / 8;
    const uint32_t threads = threads_for(c, chunks, kPackThreads);
    LF_RETURN_IF(c.launch("pack_rows", {static_cast<uint32_t>(ceil_div(chunks, threads))}, threads, 0, decode));
    GemmArgs part = args;
    part.depth = decode.rows;
    part.a = a;
    part.a.data += first * (a.dtype == LF_F32 ? 4 : 2);
    part.b = dense_source(decode.out, type, depth);
    std::swap(part.b.row_stride, part.b.depth_stride);
    if (several && first + rows < vocabulary) {
      // Sums of parts wait in f32.
      part.out = nullptr;
      part.copy = reinterpret_cast<uint8_t*>(sums), part.copy_dtype = LF_F32;
      part.copy_stride = args.n, part.copy_scale = 1.0f;
    }
    if (first > 0) part.start = sums;
    LF_RETURN_IF(multiply(c, part, math));
  }
  return nullptr;
}

const char* run_cross_entropy(Context& c, const uint32_t* p, const View* o, int) {
  const View &x = o[kX], &w = o[kW];
  LossArgs args{};
  args.ignore_index = static_cast<int32_t>(p[0]);
  args.grad_scale = param_f32(p, 1), args.softcap = param_f32(p, 2), args.smoothing = param_f32(p, 3), args.logit_scale = param_f32(p, 4);
  const uint32_t math = p[5];
  args.tokens = x.shape[0], args.depth = x.shape[1], args.vocabulary = w.shape[0];
  if (args.tokens == 0) return nullptr;
  LF_RETURN_IF(c.check_indices(o, {kLabels, 0, static_cast<int32_t>(args.vocabulary) - 1, false, 0, true, args.ignore_index}));
  args.labels = o[kLabels].as<const int32_t>(), args.label_stride = o[kLabels].stride[0];
  if (o[kRowWeight].present()) args.row_weight = o[kRowWeight].as<const float>(), args.weight_stride = o[kRowWeight].stride[0];
  args.rows = {o[kNll].as<float>(), o[kEntropy].as<float>(), o[kLse].as<float>(), o[kArgmax].as<int32_t>(),
               o[kNll].stride[0], o[kEntropy].stride[0], o[kLse].stride[0], o[kArgmax].stride[0]};
  args.x = rows_of(x);
  if (o[kDx].present()) args.dx = rows_of(o[kDx]);
  if (o[kDbias].present()) args.dbias = o[kDbias].as<float>(), args.dbias_stride = o[kDbias].stride[0];
  const bool gradients = o[kDx].present() || o[kDw].present() || o[kDbias].present();

  // The logits of a chunk take a 64th of the device's memory, at most 256 MiB.
  const int64_t budget = std::min<int64_t>(256 << 20, static_cast<int64_t>(c.info().memory / 64));
  const int64_t most = std::max<int64_t>(16, budget / (4 * std::max<int64_t>(args.vocabulary, 1)) / 16 * 16);
  args.chunk = ceil_div(args.tokens, ceil_div(args.tokens, most));
  const bool brain = math == LF_MATH_BF16;
  args.gathered_dtype = brain ? LF_BF16 : x.dtype;
  args.gathered_stride = round_up(args.depth, 8);
  args.gradient_dtype = brain ? LF_BF16 : LF_F32;
  args.gradient_stride = round_up(args.vocabulary, 8);
  auto room = [&](int64_t elements, uint32_t dtype) {
    return static_cast<uint8_t*>(c.workspace(static_cast<uint64_t>(elements) * (dtype == LF_F32 ? 4 : 2)));
  };
  args.index = reinterpret_cast<int32_t*>(room(args.tokens, LF_F32));
  args.count = reinterpret_cast<uint32_t*>(room(1, LF_F32));
  args.gathered = room(args.chunk * args.gathered_stride, args.gathered_dtype);
  args.logits = reinterpret_cast<float*>(room(args.chunk * args.vocabulary, LF_F32));
  args.gradient = gradients ? room(args.chunk * args.gradient_stride, args.gradient_dtype) : nullptr;
  if (!args.index || !args.count || !args.gathered || !args.logits || (gradients && !args.gradient)) return c.exhausted();

  LF_RETURN_IF(c.launch("loss_select", {1}, threads_for(c, args.tokens, kLossThreads), kLossShared, args));
  LF_RETURN_IF(c.launch("loss_clear", {static_cast<uint32_t>(args.tokens)}, threads_for(c, ceil_div(args.depth, 8), kLossThreads), 0, args));
  for (args.first = 0; args.first < args.tokens; args.first += args.chunk) {
    const uint32_t rows = static_cast<uint32_t>(std::min(args.chunk, args.tokens - args.first));
    LF_RETURN_IF(c.launch("loss_gather", {rows}, threads_for(c, args.gathered_stride / 8, kLossThreads), 0, args));
    GemmArgs logits{};
    logits.m = rows, logits.n = args.vocabulary, logits.depth = args.depth;
    logits.a = dense_source(args.gathered, static_cast<lf_dtype>(args.gathered_dtype), args.gathered_stride);
    logits.b = weight_source(w, true);
    logits.alpha = 1.0f;
    logits.out = reinterpret_cast<uint8_t*>(args.logits), logits.out_dtype = LF_F32;
    logits.out_row_stride = args.vocabulary, logits.out_column_stride = 1;
    if (o[kBias].present()) logits.bias = o[kBias].data, logits.bias_dtype = o[kBias].dtype, logits.bias_stride = o[kBias].stride[0];
    logits.row_limit = args.count, logits.first_row = args.first;
    LF_RETURN_IF(multiply(c, logits, math));
    LF_RETURN_IF(c.launch("loss_rows", {rows}, threads_for(c, args.vocabulary, kLossThreads), kLossShared, args));
    if (o[kDbias].present()) {
      const uint32_t threads = threads_for(c, args.vocabulary, kLossThreads);
      LF_RETURN_IF(c.launch("loss_bias", {static_cast<uint32_t>(ceil_div(args.vocabulary, threads))}, threads, 0, args));
    }
    const lf_dtype gradient = static_cast<lf_dtype>(args.gradient_dtype);
    if (o[kDx].present()) {
      GemmArgs dx{};
      dx.m = rows, dx.n = args.depth, dx.depth = args.vocabulary;
      dx.a = dense_source(args.gradient, gradient, args.gradient_stride);
      dx.alpha = 1.0f;
      set_output(dx, o[kDx]);
      dx.out_index = args.index + args.first;
      dx.row_limit = args.count, dx.first_row = args.first;
      if (!o[kWBackward].present() && is_blocks(w.dtype)) {
        LF_RETURN_IF(input_gradient_of_blocks(c, dx, w, math));
      } else {
        dx.b = weight_source(o[kWBackward].present() ? o[kWBackward] : w, false);
        LF_RETURN_IF(multiply(c, dx, math));
      }
    }
    if (o[kDw].present()) {
      GemmArgs dw{};
      dw.m = args.vocabulary, dw.n = args.depth, dw.depth = rows;
      dw.a = dense_source(args.gradient, gradient, args.gradient_stride);
      dw.b = dense_source(args.gathered, static_cast<lf_dtype>(args.gathered_dtype), args.gathered_stride);
      std::swap(dw.a.row_stride, dw.a.depth_stride);
      std::swap(dw.b.row_stride, dw.b.depth_stride);
      dw.alpha = 1.0f, dw.beta = 1.0f;
      set_output(dw, o[kDw]);
      LF_RETURN_IF(multiply(c, dw, math));
    }
  }
  return nullptr;
}

const char* check_divergence(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_dtype(c, o[0], "student", LF_F32));
  LF_RETURN_IF(expect_rank(c, o[0], "student", 2, 2));
  LF_RETURN_IF(expect_contiguous(c, o[0], "student"));
  LF_RETURN_IF(expect_floats(c, o[1], "teacher", {o[0].shape[0], o[0].shape[1]}));
  LF_RETURN_IF(expect_contiguous(c, o[1], "teacher"));
  LF_RETURN_IF(expect_rows(c, o[2], "row_weight", LF_F32, o[0].shape[0], true));
  return expect_rows(c, o[3], "loss", LF_F32, o[0].shape[0], false);
}
const char* run_divergence(Context& c, const uint32_t* p, const View* o, int) {
  DivergenceArgs args{};
  args.student = o[0].as<float>();
  args.teacher = o[1].data, args.teacher_dtype = o[1].dtype;
  if (o[2].present()) args.row_weight = o[2].as<const float>(), args.weight_stride = o[2].stride[0];
  args.loss = o[3].as<float>(), args.loss_stride = o[3].stride[0];
  args.n = o[0].shape[1];
  args.temperature = param_f32(p, 0), args.beta = param_f32(p, 1), args.scale = param_f32(p, 2);
  return c.launch("divergence_rows", {static_cast<uint32_t>(o[0].shape[0])}, threads_for(c, args.n, kLossThreads), kLossShared, args);
}

const OpRegistration kCrossEntropy{LF_OP_CROSS_ENTROPY, run_cross_entropy, check_cross_entropy},
    kDivergence{LF_OP_DIVERGENCE, run_divergence, check_divergence};

}  // namespace
}  // namespace lf_gpu
