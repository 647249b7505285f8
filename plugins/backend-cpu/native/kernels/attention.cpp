// ATTENTION: variable-length flash attention, forward.
#include "attention_tile.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

const char* check_attention(Context& ctx, const uint32_t*, const View* o, int) {
  const char* op = "ATTENTION";
  const View &q = o[0], &k = o[1], &v = o[2], &cu_q = o[3], &cu_k = o[4], &out = o[5], &lse = o[6];
  LF_CHECK(expect_float(ctx, op, "q", q));
  LF_CHECK(expect_float(ctx, op, "k", k));
  LF_CHECK(expect_float(ctx, op, "v", v));
  LF_CHECK(expect_float(ctx, op, "out", out));
  LF_CHECK(expect_rank(ctx, op, "q", q, 3));
  LF_CHECK(expect_rank(ctx, op, "k", k, 3));
  LF_CHECK(expect_shape(ctx, op, "k", k, k.shape[0], k.shape[1], q.shape[2]));
  LF_CHECK(expect_same_shape(ctx, op, "v", v, "k", k));
  LF_CHECK(expect_same_shape(ctx, op, "out", out, "q", q));
  if (k.shape[1] == 0 || q.shape[1] % k.shape[1])
    return ctx.fail(LF_INVALID, "%s: %lld heads of q %s are no multiple of the %lld heads of k %s", op,
                    (long long)q.shape[1], shape_text(q).text, (long long)k.shape[1], shape_text(k).text);
  LF_CHECK(expect_dtype(ctx, op, "cu_q", cu_q, LF_I32));
  LF_CHECK(expect_rank(ctx, op, "cu_q", cu_q, 1));
  LF_CHECK(expect_dtype(ctx, op, "cu_k", cu_k, LF_I32));
  LF_CHECK(expect_same_shape(ctx, op, "cu_k", cu_k, "cu_q", cu_q));
  if (cu_q.shape[0] < 1) return ctx.fail(LF_INVALID, "%s: operand cu_q is empty", op);
  if (lse.present()) {
    LF_CHECK(expect_dtype(ctx, op, "lse", lse, LF_F32));
    LF_CHECK(expect_shape(ctx, op, "lse", lse, q.shape[1], q.shape[0]));
  }
  LF_CHECK(expect_dense_rows(ctx, op, "q", q));
  LF_CHECK(expect_dense_rows(ctx, op, "k", k));
  LF_CHECK(expect_dense_rows(ctx, op, "v", v));
  return expect_dense_rows(ctx, op, "out", out);
}

