// EMBEDDING, its gradient, GATHER_COLUMNS, ROPE, KV_WRITE and KV_COPY_BLOCKS.
#include "../kernels/tokens.h"

#include "checks.h"

namespace lf_gpu {
namespace {

// Dimensions as they are, padded in front: for kernels that know what each means.
Operand dimensions_of(const View& v) {
  Operand o{};
  o.data = v.data;
  o.dtype = static_cast<uint32_t>(v.dtype);
  for (int d = 0; d < 4; d++) {
    const int from = d - (4 - v.rank);
    o.shape[d] = from < 0 ? 1 : static_cast<uint32_t>(v.shape[from]);
    o.stride[d] = from < 0 ? 0 : static_cast<uint32_t>(v.stride[from]);
  }
  return o;
}

const char* check_embedding(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_dtype(c, o[0], "ids", LF_I32));
  LF_RETURN_IF(expect_rank(c, o[0], "ids", 1, 1));
  LF_RETURN_IF(expect_rank(c, o[1], "table", 2, 2));
  if (!is_blocks(o[1].dtype)) LF_RETURN_IF(expect_float(c, o[1], "table"));
  return expect_floats(c, o[2], "out", {o[0].shape[0], o[1].shape[1]});
}
const char* run_embedding(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(c.check_indices(o, {0, 0, static_cast<int32_t>(o[1].shape[0]) - 1}));
  EmbeddingArgs args{};
  args.ids = o[0].as<const int32_t>();
  args.id_stride = o[0].stride[0];
  args.tokens = o[0].shape[0], args.n = o[1].shape[1];
  args.table = is_blocks(o[1].dtype) ? dimensions_of(o[1]) : rows_of(o[1]);
  args.out = rows_of(o[2]);
  args.scale = param_f32(p, 0), args.accumulate = p[1];
  if (args.n == 0) return nullptr;
  return c.launch("embedding", {static_cast<uint32_t>(args.tokens)}, threads_for(c, ceil_div(args.n, 8), kTokenThreads), 0, args);
}

const char* check_embedding_backward(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_dtype(c, o[0], "ids", LF_I32));
  LF_RETURN_IF(expect_rank(c, o[0], "ids", 1, 1));
  LF_RETURN_IF(expect_dtype(c, o[2], "dtable", LF_F32));
  LF_RETURN_IF(expect_rank(c, o[2], "dtable", 2, 2));
  return expect_floats(c, o[1], "dout", {o[0].shape[0], o[2].shape[1]});
}
const char* run_embedding_backward(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(c.check_indices(o, {0, -1, static_cast<int32_t>(o[2].shape[0]) - 1}));
  EmbeddingArgs args{};
  args.ids = o[0].as<const int32_t>();
  args.id_stride = o[0].stride[0];
  args.tokens = o[0].shape[0], args.n = o[2].shape[1];
  args.table = rows_of(o[1]), args.out = rows_of(o[2]);
  args.scale = param_f32(p, 0);
  if (args.n == 0) return nullptr;
  return c.launch("embedding_gradient", {static_cast<uint32_t>(args.tokens)}, threads_for(c, ceil_div(args.n, 8), kTokenThreads), 0, args);
}

const char* check_gather_columns(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "x"));
  LF_RETURN_IF(expect_rank(c, o[0], "x", 2, 2));
  LF_RETURN_IF(expect_dtype(c, o[1], "index", LF_I32));
  LF_RETURN_IF(expect_rank(c, o[1], "index", 1, 1));
  return expect_floats(c, o[2], "out", {o[0].shape[0], o[1].shape[0]});
}
const char* run_gather_columns(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(c.check_indices(o, {1, 0, static_cast<int32_t>(o[0].shape[1]) - 1}));
  GatherArgs args{};
  args.x = dimensions_of(o[0]), args.out = rows_of(o[2]);
  args.index = o[1].as<const int32_t>();
  args.index_stride = o[1].stride[0], args.n = o[1].shape[0];
  if (args.n == 0) return nullptr;
  return c.launch("gather_columns", {static_cast<uint32_t>(o[0].shape[0])}, threads_for(c, ceil_div(args.n, 8), kTokenThreads), 0,
                  args);
}

const char* check_rope(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "x"));
  LF_RETURN_IF(expect_rank(c, o[0], "x", 3, 3));
  LF_RETURN_IF(expect_indices(c, o[1], "positions", {o[0].shape[0]}));
  LF_RETURN_IF(expect_dtype(c, o[2], "inv_freq", LF_F32));
  LF_RETURN_IF(expect_rank(c, o[2], "inv_freq", 1, 2));
  if (o[2].rank == 2 && o[2].shape[0] != o[0].shape[0]) return c.fail(LF_INVALID, "operand inv_freq is not of as many tokens as x");
  if (o[2].shape[o[2].rank - 1] * 2 > o[0].shape[2]) return c.fail(LF_INVALID, "operand inv_freq has more frequencies than a head has pairs");
  LF_RETURN_IF(expect_float(c, o[3], "out"));
  if (static_cast<int32_t>(p[0]) != 1 && static_cast<int32_t>(p[0]) != -1) return c.fail(LF_INVALID, "sign is neither 1 nor -1");
  return expect_same_shape(c, o[3], "out", o[0], "x");
}
const char* run_rope(Context& c, const uint32_t* p, const View* o, int) {
  RopeArgs args{};
  args.x = dimensions_of(o[0]), args.out = dimensions_of(o[3]);
  args.positions = o[1].as<const int32_t>();
  args.position_stride = o[1].stride[0];
  args.frequencies = o[2].as<const float>();
  args.frequency_stride = o[2].stride[o[2].rank - 1];
  args.frequency_token_stride = o[2].rank == 2 ? o[2].stride[0] : 0;
  args.tokens = o[0].shape[0], args.heads = o[0].shape[1], args.n = o[0].shape[2];
  args.half = o[2].shape[o[2].rank - 1];
  args.sign = static_cast<int32_t>(p[0]), args.interleaved = p[1], args.scale = param_f32(p, 2);
  return c.launch("rope", {static_cast<uint32_t>(args.tokens)}, threads_for(c, std::max(args.half, args.n - 2 * args.half), kTokenThreads), 0, args);
}

