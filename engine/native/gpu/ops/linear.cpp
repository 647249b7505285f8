// MATMUL, LINEAR, its gradients, and PACK.
#include "packed.h"
#include "product.h"

namespace lf_gpu {
namespace {

const char* check_matmul(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "a"));
  LF_RETURN_IF(expect_rank(c, o[0], "a", 2, 2));
  LF_RETURN_IF(expect_float(c, o[2], "c"));
  LF_RETURN_IF(expect_rank(c, o[2], "c", 2, 2));
  const int64_t m = o[2].shape[0], n = o[2].shape[1], k = o[0].shape[p[0] ? 0 : 1];
  LF_RETURN_IF(p[0] ? expect_matrix(c, o[0], "a", k, m) : expect_matrix(c, o[0], "a", m, k));
  LF_RETURN_IF(p[1] ? expect_matrix(c, o[1], "b", n, k) : expect_matrix(c, o[1], "b", k, n));
  return expect_math(c, p[4]);
}
const char* run_matmul(Context& c, const uint32_t* p, const View* o, int) {
  GemmArgs args{};
  args.m = o[2].shape[0], args.n = o[2].shape[1], args.depth = o[0].shape[p[0] ? 0 : 1];
  args.a = p[0] ? source_of(o[0], 1, 0) : source_of(o[0], 0, 1);
  args.b = p[1] ? source_of(o[1], 0, 1) : source_of(o[1], 1, 0);
  args.alpha = param_f32(p, 2), args.beta = param_f32(p, 3);
  set_output(args, o[2]);
  return multiply(c, args, p[4]);
}

// ---- LINEAR ----

enum { kX, kW, kBias, kY, kLoraX, kLoraA, kLoraB, kLoraXa, kAdapter };

const char* check_low_rank(Context& c, const View* o) {
  const int64_t m = o[kX].shape[0], k = o[kX].shape[1], n = o[kW].shape[0];
  const View &a = o[kLoraA], &b = o[kLoraB];
  if (!a.present() && !b.present()) {
    const bool stray = o[kLoraX].present() || o[kLoraXa].present() || o[kAdapter].present();
    return stray ? c.fail(LF_INVALID, "operands of a low-rank update are given without lora_a and lora_b") : nullptr;
  }
  const bool several = o[kAdapter].present();
  LF_RETURN_IF(expect_float(c, a, "lora_a"));
  LF_RETURN_IF(expect_rank(c, a, "lora_a", several ? 3 : 2, several ? 3 : 2));
  const int64_t rank = a.shape[a.rank - 2];
  if (several) {
    LF_RETURN_IF(expect_indices(c, o[kAdapter], "adapter", {m}));
    LF_RETURN_IF(expect_floats(c, a, "lora_a", {a.shape[0], rank, k}));
    LF_RETURN_IF(expect_floats(c, b, "lora_b", {a.shape[0], n, rank}));
  } else {
    LF_RETURN_IF(expect_floats(c, a, "lora_a", {rank, k}));
    LF_RETURN_IF(expect_floats(c, b, "lora_b", {n, rank}));
  }
  if (o[kLoraX].present()) LF_RETURN_IF(expect_matrix(c, o[kLoraX], "lora_x", m, k));
  return o[kLoraXa].present() ? expect_matrix(c, o[kLoraXa], "lora_xa", m, rank) : nullptr;
}

