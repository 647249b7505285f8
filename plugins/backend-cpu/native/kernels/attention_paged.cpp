// ATTENTION_PAGED: causal attention over a cache that is cut into blocks of positions.
//
// A sequence with few new tokens (decoding) reads each cached key and value once, with a dot product per query and key;
// its context is cut into runs that are independent tasks and joined in order. A sequence with more new tokens (prefill)
// packs its keys and values into tiles first, as ATTENTION does. Which way a sequence goes depends on it alone, so its
// result does not depend on what else is in the batch. When it shall not depend either on how many of its tokens one
// call brings, every token goes the way of decoding, a few at a time.
#include "attention_decode.h"
#include "attention_decode_bf16.h"
#include "attention_tile.h"
#include "kv_cache.h"
#include "kv_codes.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// From this many new tokens on, tiles pay for their packing.
constexpr int64_t kTiledQueries = 4;
// With at least so many runs of decoding for each thread, a task covers all heads of its run: what they hold of a block lies
// side by side, and memory is read faster in long stretches.
constexpr int64_t kRunsAWorker = 4;

const char* check_attention_paged(Context& ctx, const uint32_t*, const View* o, int) {
  const char* op = "ATTENTION_PAGED";
  const View &q = o[0], &k_cache = o[1], &block_table = o[3], &cu_q = o[4], &context = o[5], &out = o[6];
  LF_CHECK(check_cache(ctx, op, k_cache, o[2], o[7], o[8]));
  LF_CHECK(expect_float(ctx, op, "q", q));
  LF_CHECK(expect_rank(ctx, op, "q", q, 3));
  LF_CHECK(expect_shape(ctx, op, "q", q, q.shape[0], q.shape[1], k_cache.shape[3]));
  LF_CHECK(expect_float(ctx, op, "out", out));
  LF_CHECK(expect_same_shape(ctx, op, "out", out, "q", q));
  LF_CHECK(expect_dense_rows(ctx, op, "q", q));
  LF_CHECK(expect_dense_rows(ctx, op, "out", out));
  if (k_cache.shape[1] == 0 || q.shape[1] % k_cache.shape[1])
    return ctx.fail(LF_INVALID, "%s: %lld heads of q %s are no multiple of the %lld heads of k_cache %s", op,
                    (long long)q.shape[1], shape_text(q).text, (long long)k_cache.shape[1], shape_text(k_cache).text);
  LF_CHECK(expect_dtype(ctx, op, "context", context, LF_I32));
  LF_CHECK(expect_rank(ctx, op, "context", context, 1));
  LF_CHECK(expect_dtype(ctx, op, "cu_q", cu_q, LF_I32));
  LF_CHECK(expect_shape(ctx, op, "cu_q", cu_q, context.shape[0] + 1));
  LF_CHECK(expect_dtype(ctx, op, "block_table", block_table, LF_I32));
  LF_CHECK(expect_rank(ctx, op, "block_table", block_table, 2));
  if (block_table.shape[0] == context.shape[0]) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand block_table has shape %s, but context has %s", op, shape_text(block_table).text,
                  shape_text(context).text);
}

// Tokens and positions of a sequence that one decoding task covers.
struct DecodeRun {
  int32_t sequence;
  int32_t first_token, tokens;
  int32_t start, end;
  int32_t number;  // among the runs of the sequence
};

template <typename Math>
class PagedPass {
  using Element = typename Math::Element;

 public:
  PagedPass(Context& ctx, const AttentionParams& p, bool invariant, const View* o)
      : ctx(ctx), p(p), invariant(invariant), q(o[0]), k_cache(o[1]), v_cache(o[2]), block_table(o[3]), cu_q(o[4]), contexts(o[5]), out(o[6]),
        k_scale(o[7]), v_scale(o[8]), head(q.shape[2]), heads(q.shape[1]), kv_heads(k_cache.shape[1]), group(heads / kv_heads),
        positions_a_block(k_cache.shape[2]), sequences(contexts.shape[0]) {}