const char* check_caches(Context& c, const View& k_cache, const View& v_cache, const View& k_scale, const View& v_scale) {
  const bool codes = k_cache.present() && k_cache.dtype == LF_I8;
  LF_RETURN_IF(codes ? expect_dtype(c, k_cache, "k_cache", LF_I8) : expect_float(c, k_cache, "k_cache"));
  LF_RETURN_IF(expect_rank(c, k_cache, "k_cache", 4, 4));
  LF_RETURN_IF(codes ? expect_dtype(c, v_cache, "v_cache", LF_I8) : expect_float(c, v_cache, "v_cache"));
  LF_RETURN_IF(expect_cache_scale(c, k_scale, "k_scale", k_cache));
  LF_RETURN_IF(expect_cache_scale(c, v_scale, "v_scale", k_cache));
  LF_RETURN_IF(expect_same_shape(c, v_cache, "v_cache", k_cache, "k_cache"));
  return k_cache.shape[0] * k_cache.shape[2] < int64_t{1} << 31 ? nullptr : c.fail(LF_INVALID, "the cache has too many positions");
}
const char* check_kv_write(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(check_caches(c, o[3], o[4], o[5], o[6]));
  LF_RETURN_IF(expect_dtype(c, o[2], "slots", LF_I32));
  LF_RETURN_IF(expect_rank(c, o[2], "slots", 1, 1));
  LF_RETURN_IF(expect_floats(c, o[0], "k", {o[2].shape[0], o[3].shape[1], o[3].shape[3]}));
  return expect_floats(c, o[1], "v", {o[2].shape[0], o[3].shape[1], o[3].shape[3]});
}
const char* run_kv_write(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(c.check_indices(o, {2, -1, static_cast<int32_t>(o[3].shape[0] * o[3].shape[2]) - 1}));
  KvArgs args{};
  args.k = dimensions_of(o[0]), args.v = dimensions_of(o[1]);
  args.k_cache = dimensions_of(o[3]), args.v_cache = dimensions_of(o[4]);
  args.index = o[2].as<const int32_t>();
  args.index_stride = o[2].stride[0];
  args.count = o[2].shape[0];
  if (o[5].present()) args.k_scale = dimensions_of(o[5]), args.v_scale = dimensions_of(o[6]);
  return c.launch("kv_write", {static_cast<uint32_t>(args.count)}, threads_for(c, o[3].shape[1] * o[3].shape[3], kTokenThreads), 0, args);
}

const char* check_kv_copy(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(check_caches(c, o[0], o[1], o[3], o[4]));
  LF_RETURN_IF(expect_dtype(c, o[2], "pairs", LF_I32));
  LF_RETURN_IF(expect_rank(c, o[2], "pairs", 2, 2));
  return o[2].shape[1] == 2 ? nullptr : c.fail(LF_INVALID, "operand pairs has %lld columns, expected 2", (long long)o[2].shape[1]);
}
const char* run_kv_copy(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(c.check_indices(o, {2, 0, static_cast<int32_t>(o[0].shape[0]) - 1}));
  KvArgs args{};
  args.k_cache = dimensions_of(o[0]), args.v_cache = dimensions_of(o[1]);
  args.index = o[2].as<const int32_t>();
  args.index_stride = o[2].stride[0], args.pair_stride = o[2].stride[1];
  args.count = o[2].shape[0];
  if (o[3].present()) args.k_scale = dimensions_of(o[3]), args.v_scale = dimensions_of(o[4]);
  const int64_t elements = o[0].shape[1] * o[0].shape[2] * o[0].shape[3];
  return c.launch("kv_copy_blocks", {static_cast<uint32_t>(args.count), 2}, threads_for(c, elements, kTokenThreads), 0, args);
}

const OpRegistration kEmbedding{LF_OP_EMBEDDING, run_embedding, check_embedding},
    kEmbeddingBackward{LF_OP_EMBEDDING_BACKWARD, run_embedding_backward, check_embedding_backward}, kRope{LF_OP_ROPE, run_rope, check_rope},
    kGatherColumns{LF_OP_GATHER_COLUMNS, run_gather_columns, check_gather_columns},
    kKvWrite{LF_OP_KV_WRITE, run_kv_write, check_kv_write}, kKvCopy{LF_OP_KV_COPY_BLOCKS, run_kv_copy, check_kv_copy};

}  // namespace
}  // namespace lf_gpu
