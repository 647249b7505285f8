// ATTENTION_BACKWARD: gradients from the saved log-sum-exp (Dao 2023, algorithm 2).
//
// With P = exp(scale * Q K^T - lse) and delta = rowsum(dO * O):
//   dV = P^T dO,  dP = dO V^T,  dS = P * (dP - delta),  dQ = scale * dS K,  dK = scale * dS^T Q.
// A task owns a chunk of the keys of one KV head. It forms scores transposed, S^T = K Q^T, so that P^T and dS^T come out
// row-major for dV and dK, and accumulates dQ^T = K^T dS^T, which takes dS^T as it is. A few blocks of keys at a time stay in
// the L2 cache while the queries pass, each block of which is read once for all of them. dK and dV of a key are complete
// within its task; dQ is summed over the chunks of a sequence in order, in a second pass. Into how many chunks a
// sequence is cut depends on its shape alone.
#include "attention.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// Tasks that a batch should have at least, and key blocks that a chunk has at least.
constexpr int64_t kWantedTasks = 16;
constexpr int64_t kChunkBlocks = 4;
constexpr int64_t kHeldBlocks = 4;  // blocks of keys that a task holds at a time
// Keys that are taken together where the causal edge crosses a block.
constexpr int64_t kStrip = 16;

const char* check_attention_backward(Context& ctx, const uint32_t*, const View* o, int) {
  const char* op = "ATTENTION_BACKWARD";
  const View &q = o[0], &k = o[1], &cu_q = o[3], &cu_k = o[4], &lse = o[6];
  const char* names[] = {"q", "k", "v", "", "", "out", "", "dout", "dq", "dk", "dv"};
  for (int i = 0; i < 11; i++) {
    if (!names[i][0]) continue;
    LF_CHECK(expect_float(ctx, op, names[i], o[i]));
    LF_CHECK(expect_rank(ctx, op, names[i], o[i], 3));
    LF_CHECK(expect_dense_rows(ctx, op, names[i], o[i]));
  }
  LF_CHECK(expect_shape(ctx, op, "k", k, k.shape[0], k.shape[1], q.shape[2]));
  LF_CHECK(expect_same_shape(ctx, op, "v", o[2], "k", k));
  LF_CHECK(expect_same_shape(ctx, op, "out", o[5], "q", q));
  LF_CHECK(expect_same_shape(ctx, op, "dout", o[7], "q", q));
  LF_CHECK(expect_same_shape(ctx, op, "dq", o[8], "q", q));
  LF_CHECK(expect_same_shape(ctx, op, "dk", o[9], "k", k));
  LF_CHECK(expect_same_shape(ctx, op, "dv", o[10], "k", k));
  if (k.shape[1] == 0 || q.shape[1] % k.shape[1])
    return ctx.fail(LF_INVALID, "%s: %lld heads of q %s are no multiple of the %lld heads of k %s", op,
                    (long long)q.shape[1], shape_text(q).text, (long long)k.shape[1], shape_text(k).text);
  LF_CHECK(expect_dtype(ctx, op, "cu_q", cu_q, LF_I32));
  LF_CHECK(expect_rank(ctx, op, "cu_q", cu_q, 1));
  LF_CHECK(expect_dtype(ctx, op, "cu_k", cu_k, LF_I32));
  LF_CHECK(expect_same_shape(ctx, op, "cu_k", cu_k, "cu_q", cu_q));
  if (cu_q.shape[0] < 1) return ctx.fail(LF_INVALID, "%s: operand cu_q is empty", op);
  LF_CHECK(expect_dtype(ctx, op, "lse", lse, LF_F32));
  return expect_shape(ctx, op, "lse", lse, q.shape[1], q.shape[0]);
}

// A run of key blocks of one sequence.
struct KeyChunk {
  int32_t sequence;
  int32_t number;       // within the sequence
  int32_t first, last;  // blocks of the sequence, `last` excluded
};

template <typename Math>
class BackwardPass {
  using Element = typename Math::Element;

 public:
  BackwardPass(Context& ctx, const AttentionParams& p, const View* o)
      : ctx(ctx), p(p), q(o[0]), k(o[1]), v(o[2]), cu_q(o[3]), cu_k(o[4]), out(o[5]), lse(o[6]), dout(o[7]), dq(o[8]),
        dk(o[9]), dv(o[10]), n(q.shape[2]), inner(round_up(n, Math::kUnit)), columns(round_up(n, kLanes)),
        transposed_rows(round_up(n, kTileRows)), heads(q.shape[1]), kv_heads(k.shape[1]), group(heads / kv_heads),
        sequences(cu_q.shape[0] - 1) {}

