// ROUTE, GROUPED_LINEAR and their gradients.
#include "../kernels/experts.h"

#include "product.h"

namespace lf_gpu {
namespace {

const char* check_route(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_dtype(c, o[0], "probs", LF_F32));
  LF_RETURN_IF(expect_rank(c, o[0], "probs", 2, 2));
  const int64_t tokens = o[0].shape[0], experts = o[0].shape[1], top_k = p[0];
  if (top_k < 1 || top_k > experts) return c.fail(LF_INVALID, "%lld of %lld experts are to be chosen", (long long)top_k, (long long)experts);
  if (tokens * top_k >= int64_t{1} << 31) return c.fail(LF_UNSUPPORTED, "too many pairs of tokens and experts");
  LF_RETURN_IF(expect_indices(c, o[1], "rows", {tokens * top_k}));
  LF_RETURN_IF(expect_indices(c, o[2], "offsets", {experts + 1}));
  LF_RETURN_IF(expect_dtype(c, o[3], "weights", LF_F32));
  return expect_shape(c, o[3], "weights", {tokens * top_k});
}
const char* run_route(Context& c, const uint32_t* p, const View* o, int) {
  RouteArgs args{};
  args.probs = rows_of(o[0]);
  args.rows = o[1].as<int32_t>(), args.row_stride = o[1].stride[0];
  args.offsets = o[2].as<int32_t>(), args.offset_stride = o[2].stride[0];
  args.weights = o[3].as<float>(), args.weight_stride = o[3].stride[0];
  args.tokens = o[0].shape[0], args.experts = o[0].shape[1], args.top_k = p[0], args.normalize = p[1];
  const uint64_t pairs = static_cast<uint64_t>(args.tokens * args.top_k);
  args.chosen = static_cast<int32_t*>(c.workspace(pairs * 4));
  args.chosen_weights = static_cast<float*>(c.workspace(pairs * 4));
  args.counts = static_cast<int32_t*>(c.workspace(static_cast<uint64_t>(args.experts) * 4));
  if (!args.chosen || !args.chosen_weights || !args.counts) return c.exhausted();
  const uint32_t threads = threads_for(c, args.tokens, kRouteThreads), wide = threads_for(c, static_cast<int64_t>(pairs), kRouteThreads);
  const uint32_t experts = static_cast<uint32_t>(args.experts);
  LF_RETURN_IF(c.launch("route_choose", {static_cast<uint32_t>(ceil_div(args.tokens, threads))}, threads, 0, args));
  LF_RETURN_IF(c.launch("route_count", {experts}, wide, kRouteShared, args));
  LF_RETURN_IF(c.launch("route_offsets", {1}, c.info().warp, 0, args));
  return c.launch("route_place", {experts}, wide, kRouteShared, args);
}

const char* check_route_backward(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_dtype(c, o[0], "probs", LF_F32));
  LF_RETURN_IF(expect_rank(c, o[0], "probs", 2, 2));
  LF_RETURN_IF(expect_dtype(c, o[1], "rows", LF_I32));
  LF_RETURN_IF(expect_rank(c, o[1], "rows", 1, 1));
  LF_RETURN_IF(expect_indices(c, o[2], "offsets", {o[0].shape[1] + 1}));
  for (int i : {3, 4}) {
    LF_RETURN_IF(expect_dtype(c, o[i], i == 3 ? "weights" : "dweights", LF_F32));
    LF_RETURN_IF(expect_shape(c, o[i], i == 3 ? "weights" : "dweights", {o[1].shape[0]}));
  }
  LF_RETURN_IF(expect_dtype(c, o[5], "dlogits", LF_F32));
  return expect_same_shape(c, o[5], "dlogits", o[0], "probs");
}
const char* run_route_backward(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(c.check_indices(o, {1, 0, static_cast<int32_t>(o[0].shape[0]) - 1}));
  LF_RETURN_IF(c.check_indices(o, {2, 0, static_cast<int32_t>(o[1].shape[0]), true}));
  RouteArgs args{};
  args.probs = rows_of(o[0]), args.dlogits = rows_of(o[5]);
  args.rows = o[1].as<int32_t>(), args.row_stride = o[1].stride[0];
  args.offsets = o[2].as<int32_t>(), args.offset_stride = o[2].stride[0];
  args.weights = o[3].as<float>(), args.weight_stride = o[3].stride[0];
  args.dweights = o[4].as<const float>(), args.dweight_stride = o[4].stride[0];
  args.tokens = o[0].shape[0], args.experts = o[0].shape[1], args.normalize = p[0];
  const uint64_t bytes = static_cast<uint64_t>(args.tokens * args.experts) * 4;
  args.pairs = static_cast<int32_t*>(c.workspace(bytes));
  if (!args.pairs) return c.exhausted();
  LF_RETURN_IF(c.set_bytes(args.pairs, 0xff, bytes));
  const int64_t warp = c.info().warp;
  LF_RETURN_IF(c.launch("route_pairs", {static_cast<uint32_t>(args.experts)}, threads_for(c, args.tokens, kRouteThreads), 0, args));
  const uint32_t threads = threads_for(c, args.tokens * warp, kRouteThreads);
  return c.launch("route_gradient", {static_cast<uint32_t>(ceil_div(args.tokens * warp, threads))}, threads, 0, args);
}

