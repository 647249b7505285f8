// REDUCE, SOFTMAX and MEAN_POOL.
#include "../kernels/reduce.h"

#include "checks.h"

namespace lf_gpu {
namespace {

// Over everything, unless `out` is x without its last dimension. One element may be both: then the results are the same.
bool over_rows(const View& x, const View& out) {
  bool rows = out.rank + 1 == x.rank;
  for (int d = 0; d < out.rank && rows; d++) rows = out.shape[d] == x.shape[d];
  return rows;
}

const char* check_reduce(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "x"));
  LF_RETURN_IF(expect_dtype(c, o[1], "out", LF_F32));
  if (p[0] > LF_COUNT_NONFINITE) return c.fail(LF_UNSUPPORTED, "there is no reduction %u", p[0]);
  if (over_rows(o[0], o[1]) || o[1].elements() == 1) return nullptr;
  return c.fail(LF_INVALID, "operand out has neither one element nor the shape of x without its last dimension");
}
const char* run_reduce(Context& c, const uint32_t* p, const View* o, int) {
  ReduceArgs args{};
  args.kind = p[0], args.accumulate = p[1];
  args.out = elements_of(o[1]);
  if (over_rows(o[0], o[1])) {
    args.x = rows_of(o[0]);
    args.n = o[0].shape[o[0].rank - 1];
    return c.launch("reduce_rows", {static_cast<uint32_t>(o[1].elements())}, threads_for(c, ceil_div(args.n, 8), kReduceThreads),
                    kReduceShared, args);
  }
  args.x = elements_of(o[0]);
  args.n = o[0].elements();
  args.pieces = ceil_div(args.n, kReducePiece);
  args.partial = static_cast<float*>(c.workspace(static_cast<uint64_t>(args.pieces) * 4));
  if (!args.partial) return c.exhausted();
  LF_RETURN_IF(c.launch("reduce_pieces", {static_cast<uint32_t>(args.pieces)},
                        threads_for(c, ceil_div(std::min(args.n, kReducePiece), 8), kReduceThreads), kReduceShared, args));
  return c.launch("reduce_partials", {1}, threads_for(c, args.pieces, kReduceThreads), kReduceShared, args);
}

const char* check_softmax(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "x"));
  LF_RETURN_IF(expect_rank(c, o[0], "x", 1, LF_MAX_RANK));
  LF_RETURN_IF(expect_float(c, o[1], "out"));
  return expect_same_shape(c, o[1], "out", o[0], "x");
}
const char* run_softmax(Context& c, const uint32_t*, const View* o, int) {
  SoftmaxArgs args{};
  args.x = rows_of(o[0]), args.out = rows_of(o[1]);
  args.n = o[0].shape[o[0].rank - 1];
  return c.launch("softmax_rows", {static_cast<uint32_t>(row_count(o[0]))}, threads_for(c, args.n, kReduceThreads), kReduceShared, args);
}

const char* check_mean_pool(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "x"));
  LF_RETURN_IF(expect_rank(c, o[0], "x", 2, 2));
  LF_RETURN_IF(expect_dtype(c, o[1], "cu", LF_I32));
  LF_RETURN_IF(expect_rank(c, o[1], "cu", 1, 1));
  if (o[1].shape[0] < 1) return c.fail(LF_INVALID, "operand cu is empty");
  LF_RETURN_IF(expect_dtype(c, o[2], "out", LF_F32));
  return expect_shape(c, o[2], "out", {o[1].shape[0] - 1, o[0].shape[1]});
}
const char* run_mean_pool(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(c.check_indices(o, {1, 0, static_cast<int32_t>(o[0].shape[0]), true}));
  PoolArgs args{};
  args.x = rows_of(o[0]), args.out = rows_of(o[2]);
  args.cu = o[1].as<const int32_t>();
  args.cu_stride = o[1].stride[0];
  args.n = o[0].shape[1];
  args.normalize = p[0];
  if (args.n == 0) return nullptr;
  return c.launch("mean_pool", {static_cast<uint32_t>(o[2].shape[0])}, threads_for(c, args.n, kReduceThreads), kReduceShared, args);
}

const OpRegistration kReduce{LF_OP_REDUCE, run_reduce, check_reduce}, kSoftmax{LF_OP_SOFTMAX, run_softmax, check_softmax},
    kMeanPool{LF_OP_MEAN_POOL, run_mean_pool, check_mean_pool};

}  // namespace
}  // namespace lf_gpu