  const char* run() {
    query_blocks = block_count(cu_q);
    key_blocks = block_count(cu_k);
    chunks_a_sequence = larger<int64_t>(1, ceil_div(kWantedTasks, larger<int64_t>(1, sequences * kv_heads)));
    const size_t shared_bytes = carve_shared(nullptr);
    uint8_t* shared = static_cast<uint8_t*>(ctx.shared(shared_bytes));
    if (!shared) return out_of_scratch(ctx, "ATTENTION_BACKWARD", shared_bytes);
    carve_shared(shared);
    local_bytes = carve_local(nullptr, nullptr);
    for (int w = 0; w < ctx.workers(); w++)
      if (!ctx.local(w, local_bytes)) return out_of_scratch(ctx, "ATTENTION_BACKWARD", local_bytes);
    list_blocks(cu_q, queries, first_query);
    list_blocks(cu_k, keys, first_key);
    list_chunks();
    ctx.for_each(query_blocks * heads, [&](int64_t task, int worker) { pack_queries(task / heads, task % heads, worker); });
    // The first chunks of a causal sequence meet the most queries: they go first.
    ctx.for_each(chunk_count * kv_heads, [&](int64_t task, int worker) {
      const KeyChunk& chunk = chunks[task / kv_heads];
      for (int64_t tile = chunk.first; tile < chunk.last; tile += kHeldBlocks)
        key_tiles(chunk, tile, smaller(kHeldBlocks, chunk.last - tile), task % kv_heads, worker);
    });
    ctx.for_each(query_blocks * heads, [&](int64_t task, int worker) { finish_queries(task / heads, task % heads, worker); });
    return nullptr;
  }

 private:
  // A block of keys of one KV head.
  struct KeyTile {
    Element *key, *value, *key_transposed;  // A forms: [kBlock, inner] twice, [transposed_rows, kBlock]
    float *key_sums, *value_sums;           // dK, dV [kBlock, columns]
    int64_t tile, keys, rows;               // number within the sequence; keys, and the same padded to kTileRows
    bool first;                             // nothing was added to the sums
  };

  struct Local {
    Element* staging;
    KeyTile tiles[kHeldBlocks];
    float *scores, *gradients;                       // S^T and dP^T of a strip of keys [kStrip, kBlock]
    Element *weights_a, *gradients_a, *gradients_b;  // P^T, dS^T in A form and in B form
    float* query_rows;                               // dQ [kBlock, columns]
  };

  size_t carve_shared(uint8_t* base) {
    Arena arena{base};
    const int64_t blocks = query_blocks * heads;
    queries = arena.take<SequenceBlock>(query_blocks);
    keys = arena.take<SequenceBlock>(key_blocks);
    first_query = arena.take<int32_t>(sequences + 1);
    first_key = arena.take<int32_t>(sequences + 1);
    chunks = arena.take<KeyChunk>(sequences * chunks_a_sequence);
    query_transposed = arena.take<Element>(blocks * inner * kBlock);
    query_natural = arena.take<Element>(blocks * kBlock * columns);
    dout_transposed = arena.take<Element>(blocks * inner * kBlock);
    dout_natural = arena.take<Element>(blocks * kBlock * columns);
    block_lse = arena.take<float>(blocks * kBlock);
    block_delta = arena.take<float>(blocks * kBlock);
    query_sums = arena.take<float>(chunks_a_sequence * blocks * transposed_rows * kBlock);
    return arena.used;
  }