// ---- products of groups of rows with a matrix each ----

const char* check_grouped(Context& c, uint32_t math, const View& rows, const View& offsets, const View& w, bool backward, const View& out) {
  LF_RETURN_IF(expect_float(c, w, "w"));
  LF_RETURN_IF(expect_rank(c, w, "w", 3, 3));
  const int64_t in = w.shape[backward ? 1 : 2], made = w.shape[backward ? 2 : 1];
  LF_RETURN_IF(expect_float(c, rows, "x or dy"));
  LF_RETURN_IF(expect_rank(c, rows, "x or dy", 2, 2));
  LF_RETURN_IF(expect_matrix(c, rows, "x or dy", rows.shape[0], in));
  LF_RETURN_IF(expect_indices(c, offsets, "offsets", {w.shape[0] + 1}));
  LF_RETURN_IF(expect_matrix(c, out, "y or dx", rows.shape[0], made));
  return expect_math(c, math);
}
const char* run_grouped(Context& c, uint32_t math, const View* o, bool backward) {
  LF_RETURN_IF(c.check_indices(o, {1, 0, static_cast<int32_t>(o[0].shape[0]), true}));
  const View& w = o[2];
  GemmArgs args{};
  args.m = o[0].shape[0], args.n = w.shape[backward ? 2 : 1], args.depth = w.shape[backward ? 1 : 2];
  args.a = source_of(o[0], 0, 1);
  args.b = backward ? source_of(w, 2, 1) : source_of(w, 1, 2);
  args.alpha = 1.0f;
  set_output(args, o[3]);
  args.group_kind = kGroupedRows, args.groups = static_cast<uint32_t>(w.shape[0]);
  args.offsets = o[1].as<const int32_t>(), args.offset_stride = o[1].stride[0];
  return multiply(c, args, math);
}
const char* check_grouped_linear(Context& c, const uint32_t* p, const View* o, int) {
  return check_grouped(c, p[0], o[0], o[1], o[2], false, o[3]);
}
const char* run_grouped_linear(Context& c, const uint32_t* p, const View* o, int) { return run_grouped(c, p[0], o, false); }
const char* check_grouped_input(Context& c, const uint32_t* p, const View* o, int) {
  return check_grouped(c, p[0], o[0], o[1], o[2], true, o[3]);
}
const char* run_grouped_input(Context& c, const uint32_t* p, const View* o, int) { return run_grouped(c, p[0], o, true); }

const char* check_grouped_weight(Context& c, const uint32_t* p, const View* o, int) {
  for (int i : {0, 1}) {
    LF_RETURN_IF(expect_float(c, o[i], i ? "dy" : "x"));
    LF_RETURN_IF(expect_rank(c, o[i], i ? "dy" : "x", 2, 2));
  }
  LF_RETURN_IF(expect_matrix(c, o[1], "dy", o[0].shape[0], o[1].shape[1]));
  LF_RETURN_IF(expect_dtype(c, o[2], "offsets", LF_I32));
  LF_RETURN_IF(expect_rank(c, o[2], "offsets", 1, 1));
  if (o[2].shape[0] < 1 || o[2].shape[0] > 65535) return c.fail(LF_UNSUPPORTED, "%lld groups", (long long)o[2].shape[0] - 1);
  LF_RETURN_IF(expect_dtype(c, o[3], "dw", LF_F32));
  LF_RETURN_IF(expect_shape(c, o[3], "dw", {o[2].shape[0] - 1, o[1].shape[1], o[0].shape[1]}));
  return expect_math(c, p[1]);
}
const char* run_grouped_weight(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(c.check_indices(o, {2, 0, static_cast<int32_t>(o[0].shape[0]), true}));
  GemmArgs args{};
  args.m = o[1].shape[1], args.n = o[0].shape[1], args.depth = o[0].shape[0];
  args.a = source_of(o[1], 1, 0), args.b = source_of(o[0], 1, 0);
  // A group may begin anywhere along the depth: what is dense along it does not move as words.
  if (args.a.row_stride != 1) args.a.vector = 0;
  if (args.b.row_stride != 1) args.b.vector = 0;
  args.alpha = 1.0f, args.beta = param_f32(p, 0);
  set_output(args, o[3]);
  args.group_kind = kGroupedDepth, args.groups = static_cast<uint32_t>(o[2].shape[0] - 1);
  args.offsets = o[2].as<const int32_t>(), args.offset_stride = o[2].stride[0];
  return multiply(c, args, p[1]);
}

const OpRegistration kRoute{LF_OP_ROUTE, run_route, check_route}, kRouteBackward{LF_OP_ROUTE_BACKWARD, run_route_backward, check_route_backward},
    kGrouped{LF_OP_GROUPED_LINEAR, run_grouped_linear, check_grouped_linear},
    kGroupedInput{LF_OP_GROUPED_LINEAR_BACKWARD_INPUT, run_grouped_input, check_grouped_input},
    kGroupedWeight{LF_OP_GROUPED_LINEAR_BACKWARD_WEIGHT, run_grouped_weight, check_grouped_weight};

}  // namespace
}  // namespace lf_gpu