  const char* run() {
    LF_CHECK(check_sequences());
    const size_t shared_bytes = carve_shared(nullptr);
    uint8_t* shared = static_cast<uint8_t*>(ctx.shared(larger<size_t>(shared_bytes, 64)));
    if (!shared) return out_of_scratch(ctx, "ATTENTION_PAGED", shared_bytes);
    carve_shared(shared);
    list_work();
    const size_t tiled = QueryScratch<Math>::carve(head, nullptr, nullptr), decoding = carve_decode(nullptr, nullptr);
    local_bytes = larger(larger(tiled, decoding), (kBlock * head.k + head.columns) * sizeof(Element));
    for (int w = 0; w < ctx.workers(); w++)
      if (!ctx.local(w, local_bytes)) return out_of_scratch(ctx, "ATTENTION_PAGED", local_bytes);
    if (query_blocks) {
      ctx.for_each(key_blocks * kv_heads, [&](int64_t task, int worker) { pack_tile(task, worker); });
      ctx.for_each(query_blocks * heads, [&](int64_t task, int worker) {
        attend_block(queries[query_blocks - 1 - task / heads], task % heads, worker);
      });
    }
    if (run_count) {
      const int64_t parts = kv_heads / task_heads;
      ctx.for_each(run_count * parts, [&](int64_t task, int worker) {
        decode_run(task / parts, task % parts * task_heads, worker);
      });
      if (longest_run_count > 1)
        ctx.for_each(q.shape[0], [&](int64_t token, int worker) {
          const int64_t b = sequence_of(token);
          if (b < 0 || !decodes(b) || runs_of(b) == 1) return;
          float* row = static_cast<float*>(ctx.local(worker, local_bytes));
          for (int64_t h = 0; h < heads; h++) join_row(b, token - cumulative(cu_q, b), h, row);
        });
    }
    return nullptr;
  }