const char* check_linear(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[kX], "x"));
  LF_RETURN_IF(expect_rank(c, o[kX], "x", 2, 2));
  LF_RETURN_IF(expect_weight(c, o[kW], "w", LF_LAYOUT_PACKED_FORWARD, true));
  const int64_t m = o[kX].shape[0], k = o[kX].shape[1], n = o[kW].shape[0];
  if (o[kW].shape[1] != k) return c.fail(LF_INVALID, "operand w has %lld columns, but x has %lld", (long long)o[kW].shape[1], (long long)k);
  LF_RETURN_IF(expect_matrix(c, o[kY], "y", m, n));
  if (o[kBias].present()) LF_RETURN_IF(expect_floats(c, o[kBias], "bias", {n}));
  if (p[2] == LF_MATH_INT8) {
    if (o[kW].layout == LF_LAYOUT_STRIDED || !is_blocks(o[kW].dtype)) {
      return c.fail(LF_INVALID, "8-bit math needs operand w packed in a quantised precision; it is data type %d", o[kW].dtype);
    }
  } else {
    LF_RETURN_IF(expect_math(c, p[2]));
  }
  if (p[3] > LF_ABS) return c.fail(LF_UNSUPPORTED, "there is no activation %u", p[3]);
  return check_low_rank(c, o);
}

// The product of the low-rank part's two thin matrices with their input, kept for the second pair of the main product.
// `down`: rows [m, depth] times a [rank, depth]; `out` receives them unscaled where it is present.
const char* low_rank(Context& c, GemmArgs& main, const MatrixSource& x, const MatrixSource& a, int64_t depth, int64_t rank, float scale,
                     const View& out, float out_scale, uint32_t math, lf_dtype type) {
  GemmArgs down{};
  down.m = main.m, down.n = rank, down.depth = depth;
  down.a = x, down.b = a;
  down.alpha = out_scale;
  if (out.present()) set_output(down, out);
  down.copy_dtype = type;
  down.copy_stride = round_up(rank, 8);
  down.copy_scale = scale;
  const uint64_t bytes = static_cast<uint64_t>(main.m * down.copy_stride) * (type == LF_F32 ? 4 : 2);
  down.copy = static_cast<uint8_t*>(c.workspace(bytes));
  if (!down.copy) return c.exhausted();
  if (down.copy_stride != rank) LF_RETURN_IF(c.set_bytes(down.copy, 0, bytes));
  main.a2 = dense_source(down.copy, type, down.copy_stride);
  main.depth2 = rank;
  return multiply(c, down, math);
}

// Rows with an adapter each: their updates are summed up first, and the product starts from them.
const char* adapter_updates(Context& c, GemmArgs& main, const View* o, float scale, uint32_t math) {
  const View &x = o[kLoraX].present() ? o[kLoraX] : o[kX], &a = o[kLoraA], &b = o[kLoraB];
  LF_RETURN_IF(c.check_indices(o, {kAdapter, -1, static_cast<int32_t>(a.shape[0]) - 1}));
  AdapterArgs args{};
  args.m = main.m, args.n = main.n, args.k = main.depth, args.rank = a.shape[1];
  args.x = rows_of(x);
  args.down = a.data, args.up = b.data;
  args.down_dtype = a.dtype, args.up_dtype = b.dtype;
  for (int d = 0; d < 3; d++) args.down_stride[d] = a.stride[d], args.up_stride[d] = b.stride[d];
  args.adapter = o[kAdapter].as<const int32_t>();
  args.adapter_stride = o[kAdapter].stride[0];
  args.low_out = rows_of(o[kLoraXa]);
  args.scale = scale;
  args.round_operands = math != LF_MATH_F32;
  args.low = static_cast<float*>(c.workspace(static_cast<uint64_t>(args.m * args.rank) * 4));
  args.start = args.low ? static_cast<float*>(c.workspace(static_cast<uint64_t>(args.m * args.n) * 4)) : nullptr;
  if (!args.start) return c.exhausted();
  main.start = args.start;
  const uint32_t warp = c.info().warp, threads = threads_for(c, args.m * args.rank * warp, kPackThreads);
  LF_RETURN_IF(c.launch("adapter_down", {static_cast<uint32_t>(ceil_div(args.m * args.rank * warp, threads))}, threads, 0, args));
  const uint32_t wide = threads_for(c, args.m * args.n, kPackThreads);
  return c.launch("adapter_up", {static_cast<uint32_t>(ceil_div(args.m * args.n, wide))}, wide, 0, args);
}

