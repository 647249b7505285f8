// ATTENTION, its gradient, and ATTENTION_PAGED.
#include "../kernels/attention.h"

#include <cstdio>

#include "checks.h"

namespace lf_gpu {
namespace {

enum { kQ, kK, kV, kCuQ, kCuK, kOut, kLse, kDout, kDq, kDk, kDv };
enum { kPagedQ, kPagedK, kPagedV, kTable, kPagedCu, kContext, kPagedOut, kKScale, kVScale };

// Widths that the kernels pad a head to.
int64_t padded_width(int64_t n) { return n <= 64 ? 64 : n <= 128 ? 128 : 256; }

const char* name_of(lf_dtype dtype) { return dtype == LF_BF16 ? "bf16" : dtype == LF_F16 ? "f16" : "f32"; }

HeadRows heads_of(const View& v) {
  HeadRows h{};
  h.data = v.data;
  if (v.rank == 4) {
    h.block_stride = v.stride[0], h.head_stride = v.stride[1], h.token_stride = v.stride[2];
  } else {
    h.token_stride = v.stride[0], h.head_stride = v.stride[1];
  }
  return h;
}

bool words(const View& v) {
  bool good = reinterpret_cast<uintptr_t>(v.data) % 16 == 0 && v.shape[v.rank - 1] % 8 == 0;
  for (int d = 0; d + 1 < v.rank; d++) good = good && v.stride[d] % 8 == 0;
  return good;
}

// Tiles depend on the bytes of an element in shared memory; f16 is multiplied as f32.
struct Tiles {
  uint32_t threads, rows, shared;
};
template <template <int, int> class Of>
Tiles tiles_of(const Context& c, lf_dtype dtype, int64_t width) {
  auto of = [&](auto tiles) {
    using T = decltype(tiles);
    return Tiles{T::kWarps * c.info().warp, T::kRows, T::kShared};
  };
  if (dtype == LF_BF16) return width == 64 ? of(Of<2, 64>{}) : width == 128 ? of(Of<2, 128>{}) : of(Of<2, 256>{});
  return width == 64 ? of(Of<4, 64>{}) : width == 128 ? of(Of<4, 128>{}) : of(Of<4, 256>{});
}

const char* expect_heads(Context& c, const View& v, const char* name, lf_dtype dtype, int64_t tokens, int64_t heads, int64_t n) {
  LF_RETURN_IF(expect_floats(c, v, name, {tokens, heads, n}));
  if (v.dtype != dtype) return c.fail(LF_UNSUPPORTED, "operand %s has data type %d, but q has %d", name, v.dtype, dtype);
  return expect_dense_rows(c, v, name);
}

const char* expect_head(Context& c, int64_t heads, int64_t kv_heads, int64_t n, lf_dtype dtype, bool gradient) {
  if (kv_heads < 1 || heads % kv_heads) return c.fail(LF_INVALID, "%lld heads of queries for %lld of keys", (long long)heads, (long long)kv_heads);
  const int64_t widest = gradient && dtype != LF_BF16 ? 128 : 256;
  if (n < 1 || n > widest) return c.fail(LF_UNSUPPORTED, "heads of %lld elements; from 1 to %lld are possible", (long long)n, (long long)widest);
  if (heads > 65535) return c.fail(LF_UNSUPPORTED, "%lld heads", (long long)heads);
  const int64_t width = padded_width(n);
  const Tiles tiles = gradient ? tiles_of<GradientTiles>(c, dtype, width) : tiles_of<AttentionTiles>(c, dtype, width);
  if (tiles.shared <= c.info().shared_limit) return nullptr;
  return c.fail(LF_UNSUPPORTED, "heads of %lld elements need %u bytes of shared memory; this device has %u", (long long)n, tiles.shared,
                c.info().shared_limit);
}

const char* check_packed(Context& c, const View* o, bool gradient) {
  for (int i : {kQ, kK}) {
    LF_RETURN_IF(expect_float(c, o[i], i == kQ ? "q" : "k"));
    LF_RETURN_IF(expect_rank(c, o[i], i == kQ ? "q" : "k", 3, 3));
  }
  const lf_dtype dtype = o[kQ].dtype;
  const int64_t tq = o[kQ].shape[0], hq = o[kQ].shape[1], n = o[kQ].shape[2], tk = o[kK].shape[0], hk = o[kK].shape[1];
  LF_RETURN_IF(expect_head(c, hq, hk, n, dtype, gradient));
  LF_RETURN_IF(expect_heads(c, o[kQ], "q", dtype, tq, hq, n));
  LF_RETURN_IF(expect_heads(c, o[kK], "k", dtype, tk, hk, n));
  LF_RETURN_IF(expect_heads(c, o[kV], "v", dtype, tk, hk, n));
  LF_RETURN_IF(expect_dtype(c, o[kCuQ], "cu_q", LF_I32));
  LF_RETURN_IF(expect_rank(c, o[kCuQ], "cu_q", 1, 1));
  if (o[kCuQ].shape[0] < 1 || o[kCuQ].shape[0] > 65535) return c.fail(LF_UNSUPPORTED, "%lld sequences", (long long)o[kCuQ].shape[0] - 1);
  LF_RETURN_IF(expect_indices(c, o[kCuK], "cu_k", {o[kCuQ].shape[0]}));
  LF_RETURN_IF(expect_heads(c, o[kOut], "out", dtype, tq, hq, n));
  if (gradient || o[kLse].present()) {
    LF_RETURN_IF(expect_dtype(c, o[kLse], "lse", LF_F32));
    LF_RETURN_IF(expect_shape(c, o[kLse], "lse", {hq, tq}));
  }
  if (!gradient) return nullptr;
  LF_RETURN_IF(expect_heads(c, o[kDout], "dout", dtype, tq, hq, n));
  LF_RETURN_IF(expect_heads(c, o[kDq], "dq", dtype, tq, hq, n));
  LF_RETURN_IF(expect_heads(c, o[kDk], "dk", dtype, tk, hk, n));
  return expect_heads(c, o[kDv], "dv", dtype, tk, hk, n);
}

AttentionArgs packed_args(const uint32_t* p, const View* o) {
  AttentionArgs args{};
  args.q = heads_of(o[kQ]), args.k = heads_of(o[kK]), args.v = heads_of(o[kV]), args.out = heads_of(o[kOut]);
  args.cu_q = o[kCuQ].as<const int32_t>(), args.cu_q_stride = o[kCuQ].stride[0];
  args.cu_k = o[kCuK].as<const int32_t>(), args.cu_k_stride = o[kCuK].stride[0];
  args.lse = o[kLse].as<float>();
  args.lse_stride = o[kLse].stride[0], args.lse_token_stride = o[kLse].stride[1];
  args.tokens = o[kQ].shape[0], args.heads = o[kQ].shape[1], args.kv_heads = o[kK].shape[1], args.n = o[kQ].shape[2];
  args.scale = param_f32(p, 0), args.causal = p[1], args.window = p[2], args.softcap = param_f32(p, 3);
  args.splits = 1;
  args.vector = words(o[kQ]) && words(o[kK]) && words(o[kV]);
  return args;
}

// Boundaries rise from 0 to all tokens, by no more than the command says.
const char* check_boundaries(Context& c, const uint32_t* p, const View* o) {
  auto most = [](uint32_t n) { return static_cast<int32_t>(std::min<uint32_t>(std::max(n, 1u), INT32_MAX)); };
  LF_RETURN_IF(c.check_indices(o, {kCuQ, 0, static_cast<int32_t>(o[kQ].shape[0]), true, most(p[4])}));
  return c.check_indices(o, {kCuK, 0, static_cast<int32_t>(o[kK].shape[0]), true, most(p[5])});
}

const char* check_attention(Context& c, const uint32_t*, const View* o, int) { return check_packed(c, o, false); }
const char* run_attention(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(check_boundaries(c, p, o));
  const AttentionArgs args = packed_args(p, o);
  const int64_t width = padded_width(args.n), longest = std::min<int64_t>(p[4], args.tokens);
  const Tiles tiles = tiles_of<AttentionTiles>(c, o[kQ].dtype, width);
  char kernel[48];
  snprintf(kernel, sizeof kernel, "attention_%s_%lld", name_of(o[kQ].dtype), (long long)width);
  const int64_t blocks = ceil_div(longest * (args.heads / args.kv_heads), tiles.rows);
  return c.launch(kernel, {static_cast<uint32_t>(blocks), static_cast<uint32_t>(args.kv_heads), static_cast<uint32_t>(o[kCuQ].shape[0] - 1)},
                  tiles.threads, tiles.shared, args);
}

const char* check_backward(Context& c, const uint32_t*, const View* o, int) { return check_packed(c, o, true); }
const char* run_backward(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(check_boundaries(c, p, o));
  AttentionArgs args = packed_args(p, o);
  args.dout = heads_of(o[kDout]), args.dq = heads_of(o[kDq]), args.dk = heads_of(o[kDk]), args.dv = heads_of(o[kDv]);
  args.vector = args.vector && words(o[kDout]);
  args.delta_stride = args.tokens;
  args.delta = static_cast<float*>(c.workspace(static_cast<uint64_t>(args.heads * args.tokens) * 4));
  if (!args.delta) return c.exhausted();
  const char* type = name_of(o[kQ].dtype);
  const int64_t width = padded_width(args.n), parts = width > 128 ? 2 : 1;
  const Tiles tiles = tiles_of<GradientTiles>(c, o[kQ].dtype, width);
  const uint32_t sequences = static_cast<uint32_t>(o[kCuQ].shape[0] - 1);
  const int64_t rows_of_block = kCombineThreads / c.info().warp;
  char kernel[48];
  snprintf(kernel, sizeof kernel, "attention_delta_%s", type);
  LF_RETURN_IF(c.launch(kernel, {static_cast<uint32_t>(ceil_div(args.tokens * args.heads, rows_of_block))}, kCombineThreads, 0, args));
  const int64_t queries = std::min<int64_t>(p[4], args.tokens), keys = std::min<int64_t>(p[5], o[kK].shape[0]);
  snprintf(kernel, sizeof kernel, "attention_dq_%s_%lld", type, (long long)width);
  LF_RETURN_IF(c.launch(kernel, {static_cast<uint32_t>(ceil_div(queries, tiles.rows)), static_cast<uint32_t>(args.heads * parts), sequences},
                        tiles.threads, tiles.shared, args));
  snprintf(kernel, sizeof kernel, "attention_dkv_%s_%lld", type, (long long)width);
  return c.launch(kernel, {static_cast<uint32_t>(ceil_div(keys, tiles.rows)), static_cast<uint32_t>(args.kv_heads * parts), sequences},
                  tiles.threads, tiles.shared, args);
}

const char* check_paged(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[kPagedQ], "q"));
  LF_RETURN_IF(expect_rank(c, o[kPagedQ], "q", 3, 3));
  const lf_dtype dtype = o[kPagedQ].dtype;
  const int64_t tokens = o[kPagedQ].shape[0], heads = o[kPagedQ].shape[1], n = o[kPagedQ].shape[2];
  for (int i : {kPagedK, kPagedV}) {
    const char* name = i == kPagedK ? "k_cache" : "v_cache";
    const bool codes = o[kPagedK].dtype == LF_I8;
    LF_RETURN_IF(codes ? expect_dtype(c, o[i], name, LF_I8) : expect_float(c, o[i], name));
    LF_RETURN_IF(expect_rank(c, o[i], name, 4, 4));
    if (!codes && o[i].dtype != dtype) return c.fail(LF_UNSUPPORTED, "operand %s has data type %d, but q has %d", name, o[i].dtype, dtype);
    LF_RETURN_IF(expect_shape(c, o[i], name, {o[kPagedK].shape[0], o[kPagedK].shape[1], o[kPagedK].shape[2], n}));
    LF_RETURN_IF(expect_dense_rows(c, o[i], name));
  }
  LF_RETURN_IF(expect_cache_scale(c, o[kKScale], "k_scale", o[kPagedK]));
  LF_RETURN_IF(expect_cache_scale(c, o[kVScale], "v_scale", o[kPagedK]));
  LF_RETURN_IF(expect_head(c, heads, o[kPagedK].shape[1], n, dtype, false));
  LF_RETURN_IF(expect_heads(c, o[kPagedQ], "q", dtype, tokens, heads, n));
  LF_RETURN_IF(expect_dtype(c, o[kContext], "context", LF_I32));
  LF_RETURN_IF(expect_rank(c, o[kContext], "context", 1, 1));
  const int64_t sequences = o[kContext].shape[0];
  if (sequences > 65535) return c.fail(LF_UNSUPPORTED, "%lld sequences", (long long)sequences);
  LF_RETURN_IF(expect_dtype(c, o[kTable], "block_table", LF_I32));
  LF_RETURN_IF(expect_rank(c, o[kTable], "block_table", 2, 2));
  LF_RETURN_IF(expect_shape(c, o[kTable], "block_table", {sequences, o[kTable].shape[1]}));
  LF_RETURN_IF(expect_indices(c, o[kPagedCu], "cu_q", {sequences + 1}));
  if (o[kPagedK].shape[2] < 1) return c.fail(LF_INVALID, "blocks of no positions");
  return expect_heads(c, o[kPagedOut], "out", dtype, tokens, heads, n);
}
const char* run_paged(Context& c, const uint32_t* p, const View* o, int) {
  const View &k = o[kPagedK], &table = o[kTable];
  const int64_t capacity = table.shape[1] * k.shape[2], context = std::min<int64_t>(p[4], capacity);
  const int32_t longest = static_cast<int32_t>(std::min<uint32_t>(std::max(p[3], 1u), INT32_MAX));
  LF_RETURN_IF(c.check_indices(o, {kPagedCu, 0, static_cast<int32_t>(o[kPagedQ].shape[0]), true, longest}));
  LF_RETURN_IF(c.check_indices(o, {kContext, 0, static_cast<int32_t>(context)}));
  LF_RETURN_IF(c.check_indices(o, {kTable, 0, static_cast<int32_t>(k.shape[0]) - 1}));
  AttentionArgs args{};
  args.q = heads_of(o[kPagedQ]), args.k = heads_of(k), args.v = heads_of(o[kPagedV]), args.out = heads_of(o[kPagedOut]);
  args.cu_q = o[kPagedCu].as<const int32_t>(), args.cu_q_stride = o[kPagedCu].stride[0];
  args.cu_k = o[kContext].as<const int32_t>(), args.cu_k_stride = o[kContext].stride[0];
  args.table = table.as<const int32_t>();
  args.table_stride = table.stride[0], args.table_column_stride = table.stride[1];
  args.block = k.shape[2];
  args.tokens = o[kPagedQ].shape[0], args.heads = o[kPagedQ].shape[1], args.kv_heads = k.shape[1], args.n = o[kPagedQ].shape[2];
  args.causal = 1, args.scale = param_f32(p, 0), args.window = p[1], args.softcap = param_f32(p, 2);
  const bool codes = k.dtype == LF_I8;
  args.vector = words(o[kPagedQ]) && (codes || (words(k) && words(o[kPagedV])));
  args.code_words = codes && words(k) && words(o[kPagedV]);
  if (codes) {
    args.k_scale = {o[kKScale].as<const float>(), o[kKScale].stride[0], o[kKScale].stride[1]};
    args.v_scale = {o[kVScale].as<const float>(), o[kVScale].stride[0], o[kVScale].stride[1]};
  }
  args.splits = static_cast<uint32_t>(std::max<int64_t>(1, ceil_div(context, kSplitKeys)));
  if (args.kv_heads * args.splits > 65535) return c.fail(LF_UNSUPPORTED, "a context of %lld positions", (long long)context);
  const char* type = name_of(o[kPagedQ].dtype);
  const int64_t width = padded_width(args.n);
  const Tiles tiles = tiles_of<AttentionTiles>(c, o[kPagedQ].dtype, width);
  if (args.splits > 1) {
    const uint64_t parts = static_cast<uint64_t>(args.tokens * args.heads) * args.splits;
    args.partial = static_cast<float*>(c.workspace(parts * static_cast<uint64_t>(args.n + 2) * 4));
    if (!args.partial) return c.exhausted();
  }
  char kernel[48];
  snprintf(kernel, sizeof kernel, "attention_%s%s_%lld", type, codes ? "_i8" : "", (long long)width);
  const int64_t queries = std::min<int64_t>(p[3], args.tokens), blocks = ceil_div(queries * (args.heads / args.kv_heads), tiles.rows);
  const Grid grid{static_cast<uint32_t>(blocks), static_cast<uint32_t>(args.kv_heads) * args.splits, static_cast<uint32_t>(o[kContext].shape[0])};
  LF_RETURN_IF(c.launch(kernel, grid, tiles.threads, tiles.shared, args));
  if (args.splits == 1) return nullptr;
  snprintf(kernel, sizeof kernel, "attention_join_%s", type);
  const int64_t rows_of_block = kCombineThreads / c.info().warp;
  return c.launch(kernel, {static_cast<uint32_t>(ceil_div(args.tokens * args.heads, rows_of_block))}, kCombineThreads, 0, args);
}

const OpRegistration kAttention{LF_OP_ATTENTION, run_attention, check_attention},
    kAttentionBackward{LF_OP_ATTENTION_BACKWARD, run_backward, check_backward},
    kAttentionPaged{LF_OP_ATTENTION_PAGED, run_paged, check_paged};

}  // namespace
}  // namespace lf_gpu