  size_t carve_local(uint8_t* base, Local* local) const {
    Arena arena{base};
    Local unused;
    if (!local) local = &unused;
    local->staging = arena.take<Element>(kBlock * inner);
    for (KeyTile& tile : local->tiles) {
      tile.key = arena.take<Element>(kBlock * inner);
      tile.value = arena.take<Element>(kBlock * inner);
      tile.key_transposed = arena.take<Element>(larger(transposed_rows, inner) * kBlock);
      tile.key_sums = arena.take<float>(kBlock * columns);
      tile.value_sums = arena.take<float>(kBlock * columns);
    }
    local->scores = arena.take<float>(larger(kStrip * kBlock, n));
    local->gradients = arena.take<float>(larger(kStrip * kBlock, n));
    local->weights_a = arena.take<Element>(kBlock * kBlock);
    local->gradients_a = arena.take<Element>(kBlock * kBlock);
    local->gradients_b = arena.take<Element>(kBlock * kBlock);
    local->query_rows = arena.take<float>(kBlock * columns);
    return arena.used;
  }
  Local local_of(int worker) const {
    Local local;
    carve_local(static_cast<uint8_t*>(ctx.local(worker, local_bytes)), &local);
    return local;
  }

  void list_chunks() {
    chunk_count = 0;
    for (int64_t c = 0; c < chunks_a_sequence; c++)
      for (int64_t b = 0; b < sequences; b++) {
        const int64_t tiles = first_key[b + 1] - first_key[b], size = chunk_blocks(b);
        if (c * size < tiles)
          chunks[chunk_count++] = {int32_t(b), int32_t(c), int32_t(c * size), int32_t(smaller(tiles, (c + 1) * size))};
      }
  }
  int64_t chunk_blocks(int64_t b) const {
    return larger(kChunkBlocks, ceil_div(first_key[b + 1] - first_key[b], chunks_a_sequence));
  }

  int64_t query_length(int64_t b) const { return cumulative(cu_q, b + 1) - cumulative(cu_q, b); }
  int64_t key_length(int64_t b) const { return cumulative(cu_k, b + 1) - cumulative(cu_k, b); }
  int64_t position_of(const SequenceBlock& block) const {
    return block.start + key_length(block.sequence) - query_length(block.sequence);
  }
  // Blocks of keys that a block of queries sees: [low, high).
  KeyRange visible_tiles(const SequenceBlock& block) const {
    const int64_t position = position_of(block);
    KeyRange seen = visible_keys(p, position, position + block.rows - 1, key_length(block.sequence));
    if (seen.low == seen.high) return {0, 0};
    return {seen.low / kBlock, ceil_div(seen.high, kBlock)};
  }
  const uint8_t* row_of(const View& view, int64_t row, int64_t head) const {
    return view.data + (row * view.stride[0] + head * view.stride[1]) * element_bytes(view.dtype);
  }

  void pack_queries(int64_t block_index, int64_t head, int worker) {
    const SequenceBlock& block = queries[block_index];
    const Local local = local_of(worker);
    const int64_t row = cumulative(cu_q, block.sequence) + block.start, index = block_index * heads + head;
    const int64_t padded = round_up(block.rows, kLanes), paired = round_up(block.rows, Math::kUnit);
    auto pack = [&](const View& src, Element* transposed, Element* natural) {
      const Element* rows = local.staging;
      int64_t stride = inner;
      if (Math::kUnit == 2 && block.rows == kBlock && n == inner && src.stride[0] % 2 == 0) {
        // They lie in memory as they would be staged.
        rows = reinterpret_cast<const Element*>(row_of(src, row, head)), stride = src.stride[0];
      } else {
        pack_a<Math>(src.dtype, block.rows, padded, n, inner, [&](int64_t i) { return row_of(src, row + i, head); },
                     local.staging);
      }
      pack_b_transposed<Math>(rows, stride, inner, padded, transposed + index * inner * kBlock, kBlock);
      pack_b<Math>(rows, stride, paired, n, columns, natural + index * kBlock * columns, columns);
    };
    pack(q, query_transposed, query_natural);
    pack(dout, dout_transposed, dout_natural);
    float *sums = block_lse + index * kBlock, *delta = block_delta + index * kBlock;
    float *a = local.scores, *b = local.gradients;  // rows of n elements
    for (int64_t i = 0; i < kBlock; i++) {
      // exp(score - inf) is 0: what the rows beyond the end and those that see no key give.
      sums[i] = __builtin_inff();
      delta[i] = 0.0f;
      if (i >= block.rows) continue;
      const float value = lse.as<const float>()[head * lse.stride[0] + (row + i) * lse.stride[1]];
      if (value > -__builtin_inff()) sums[i] = value * kLog2E;
      const float* x = read_row(out, (row + i) * out.stride[0] + head * out.stride[1], n, 1, a);
      const float* y = read_row(dout, (row + i) * dout.stride[0] + head * dout.stride[1], n, 1, b);
      f32v total = broadcast(0.0f);
      for_lanes(n, [&](int64_t c, int64_t lanes) { total = fma(load_lanes(x + c, lanes), load_lanes(y + c, lanes), total); });
      delta[i] = sum(total);
    }
  }