 private:
  int64_t context_of(int64_t b) const { return contexts.as<const int32_t>()[b * contexts.stride[0]]; }
  int64_t new_tokens(int64_t b) const { return cumulative(cu_q, b + 1) - cumulative(cu_q, b); }
  bool decodes(int64_t b) const { return new_tokens(b) > 0 && (invariant || new_tokens(b) < kTiledQueries); }
  bool tiled(int64_t b) const { return !invariant && new_tokens(b) >= kTiledQueries; }
  // The sequence that a row of q belongs to, or -1.
  int64_t sequence_of(int64_t token) const {
    int64_t low = 0, high = sequences;  // the first sequence that ends after the token
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (cumulative(cu_q, middle + 1) > token) high = middle;
      else low = middle + 1;
    }
    return low < sequences && cumulative(cu_q, low) <= token ? low : -1;
  }
  // The first position that any new token of the sequence sees; rounded down to a whole number of vectors when the sums
  // must not depend on where a window begins.
  int64_t first_position(int64_t b) const {
    const int64_t first = context_of(b) - new_tokens(b), low = visible_keys(p, first, first, context_of(b)).low;
    return invariant ? low / kLanes * kLanes : low;
  }
  int64_t block_of(int64_t b, int64_t position) const {
    return block_table.as<const int32_t>()[b * block_table.stride[0] + position / positions_a_block * block_table.stride[1]];
  }
  const uint8_t* cached(const View& cache, int64_t b, int64_t position, int64_t kv_head) const {
    return cache.data + (block_of(b, position) * cache.stride[0] + kv_head * cache.stride[1] +
                         position % positions_a_block * cache.stride[2]) * element_bytes(cache.dtype);
  }

  const float* scales_at(const View& scale, int64_t b, int64_t position, int64_t kv_head) const {
    return scale.as<const float>() + block_of(b, position) * scale.stride[0] + kv_head * scale.stride[1] +
           position % positions_a_block;
  }

  const char* check_sequences() {
    LF_CHECK(check_cumulative(ctx, "ATTENTION_PAGED", "cu_q", cu_q, q.shape[0]));
    for (int64_t b = 0; b < sequences; b++) {
      const int64_t length = context_of(b);
      if (length < new_tokens(b) || length > block_table.shape[1] * positions_a_block)
        return ctx.fail(LF_INVALID,
                        "ATTENTION_PAGED: sequence %lld has %lld new tokens and a context of %lld, with blocks for %lld",
                        (long long)b, (long long)new_tokens(b), (long long)length,
                        (long long)(block_table.shape[1] * positions_a_block));
      if (new_tokens(b) == 0) continue;
      for (int64_t position = first_position(b) / positions_a_block * positions_a_block; position < length;
           position += positions_a_block) {
        const int64_t block = block_of(b, position);
        if (block < 0 || block >= k_cache.shape[0])
          return ctx.fail(LF_INVALID, "ATTENTION_PAGED: block %lld of sequence %lld, position %lld, is outside of k_cache %s",
                          (long long)block, (long long)b, (long long)position, shape_text(k_cache).text);
      }
    }
    return nullptr;
  }

  // Tiles start at multiples of kBlock; those before the first visible position are left out.
  int64_t first_tile(int64_t b) const { return first_position(b) / kBlock; }
  int64_t tile_count(int64_t b) const { return ceil_div(context_of(b), kBlock) - first_tile(b); }
  int64_t first_run(int64_t b) const { return first_position(b) / kRun; }
  int64_t runs_of(int64_t b) const { return ceil_div(context_of(b), kRun) - first_run(b); }

  size_t carve_shared(uint8_t* base) {
    query_blocks = key_blocks = run_count = longest_run_count = 0;
    int64_t partial_rows = 0;
    for (int64_t b = 0; b < sequences; b++) {
      if (tiled(b)) {
        query_blocks += ceil_div(new_tokens(b), kBlock);
        key_blocks += tile_count(b);
      } else if (decodes(b)) {
        run_count += runs_of(b) * ceil_div(new_tokens(b), kTiledQueries - 1);
        longest_run_count = larger(longest_run_count, runs_of(b));
        partial_rows += runs_of(b) * new_tokens(b) * heads;
      }
    }
    task_heads = run_count >= kRunsAWorker * ctx.workers() ? kv_heads : 1;
    Arena arena{base};
    queries = arena.take<SequenceBlock>(query_blocks);
    keys = arena.take<SequenceBlock>(key_blocks);
    first_key = arena.take<int32_t>(sequences);
    runs = arena.take<DecodeRun>(run_count);
    first_partial = arena.take<int64_t>(sequences);
    key_tiles = arena.take<Element>(key_blocks * kv_heads * head.key_tile());
    value_tiles = arena.take<Element>(key_blocks * kv_heads * head.value_tile());
    partial_out = arena.take<float>(partial_rows * padded_columns());
    partial_largest = arena.take<float>(partial_rows);
    partial_total = arena.take<float>(partial_rows);
    return arena.used;
  }

  void list_work() {
    int64_t query = 0, key = 0, run = 0, partial = 0;
    for (int64_t b = 0; b < sequences; b++) {
      if (tiled(b)) {
        for (int64_t start = 0; start < new_tokens(b); start += kBlock)
          queries[query++] = {int32_t(b), int32_t(start), int32_t(smaller(kBlock, new_tokens(b) - start))};
        first_key[b] = int32_t(key);
        for (int64_t tile = first_tile(b); tile * kBlock < context_of(b); tile++)
          keys[key++] = {int32_t(b), int32_t(tile * kBlock), int32_t(smaller(kBlock, context_of(b) - tile * kBlock))};
      } else if (decodes(b)) {
        first_partial[b] = partial;
        for (int64_t r = first_run(b); r < first_run(b) + runs_of(b); r++)
          for (int64_t i = 0; i < new_tokens(b); i += kTiledQueries - 1)
            runs[run++] = {int32_t(b), int32_t(i), int32_t(smaller<int64_t>(kTiledQueries - 1, new_tokens(b) - i)),
                           int32_t(larger(first_position(b), r * kRun)), int32_t(smaller(context_of(b), (r + 1) * kRun)),
                           int32_t(r - first_run(b))};
        partial += runs_of(b) * new_tokens(b) * heads;
      }
    }
  }

  // ---- prefill ----

  void pack_tile(int64_t task, int worker) {
    const SequenceBlock& block = keys[task / kv_heads];
    const int64_t kv_head = task % kv_heads;
    Element *staging = static_cast<Element*>(ctx.local(worker, local_bytes)), *decoded = staging + kBlock * head.k;
    // A cached row as floats, codes decoded into memory that the next one uses too.
    const auto row_of = [&](const View& cache, const View& scale, int64_t i) -> const uint8_t* {
      const int64_t position = block.start + i;
      const uint8_t* memory = cached(cache, block.sequence, position, kv_head);
      if (!scale.present()) return memory;
      decode_codes(reinterpret_cast<const code8*>(memory), head.n, *scales_at(scale, block.sequence, position, kv_head), decoded);
      return reinterpret_cast<const uint8_t*>(decoded);
    };
    const auto dtype_of = [](const View& cache) {
      return cache.dtype != LF_I8 ? cache.dtype : Math::kUnit == 2 ? LF_BF16 : LF_F32;
    };
    pack_key_value_tile<Math>(
        head, block.rows, dtype_of(k_cache), [&](int64_t i) { return row_of(k_cache, k_scale, i); }, dtype_of(v_cache),
        [&](int64_t i) { return row_of(v_cache, v_scale, i); }, staging, key_tiles + task * head.key_tile(),
        value_tiles + task * head.value_tile());
  }

  void attend_block(const SequenceBlock& block, int64_t h, int worker) {
    const int64_t b = block.sequence, row = cumulative(cu_q, b) + block.start;
    const int64_t position = context_of(b) - new_tokens(b) + block.start;
    QueryScratch<Math> scratch;
    QueryScratch<Math>::carve(head, static_cast<uint8_t*>(ctx.local(worker, local_bytes)), &scratch);
    pack_a<Math>(q.dtype, block.rows, round_up(block.rows, kTileRows), head.n, head.k, [&](int64_t i) {
      return q.data + ((row + i) * q.stride[0] + h * q.stride[1]) * element_bytes(q.dtype);
    }, scratch.query);
    const KeyRange seen = visible_keys(p, position, position + block.rows - 1, context_of(b));
    bool first = true;
    for (int64_t tile = seen.low / kBlock; tile * kBlock < seen.high; tile++) {
      const int64_t index = (first_key[b] + tile - first_tile(b)) * kv_heads + h / group;
      attend_tile<Math>(p, head, scratch, block.rows, position, tile * kBlock, smaller(kBlock, seen.high - tile * kBlock),
                        context_of(b), key_tiles + index * head.key_tile(), value_tiles + index * head.value_tile(), first);
      first = false;
    }
    finish_block<Math>(head, scratch, block.rows, first, nullptr, 0, [&](int64_t r, const float* values) {
      write_row(out, (row + r) * out.stride[0] + h * out.stride[1], head.n, 1, values);
    });
  }

  // ---- decoding ----

  int64_t padded_columns() const { return round_up(head.n, 32); }
  static bool in_pairs(const View& cache) { return Math::kUnit == 2 && cache.dtype == LF_BF16; }

  struct DecodeScratch {
    float* query;    // [rows, padded_columns]
    float* weights;  // [rows, kRun]
    float** out;     // where each row's sums lie
    // The same as elements of Math, where caches are multiplied as they are.
    Element *query_elements, *weight_elements;
  };
  size_t carve_decode(uint8_t* base, DecodeScratch* s) const {
    Arena arena{base};
    DecodeScratch unused;
    if (!s) s = &unused;
    const int64_t rows = task_heads * group * (kTiledQueries - 1);
    s->query = arena.take<float>(rows * padded_columns());
    s->weights = arena.take<float>(rows * kRun);
    s->out = arena.take<float*>(rows);
    s->query_elements = arena.take<Element>(rows * padded_columns());
    s->weight_elements = arena.take<Element>(rows * kRun);
    return arena.used;
  }

  // Partial results of row (token i, head h) of run r of sequence b.
  int64_t partial_index(int64_t b, int64_t r, int64_t i, int64_t h) const {
    return first_partial[b] + (r * new_tokens(b) + i) * heads + h;
  }

  // Calls f(memory, head, j, count) for the parts of positions [start, start + length) that lie in one block of a cache,
  // where j counts from `start`, for each head of a task that begins at `first_head`; `head` counts from there.
  template <typename F>
  void for_cached_parts(const View& cache, int64_t b, int64_t first_head, int64_t start, int64_t length, F&& f) const {
    for (int64_t j = 0; j < length;) {
      const int64_t count = smaller(length - j, positions_a_block - (start + j) % positions_a_block);
      for (int64_t h = 0; h < task_heads; h++) f(cached(cache, b, start + j, first_head + h), h, j, count);
      j += count;
    }
  }

  // Multiplies what each row holds for `count` positions by their scales, where the cache has such.
  static void apply_scales(const float* scales, int64_t count, int64_t rows, float* weights) {
    for (int64_t r = 0; r < rows; r++)
      for_lanes(count, [&](int64_t i, int64_t lanes) {
        float* at = weights + r * kRun + i;
        store_lanes(at, load_lanes(at, lanes) * load_lanes(scales + i, lanes), lanes);
      });
  }

  // Scaled scores of m rows from `first` on with keys in one block.
  template <int m, typename T>
  void score_part(const DecodeScratch& s, int64_t first, const T* keys, int64_t count, float* scores) const {
    const int64_t n = head.n, padded = padded_columns(), stride = k_cache.stride[2];
#if LF_ISA_LEVEL >= 3
    if constexpr (Math::kUnit == 2 && __is_same(T, bf16)) {
      score_half_keys<m>(s.query_elements + first * padded, padded, n, keys, count, stride, scores);
      for (int r = 0; r < m; r++)
        for_lanes(round_up(count, 4), [&](int64_t i, int64_t lanes) {
          store_lanes(scores + r * kRun + i, load_lanes(scores + r * kRun + i, lanes) * p.scale, lanes);
        });
      return;
    }
#endif
    score_keys<m>(s.query + first * padded, padded, n, keys, count, stride, scores);
  }

  // Adds the weighted values of one block, whose positions begin at `j` of the run, to m rows.
  template <int m, typename T>
  void add_part(const DecodeScratch& s, int64_t first, int64_t j, const T* values, int64_t count) const {
    const int64_t n = head.n, stride = v_cache.stride[2], at = first * kRun + j;
#if LF_ISA_LEVEL >= 3
    if constexpr (Math::kUnit == 2 && __is_same(T, bf16))
      return add_half_values<m>(s.weight_elements + at, values, n, count, stride, s.out + first);
#endif
    add_values<m>(s.weights + at, values, n, count, stride, s.out + first);
  }

  // The rows of some KV heads of one sequence, i.e. its new tokens times the heads of the groups, against one run.
  void decode_run(int64_t index, int64_t first_head, int worker) {
    const DecodeRun& run = runs[index];
    const int64_t b = run.sequence, head_rows = run.tokens * group, rows = task_heads * head_rows;
    const int64_t n = head.n, padded = padded_columns();
    const int64_t position = context_of(b) - new_tokens(b) + run.first_token;
    // Keys behind the last of these tokens are seen by none of them.
    const int64_t length = smaller<int64_t>(run.end, position + run.tokens) - run.start;
    // Rows of one KV head follow each other, those of one token within.
    const auto token_of = [&](int64_t r) { return run.first_token + r % head_rows / group; };
    const auto head_of = [&](int64_t r) { return (first_head + r / head_rows) * group + r % group; };
    DecodeScratch s;
    carve_decode(static_cast<uint8_t*>(ctx.local(worker, local_bytes)), &s);
    for (int64_t r = 0; r < rows; r++) {
      float* dst = s.query + r * padded;
      const int64_t at = (cumulative(cu_q, b) + token_of(r)) * q.stride[0] + head_of(r) * q.stride[1];
      const float* src = read_row(q, at, n, 1, dst);
      if (in_pairs(k_cache))
        pack_row<Math>(q.dtype, q.data + at * element_bytes(q.dtype), n, padded, s.query_elements + r * padded);
      for (int64_t c = 0; c < padded; c++) dst[c] = c < n ? src[c] * p.scale : 0.0f;
    }
    with_cached(k_cache.dtype, [&](auto type) {
      for_cached_parts(k_cache, b, first_head, run.start, length, [&](const uint8_t* memory, int64_t h, int64_t j, int64_t count) {
        float scores[kDecodeRows * kRun];  // whole groups of four keys, of which the last may run over the part's end
        const int64_t begin = h * head_rows;
        for_row_groups(head_rows, [&](int64_t first, auto group_rows) {
          constexpr int m = decltype(group_rows)::value;
          score_part<m>(s, begin + first, reinterpret_cast<const decltype(type)*>(memory), count, scores);
          for (int r = 0; r < m; r++)
            __builtin_memcpy(s.weights + (begin + first + r) * kRun + j, scores + r * kRun, count * sizeof(float));
        });
        if (k_scale.present())
          apply_scales(scales_at(k_scale, b, run.start + j, first_head + h), count, head_rows, s.weights + begin * kRun + j);
      });
    });
    for (int64_t r = 0; r < rows; r++) {
      const int64_t slot = partial_index(b, run.number, token_of(r), head_of(r));
      s.out[r] = partial_out + slot * padded;
      for (int64_t c = 0; c < padded; c += kLanes) store(s.out[r] + c, broadcast(0.0f));
      weigh(s.weights + r * kRun, length, run.start, position + token_of(r) - run.first_token, context_of(b),
            &partial_largest[slot], &partial_total[slot]);
      if (in_pairs(v_cache)) narrow_row(s.weight_elements + r * kRun, length, 1, s.weights + r * kRun);
    }
    with_cached(v_cache.dtype, [&](auto type) {
      for_cached_parts(v_cache, b, first_head, run.start, length, [&](const uint8_t* memory, int64_t h, int64_t j, int64_t count) {
        const int64_t begin = h * head_rows;
        if (v_scale.present())
          apply_scales(scales_at(v_scale, b, run.start + j, first_head + h), count, head_rows, s.weights + begin * kRun + j);
        for_row_groups(head_rows, [&](int64_t first, auto group_rows) {
          add_part<decltype(group_rows)::value>(s, begin + first, j, reinterpret_cast<const decltype(type)*>(memory), count);
        });
      });
    });
    if (runs_of(b) == 1)
      for (int64_t r = 0; r < rows; r++) join_row(b, token_of(r), head_of(r), s.query);
  }

  // Turns the scores of a row over one run into weights relative to the run's largest score.
  void weigh(float* w, int64_t length, int64_t start, int64_t position, int64_t keys, float* largest, float* total) const {
    const float infinity = __builtin_inff();
    const KeyRange seen = visible_keys(p, position, position, keys);
    const i32v low = broadcast_i32(int32_t(larger<int64_t>(0, seen.low - start)));
    const i32v high = broadcast_i32(int32_t(larger<int64_t>(0, smaller(length, seen.high - start))));
    f32v top = broadcast(-infinity);
    for (int64_t j = 0; j < length; j += kLanes) {
      f32v v = load(w + j);
      if (p.softcap > 0.0f) v = p.softcap * tanh(v / p.softcap);
      const i32v key = lane_index() + int32_t(j);
      v = select((key >= low) & (key < high), v, broadcast(-infinity));
      store(w + j, v);
      top = max(top, v);
    }
    *largest = max_lane(top);
    const float shift = *largest > -infinity ? *largest : 0.0f;
    f32v acc = broadcast(0.0f);
    for (int64_t j = 0; j < length; j += kLanes) {
      const f32v e = exp(load(w + j) - shift);
      acc = acc + e;
      store(w + j, e);
    }
    *total = sum(acc);
  }

  // Joins the runs of one row and writes it. `row` is scratch of padded_columns.
  void join_row(int64_t b, int64_t i, int64_t h, float* row) {
    const int64_t padded = padded_columns(), count = runs_of(b);
    float largest = -__builtin_inff(), total = 0.0f;
    for (int64_t r = 0; r < count; r++) largest = larger(largest, partial_largest[partial_index(b, r, i, h)]);
    for (int64_t c = 0; c < padded; c += kLanes) store(row + c, broadcast(0.0f));
    for (int64_t r = 0; r < count; r++) {
      const int64_t slot = partial_index(b, r, i, h);
      if (partial_total[slot] == 0.0f) continue;
      const float factor = __builtin_expf(partial_largest[slot] - largest);
      total = fma(partial_total[slot], factor, total);
      for (int64_t c = 0; c < padded; c += kLanes)
        store(row + c, fma(broadcast(factor), load(partial_out + slot * padded + c), load(row + c)));
    }
    const float factor = 1.0f / total;  // every new token sees itself: total is not 0
    for (int64_t c = 0; c < padded; c += kLanes) store(row + c, load(row + c) * factor);
    write_row(out, (cumulative(cu_q, b) + i) * out.stride[0] + h * out.stride[1], head.n, 1, row);
  }

  Context& ctx;
  const AttentionParams& p;
  const bool invariant;
  const View &q, &k_cache, &v_cache, &block_table, &cu_q, &contexts, &out, &k_scale, &v_scale;
  const HeadLayout<Math> head;
  const int64_t heads, kv_heads, group, positions_a_block, sequences;
  size_t local_bytes = 0;
  int64_t query_blocks = 0, key_blocks = 0, run_count = 0, longest_run_count = 0, task_heads = 1;
  SequenceBlock *queries = nullptr, *keys = nullptr;
  int32_t* first_key = nullptr;
  Element *key_tiles = nullptr, *value_tiles = nullptr;
  DecodeRun* runs = nullptr;
  int64_t* first_partial = nullptr;
  float *partial_out = nullptr, *partial_largest = nullptr, *partial_total = nullptr;
};

const char* attention_paged(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_attention_paged(ctx, params, o, count));
  const AttentionParams p{param_f32(params, 0), true, int64_t(params[1]), param_f32(params, 2)};
  const bool invariant = params[5] != 0;
#if LF_ISA_LEVEL >= 3
  const auto halves = [](const View& cache) { return cache.dtype == LF_BF16 || cache.dtype == LF_I8; };
  if (o[0].dtype == LF_BF16 && halves(o[1]) && halves(o[2]))
    return PagedPass<Bf16Math>(ctx, p, invariant, o).run();
#endif
  return PagedPass<F32Math>(ctx, p, invariant, o).run();
}

}  // namespace

void register_attention_paged(KernelTable& table) {
  table.entry[LF_OP_ATTENTION_PAGED] = {attention_paged, check_attention_paged};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