template <typename Math>
const char* attention_with(Context& ctx, const AttentionParams& p, const View* o) {
  using Element = typename Math::Element;
  const View &q = o[0], &k = o[1], &v = o[2], &cu_q = o[3], &cu_k = o[4], &out = o[5], &lse = o[6];
  const HeadLayout<Math> head(q.shape[2]);
  const int64_t heads = q.shape[1], kv_heads = k.shape[1], group = heads / kv_heads;
  const int64_t query_blocks = block_count(cu_q), key_blocks = block_count(cu_k), sequences = cu_q.shape[0] - 1;

  SequenceBlock *queries = nullptr, *keys = nullptr;
  int32_t *first_query = nullptr, *first_key = nullptr;
  Element *key_tiles = nullptr, *value_tiles = nullptr;  // [key block, KV head]
  auto carve = [&](uint8_t* base) {
    Arena arena{base};
    queries = arena.take<SequenceBlock>(query_blocks);
    keys = arena.take<SequenceBlock>(key_blocks);
    first_query = arena.take<int32_t>(sequences + 1);
    first_key = arena.take<int32_t>(sequences + 1);
    key_tiles = arena.take<Element>(key_blocks * kv_heads * head.key_tile());
    value_tiles = arena.take<Element>(key_blocks * kv_heads * head.value_tile());
    return arena.used;
  };
  const size_t shared_bytes = carve(nullptr);
  uint8_t* shared = static_cast<uint8_t*>(ctx.shared(shared_bytes));
  if (!shared) return out_of_scratch(ctx, "ATTENTION", shared_bytes);
  carve(shared);
  list_blocks(cu_q, queries, first_query);
  list_blocks(cu_k, keys, first_key);

  const size_t local_bytes = QueryScratch<Math>::carve(head, nullptr, nullptr);
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, local_bytes)) return out_of_scratch(ctx, "ATTENTION", local_bytes);

  ctx.for_each(key_blocks * kv_heads, [&](int64_t task, int worker) {
    const SequenceBlock& block = keys[task / kv_heads];
    const int64_t kv_head = task % kv_heads, row = cumulative(cu_k, block.sequence) + block.start;
    const int size_k = element_bytes(k.dtype), size_v = element_bytes(v.dtype);
    pack_key_value_tile<Math>(
        head, block.rows, k.dtype,
        [&](int64_t i) { return k.data + ((row + i) * k.stride[0] + kv_head * k.stride[1]) * size_k; }, v.dtype,
        [&](int64_t i) { return v.data + ((row + i) * v.stride[0] + kv_head * v.stride[1]) * size_v; },
        static_cast<Element*>(ctx.local(worker, local_bytes)), key_tiles + task * head.key_tile(),
        value_tiles + task * head.value_tile());
  });

  ctx.for_each(query_blocks * heads, [&](int64_t task, int worker) {
    // The last blocks see the most keys when attention is causal: they go first.
    const SequenceBlock& block = queries[query_blocks - 1 - task / heads];
    const int64_t h = task % heads, kv_head = h / group, b = block.sequence;
    const int64_t row = cumulative(cu_q, b) + block.start;
    const int64_t sequence_keys = cumulative(cu_k, b + 1) - cumulative(cu_k, b);
    const int64_t position = block.start + sequence_keys - (cumulative(cu_q, b + 1) - cumulative(cu_q, b));
    QueryScratch<Math> scratch;
    QueryScratch<Math>::carve(head, static_cast<uint8_t*>(ctx.local(worker, local_bytes)), &scratch);
    pack_a<Math>(q.dtype, block.rows, round_up(block.rows, kTileRows), head.n, head.k, [&](int64_t i) {
      return q.data + ((row + i) * q.stride[0] + h * q.stride[1]) * element_bytes(q.dtype);
    }, scratch.query);
    const KeyRange seen = visible_keys(p, position, position + block.rows - 1, sequence_keys);
    bool first = true;
    for (int64_t tile = seen.low / kBlock; tile * kBlock < seen.high && seen.low < seen.high; tile++) {
      const int64_t start = tile * kBlock, index = (first_key[b] + tile) * kv_heads + kv_head;
      attend_tile<Math>(p, head, scratch, block.rows, position, start, smaller(kBlock, seen.high - start), sequence_keys,
                        key_tiles + index * head.key_tile(), value_tiles + index * head.value_tile(), first);
      first = false;
    }
    float* row_lse = lse.present() ? lse.as<float>() + h * lse.stride[0] + row * lse.stride[1] : nullptr;
    finish_block<Math>(head, scratch, block.rows, first, row_lse, lse.present() ? lse.stride[1] : 0,
                       [&](int64_t r, const float* values) {
                         write_row(out, (row + r) * out.stride[0] + h * out.stride[1], head.n, 1, values);
                       });
  });
  return nullptr;
}

const char* attention(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_attention(ctx, params, o, count));
  LF_CHECK(check_cumulative(ctx, "ATTENTION", "cu_q", o[3], o[0].shape[0]));
  LF_CHECK(check_cumulative(ctx, "ATTENTION", "cu_k", o[4], o[1].shape[0]));
  const AttentionParams p{param_f32(params, 0), params[1] != 0, int64_t(params[2]), param_f32(params, 3)};
#if LF_ISA_LEVEL >= 3
  if (o[0].dtype == LF_BF16 && o[1].dtype == LF_BF16 && o[2].dtype == LF_BF16) return attention_with<Bf16Math>(ctx, p, o);
#endif
  return attention_with<F32Math>(ctx, p, o);
}

}  // namespace

void register_attention(KernelTable& table) { table.entry[LF_OP_ATTENTION] = {attention, check_attention}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