const char* run_linear(Context& c, const uint32_t* p, const View* o, int) {
  const View &x = o[kX], &w = o[kW];
  GemmArgs args{};
  args.m = x.shape[0], args.n = w.shape[0], args.depth = x.shape[1];
  if (args.m == 0 || args.n == 0) return nullptr;
  args.a = source_of(x, 0, 1), args.b = weight_source(w, true);
  args.alpha = 1.0f, args.beta = param_f32(p, 1);
  args.activation = p[3];
  if (o[kBias].present()) args.bias = o[kBias].data, args.bias_dtype = o[kBias].dtype, args.bias_stride = o[kBias].stride[0];
  set_output(args, o[kY]);
  uint32_t math = p[2];
  const float scale = param_f32(p, 0);
  // A low-rank part is as in BF16 when the rest is in 8 bits.
  const uint32_t low_math = math == LF_MATH_INT8 ? uint32_t{LF_MATH_BF16} : math;
  if (math == LF_MATH_INT8) {
    QuantiseArgs q{};
    q.x = rows_of(x);
    q.rows = args.m, q.k = args.depth;
    q.out = static_cast<float*>(c.workspace(static_cast<uint64_t>(q.rows * q.k) * 4));
    if (!q.out) return c.exhausted();
    const int64_t groups = q.rows * (q.k / 32);
    const uint32_t threads = threads_for(c, groups, kPackThreads);
    LF_RETURN_IF(c.launch("quantise_rows", {static_cast<uint32_t>(ceil_div(groups, threads))}, threads, 0, q));
    args.a = dense_source(q.out, LF_F32, q.k);
    math = LF_MATH_F32;
  }
  if (o[kAdapter].present()) {
    LF_RETURN_IF(adapter_updates(c, args, o, scale, low_math));
  } else if (o[kLoraA].present()) {
    const View& low_x = o[kLoraX].present() ? o[kLoraX] : x;
    const lf_dtype type = product_type(math, args.a.dtype, args.b.dtype, true);
    args.b2 = source_of(o[kLoraB], 0, 1);
    if (p[2] == LF_MATH_INT8) {
      // The main product does not round its operands: lora_b is rounded beforehand.
      PackArgs round{};
      round.source = args.b2;
      round.out_dtype = LF_BF16;
      round.rows = args.n, round.columns = o[kLoraB].shape[1], round.stride = round_up(round.columns, 8);
      round.out = static_cast<uint8_t*>(c.workspace(static_cast<uint64_t>(round.rows * round.stride) * 2));
      if (!round.out) return c.exhausted();
      const int64_t chunks = round.rows * round.stride / 8;
      const uint32_t threads = threads_for(c, chunks, kPackThreads);
      LF_RETURN_IF(c.launch("pack_rows", {static_cast<uint32_t>(ceil_div(chunks, threads))}, threads, 0, round));
      args.b2 = dense_source(round.out, LF_BF16, round.stride);
    }
    LF_RETURN_IF(low_rank(c, args, source_of(low_x, 0, 1), source_of(o[kLoraA], 0, 1), args.depth, o[kLoraA].shape[0], scale, o[kLoraXa],
                          1.0f, low_math, type));
  }
  return multiply(c, args, math);
}

// ---- gradients ----