  // dK and dV of blocks [first, first + count) of keys, and their part of dQ of every block of queries that sees them.
  void key_tiles(const KeyChunk& chunk, int64_t first, int64_t count, int64_t kv_head, int worker) {
    const int64_t b = chunk.sequence;
    Local local = local_of(worker);
    for (int64_t t = 0; t < count; t++) load_keys(local.tiles[t], b, first + t, kv_head);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++)
      for (int64_t i = first_query[b]; i < first_query[b + 1]; i++) {
        const KeyRange seen = visible_tiles(queries[i]);
        for (KeyTile& tile : local.tiles) {
          if (&tile == local.tiles + count) break;
          if (tile.tile < seen.low || tile.tile >= seen.high) continue;
          const bool first_of_query = tile.tile == larger<int64_t>(seen.low, chunk.first);
          pair(local, tile, i, head, query_sums_of(chunk.number, i, head), first_of_query);
          tile.first = false;
        }
      }
    for (int64_t t = 0; t < count; t++) store_keys(local.tiles[t], b, kv_head);
  }

  void load_keys(KeyTile& tile, int64_t sequence, int64_t number, int64_t kv_head) const {
    const SequenceBlock& block = keys[first_key[sequence] + number];
    const int64_t row = cumulative(cu_k, sequence) + block.start, staged = round_up(block.rows, kLanes);
    tile.tile = number, tile.keys = block.rows, tile.rows = round_up(block.rows, kTileRows), tile.first = true;
    pack_a<Math>(v.dtype, block.rows, staged, n, inner, [&](int64_t i) { return row_of(v, row + i, kv_head); }, tile.value);
    pack_a<Math>(k.dtype, block.rows, staged, n, inner, [&](int64_t i) { return row_of(k, row + i, kv_head); }, tile.key);
    transpose_elements(tile.key, tile.key_transposed);
  }

  void store_keys(const KeyTile& tile, int64_t sequence, int64_t kv_head) const {
    const int64_t row = cumulative(cu_k, sequence) + tile.tile * kBlock;
    for (int64_t r = 0; r < tile.keys; r++) {
      float *key_sums = tile.key_sums + r * columns, *value_sums = tile.value_sums + r * columns;
      for (int64_t c = 0; c < columns; c += kLanes) {
        store(key_sums + c, tile.first ? broadcast(0.0f) : load(key_sums + c) * p.scale);
        if (tile.first) store(value_sums + c, broadcast(0.0f));
      }
      write_row(dk, (row + r) * dk.stride[0] + kv_head * dk.stride[1], n, 1, key_sums);
      write_row(dv, (row + r) * dv.stride[0] + kv_head * dv.stride[1], n, 1, value_sums);
    }
  }

  float* query_sums_of(int64_t chunk, int64_t block, int64_t head) const {
    return query_sums + ((chunk * query_blocks + block) * heads + head) * transposed_rows * kBlock;
  }

  // [kBlock, inner] to [transposed_rows, kBlock], both A forms. Columns of keys beyond the end hold zeros.
  void transpose_elements(const Element* src, Element* dst) const {
    if constexpr (Math::kUnit == 1) {
      transpose_words(reinterpret_cast<const uint32_t*>(src), inner, kBlock, inner,
                      reinterpret_cast<uint32_t*>(dst), kBlock);
    } else {
      for (int64_t c = 0; c < inner; c++)
        for (int64_t r = 0; r < kBlock; r++) dst[c * kBlock + r] = src[r * inner + c];
    }
    for (int64_t c = inner; c < transposed_rows; c++)
      for (int64_t r = 0; r < kBlock; r++) dst[c * kBlock + r] = Element{};
  }

  // One block of keys with one block of queries of one head. Where the causal edge crosses the block it is taken in
  // strips of keys, each with the queries from the first that sees any of them.
  void pair(const Local& local, const KeyTile& tile, int64_t query_block, int64_t head, float* dq_sums, bool first_of_query) {
    const SequenceBlock& query = queries[query_block];
    const int64_t index = query_block * heads + head, padded = round_up(query.rows, kLanes), start = tile.tile * kBlock;
    const int64_t position = position_of(query), rows = tile.rows;
    const bool first = tile.first;
    const int64_t step = p.causal && start + rows > position + 1 ? kStrip : kBlock;
    for (int64_t row = 0; row < rows; row += step) {
      const int64_t strip = smaller(step, rows - row);
      const int64_t hidden = p.causal ? larger<int64_t>(0, start + row - position) : 0;  // queries before these keys
      const int64_t low = smaller(hidden / kLanes * kLanes, padded), seen = padded - low;
      if (first_of_query && row == 0 && low > 0) {
        __builtin_memset(dq_sums, 0, transposed_rows * kBlock * sizeof(float));
        first_of_query = false;
      }
      float *value_sums = tile.value_sums + row * columns, *key_sums = tile.key_sums + row * columns;
      if (seen == 0) {
        if (first) {
          __builtin_memset(value_sums, 0, strip * columns * sizeof(float));
          __builtin_memset(key_sums, 0, strip * columns * sizeof(float));
        }
        continue;
      }
      const int64_t words = inner / Math::kUnit, query_words = ceil_div(query.rows - low, Math::kUnit);
      // Scores stay in the L1 cache until they are weights: a few keys at a time.
      for (int64_t part = row; part < row + strip; part += kStrip) {
        const int64_t count = smaller(kStrip, row + strip - part);
        multiply_tile<Math>(count, seen, words, tile.key + part * inner, words,
                            query_transposed + index * inner * kBlock + low * Math::kUnit, kBlock, local.scores + low, kBlock,
                            false);
        multiply_tile<Math>(count, seen, words, tile.value + part * inner, words,
                            dout_transposed + index * inner * kBlock + low * Math::kUnit, kBlock, local.gradients + low, kBlock,
                            false);
        for (int64_t r = part; r < part + count; r++)
          score_gradients(local, r, local.scores + (r - part) * kBlock, local.gradients + (r - part) * kBlock, start + r - position,
                          r < tile.keys, query.rows, low, padded, block_lse + index * kBlock, block_delta + index * kBlock);
      }
      const Element *weights_a = local.weights_a + row * kBlock + low, *gradients_a = local.gradients_a + row * kBlock + low;
      const Element* gradients_b = gradients_a;
      if constexpr (Math::kUnit == 2) {
        gradients_b = local.gradients_b + row * kBlock + low * 2;
        pack_b<Math>(gradients_a, kBlock, strip, seen, seen, const_cast<Element*>(gradients_b), kBlock);
      }
      multiply_tile<Math>(strip, columns, query_words, weights_a, kBlock / Math::kUnit,
                          dout_natural + (index * kBlock + low) * columns, columns, value_sums, columns, !first);
      multiply_tile<Math>(strip, columns, query_words, gradients_a, kBlock / Math::kUnit,
                          query_natural + (index * kBlock + low) * columns, columns, key_sums, columns, !first);
      multiply_tile<Math>(transposed_rows, seen, strip / Math::kUnit, tile.key_transposed + row, kBlock / Math::kUnit,
                          gradients_b, kBlock, dq_sums + low, kBlock, !first_of_query);
      first_of_query = false;
    }
  }

  // P^T and dS^T of key r of the block, for queries [low, padded). The key lies `distance` positions behind the first
  // query.
  void score_gradients(const Local& local, int64_t r, const float* scores, const float* gradients, int64_t distance, bool real,
                       int64_t query_rows, int64_t low, int64_t padded, const float* lse_row, const float* delta_row) const {
    Element *weights = local.weights_a + r * kBlock, *scaled = local.gradients_a + r * kBlock;
    // Queries [from, to) see this key.
    int64_t from = p.causal ? larger<int64_t>(0, distance) : 0;
    int64_t to = p.window > 0 ? smaller(distance + p.window, kBlock) : kBlock;
    if (!real) from = to = 0;
    const bool masked = from > low || to < query_rows;
    const i32v first = broadcast_i32(int32_t(smaller(from, kBlock))), last = broadcast_i32(int32_t(larger<int64_t>(to, 0)));
    const float scale = p.softcap > 0.0f ? p.scale / p.softcap : p.scale * kLog2E;
    for (int64_t c = low; c < padded; c += kLanes) {
      f32v s = load(scores + c) * scale, slope = broadcast(1.0f);
      if (p.softcap > 0.0f) {
        const f32v t = tanh(s);
        s = p.softcap * kLog2E * t;
        slope = fnma(t, t, slope);
      }
      f32v w = exp2(s - load(lse_row + c));
      f32v g = w * (load(gradients + c) - load(delta_row + c)) * slope;
      if (masked) {
        const i32v lane = lane_index() + int32_t(c);
        const i32v sees = (lane >= first) & (lane < last);
        w = select(sees, w, broadcast(0.0f));
        g = select(sees, g, broadcast(0.0f));
      }
      store(weights + c, w);
      store(scaled + c, g);
    }
  }

  void finish_queries(int64_t block_index, int64_t head, int worker) {
    const SequenceBlock& block = queries[block_index];
    const Local local = local_of(worker);
    const int64_t row = cumulative(cu_q, block.sequence) + block.start, padded = round_up(block.rows, kLanes);
    const KeyRange seen = visible_tiles(block);
    const int64_t size = chunk_blocks(block.sequence);
    float* total = nullptr;  // the first chunk's sums serve as the total
    for (int64_t c = seen.low / size; c * size < seen.high; c++) {
      const float* part = query_sums_of(c, block_index, head);
      if (!total) {
        total = const_cast<float*>(part);
        continue;
      }
      for (int64_t d = 0; d < n; d++)
        for (int64_t i = 0; i < padded; i += kLanes)
          store(total + d * kBlock + i, load(total + d * kBlock + i) + load(part + d * kBlock + i));
    }
    float* rows = local.query_rows;
    if (total) {
      transpose_words(reinterpret_cast<const uint32_t*>(total), kBlock, n, block.rows,
                      reinterpret_cast<uint32_t*>(rows), columns);
      for (int64_t i = 0; i < block.rows * columns; i += kLanes) store(rows + i, load(rows + i) * p.scale);
    } else {
      __builtin_memset(rows, 0, block.rows * columns * sizeof(float));
    }
    for (int64_t i = 0; i < block.rows; i++)
      write_row(dq, (row + i) * dq.stride[0] + head * dq.stride[1], n, 1, rows + i * columns);
  }

  Context& ctx;
  const AttentionParams& p;
  const View &q, &k, &v, &cu_q, &cu_k, &out, &lse, &dout, &dq, &dk, &dv;
  const int64_t n, inner, columns, transposed_rows, heads, kv_heads, group, sequences;
  int64_t query_blocks = 0, key_blocks = 0, chunks_a_sequence = 1, chunk_count = 0;
  size_t local_bytes = 0;
  SequenceBlock *queries = nullptr, *keys = nullptr;
  int32_t *first_query = nullptr, *first_key = nullptr;
  KeyChunk* chunks = nullptr;
  // Per block of queries and head: B forms of Q^T, Q, dO^T and dO, and rows of lse (in units of ln 2) and delta.
  Element *query_transposed = nullptr, *query_natural = nullptr, *dout_transposed = nullptr, *dout_natural = nullptr;
  float *block_lse = nullptr, *block_delta = nullptr;
  float* query_sums = nullptr;  // dQ^T per chunk, block of queries and head: [transposed_rows, kBlock]
};

const char* attention_backward(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_attention_backward(ctx, params, o, count));
  LF_CHECK(check_cumulative(ctx, "ATTENTION_BACKWARD", "cu_q", o[3], o[0].shape[0]));
  LF_CHECK(check_cumulative(ctx, "ATTENTION_BACKWARD", "cu_k", o[4], o[1].shape[0]));
  const AttentionParams p{param_f32(params, 0), params[1] != 0, int64_t(params[2]), param_f32(params, 3)};
#if LF_ISA_LEVEL >= 3
  if (o[0].dtype == LF_BF16 && o[1].dtype == LF_BF16 && o[2].dtype == LF_BF16 && o[7].dtype == LF_BF16)
    return BackwardPass<Bf16Math>(ctx, p, o).run();
#endif
  return BackwardPass<F32Math>(ctx, p, o).run();
}

}  // namespace

void register_attention_backward(KernelTable& table) {
  table.entry[LF_OP_ATTENTION_BACKWARD] = {attention_backward, check_attention_backward};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