const char* check_backward_input(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "dy"));
  LF_RETURN_IF(expect_rank(c, o[0], "dy", 2, 2));
  LF_RETURN_IF(expect_weight(c, o[1], "w", LF_LAYOUT_PACKED_BACKWARD, false));
  const int64_t m = o[0].shape[0], n = o[0].shape[1], k = o[1].shape[1];
  if (o[1].shape[0] != n) return c.fail(LF_INVALID, "operand w has %lld rows, but dy has %lld columns", (long long)o[1].shape[0], (long long)n);
  LF_RETURN_IF(expect_matrix(c, o[2], "dx", m, k));
  LF_RETURN_IF(expect_math(c, p[2]));
  if (!o[3].present() && !o[4].present()) {
    return o[5].present() || o[6].present() ? c.fail(LF_INVALID, "operands of a low-rank update are given without lora_a and lora_b") : nullptr;
  }
  LF_RETURN_IF(expect_float(c, o[3], "lora_a"));
  LF_RETURN_IF(expect_rank(c, o[3], "lora_a", 2, 2));
  const int64_t rank = o[3].shape[0];
  LF_RETURN_IF(expect_matrix(c, o[3], "lora_a", rank, k));
  LF_RETURN_IF(expect_matrix(c, o[4], "lora_b", n, rank));
  if (o[5].present()) LF_RETURN_IF(expect_matrix(c, o[5], "lora_dxa", m, rank));
  return o[6].present() ? expect_matrix(c, o[6], "lora_dx", m, k) : nullptr;
}
const char* run_backward_input(Context& c, const uint32_t* p, const View* o, int) {
  GemmArgs args{};
  args.m = o[0].shape[0], args.n = o[1].shape[1], args.depth = o[0].shape[1];
  if (args.m == 0) return nullptr;
  args.a = source_of(o[0], 0, 1), args.b = weight_source(o[1], false);
  args.alpha = 1.0f, args.beta = param_f32(p, 1);
  set_output(args, o[2]);
  const uint32_t math = p[2];
  if (!o[3].present()) return multiply(c, args, math);
  const float scale = param_f32(p, 0);
  const lf_dtype type = product_type(math, args.a.dtype, args.b.dtype, true);
  GemmArgs low = args;
  LF_RETURN_IF(low_rank(c, low, args.a, source_of(o[4], 1, 0), args.depth, o[3].shape[0], scale, o[5], scale, math, type));
  low.b2 = source_of(o[3], 1, 0);
  if (!o[6].present()) return multiply(c, low, math);
  // Dropout separates the two inputs.
  LF_RETURN_IF(multiply(c, args, math));
  GemmArgs update{};
  update.m = args.m, update.n = args.n, update.depth = low.depth2;
  update.a = low.a2, update.b = low.b2;
  update.alpha = 1.0f;
  set_output(update, o[6]);
  return multiply(c, update, math);
}

const char* check_backward_weight(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[1], "dy"));
  LF_RETURN_IF(expect_rank(c, o[1], "dy", 2, 2));
  const int64_t m = o[1].shape[0], n = o[1].shape[1];
  if (o[2].present()) {
    LF_RETURN_IF(expect_float(c, o[0], "x"));
    LF_RETURN_IF(expect_rank(c, o[0], "x", 2, 2));
    LF_RETURN_IF(expect_matrix(c, o[0], "x", m, o[0].shape[1]));
    LF_RETURN_IF(expect_dtype(c, o[2], "dw", LF_F32));
    LF_RETURN_IF(expect_matrix(c, o[2], "dw", n, o[0].shape[1]));
  }
  if (o[3].present()) {
    LF_RETURN_IF(expect_dtype(c, o[3], "dbias", LF_F32));
    LF_RETURN_IF(expect_shape(c, o[3], "dbias", {n}));
  }
  return expect_math(c, p[2]);
}
const char* run_backward_weight(Context& c, const uint32_t* p, const View* o, int) {
  const float alpha = param_f32(p, 0), beta = param_f32(p, 1);
  if (o[2].present()) {
    GemmArgs args{};
    args.m = o[1].shape[1], args.n = o[0].shape[1], args.depth = o[1].shape[0];
    args.a = source_of(o[1], 1, 0), args.b = source_of(o[0], 1, 0);
    args.alpha = alpha, args.beta = beta;
    set_output(args, o[2]);
    LF_RETURN_IF(multiply(c, args, p[2]));
  }
  if (!o[3].present()) return nullptr;
  ColumnSumArgs sums{};
  sums.x = rows_of(o[1]);
  sums.rows = o[1].shape[0], sums.n = o[1].shape[1];
  sums.pieces = ceil_div(sums.rows, kColumnSumRows);
  sums.out = o[3].as<float>(), sums.out_stride = o[3].stride[0];
  sums.alpha = alpha, sums.beta = beta;
  sums.partial = static_cast<float*>(c.workspace(static_cast<uint64_t>(sums.pieces * sums.n) * 4));
  if (!sums.partial) return c.exhausted();
  const uint32_t threads = threads_for(c, sums.n, kColumnSumThreads), blocks = static_cast<uint32_t>(ceil_div(sums.n, threads));
  LF_RETURN_IF(c.launch("column_partials", {blocks, static_cast<uint32_t>(sums.pieces)}, threads, 0, sums));
  return c.launch("column_sums", {blocks}, threads, 0, sums);
}

// ---- PACK ----

const char* check_pack(Context& c, const uint32_t*, const View* o, int) {
  const View &src = o[0], &dst = o[1];
  if (!dst.present()) return c.fail(LF_INVALID, "operand dst is absent");
  if (dst.layout == LF_LAYOUT_STRIDED) return c.fail(LF_INVALID, "operand dst has a strided layout");
  LF_RETURN_IF(expect_weight(c, dst, "dst", dst.layout, false));
  LF_RETURN_IF(expect_strided(c, src, "src"));
  LF_RETURN_IF(expect_weight(c, src, "src", LF_LAYOUT_STRIDED, true));
  LF_RETURN_IF(expect_shape(c, src, "src", {dst.shape[0], dst.shape[1]}));
  if (is_blocks(dst.dtype) && src.dtype != dst.dtype) {
    return c.fail(LF_UNSUPPORTED, "operand dst keeps the bits of data type %d, but src is %d", dst.dtype, src.dtype);
  }
  return nullptr;
}
const char* run_pack(Context& c, const uint32_t*, const View* o, int) {
  const View &src = o[0], &dst = o[1];
  const bool forward = dst.layout == LF_LAYOUT_PACKED_FORWARD;
  PackArgs args{};
  args.source = is_blocks(src.dtype) ? weight_source(src, true) : source_of(src, 0, 1);
  args.source.depth_stride = is_blocks(src.dtype) ? 1 : src.stride[1];
  args.out = dst.data;
  args.out_dtype = static_cast<uint32_t>(dst.dtype);
  args.backward = !forward;
  args.rows = dst.shape[forward ? 0 : 1], args.columns = dst.shape[forward ? 1 : 0];
  args.stride = packed_stride(args.columns);
  if (dst.elements() == 0) return nullptr;
  const bool own = is_blocks(dst.dtype), codes = has_planes(dst.dtype);
  if (codes) {
    args.group_depth = codes_group(dst.dtype, dst.group);
    args.groups = dst.data + codes_bytes(static_cast<uint64_t>(args.rows), static_cast<uint64_t>(args.columns));
  }
  const int64_t pieces = (codes ? round_up(args.rows, static_cast<int64_t>(kUnitRows)) : args.rows) * args.stride / 8;
  const uint32_t threads = threads_for(c, pieces, kPackThreads);
  return c.launch(codes ? "pack_codes" : own ? "pack_blocks" : "pack_rows", {static_cast<uint32_t>(ceil_div(pieces, threads))}, threads, 0, args);
}

const OpRegistration kMatmul{LF_OP_MATMUL, run_matmul, check_matmul}, kLinear{LF_OP_LINEAR, run_linear, check_linear},
    kBackwardInput{LF_OP_LINEAR_BACKWARD_INPUT, run_backward_input, check_backward_input},
    kBackwardWeight{LF_OP_LINEAR_BACKWARD_WEIGHT, run_backward_weight, check_backward_weight}, kPack{LF_OP_PACK, run_pack, check_pack};

}  // namespace
}  // namespace lf_gpu
