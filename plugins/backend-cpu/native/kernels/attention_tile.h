// One block of queries against the packed keys and values of its sequence: flash attention's forward loop (Dao 2023).
#pragma once
#include "attention.h"

namespace lf_cpu {
namespace LF_ISA {

// Sizes of the packed forms for heads of n elements.
template <typename Math>
struct HeadLayout {
  int64_t n;        // elements of a head
  int64_t k;        // padded to the unit: the inner dimension of scores
  int64_t columns;  // padded to vectors: the columns of the output
  explicit HeadLayout(int64_t n) : n(n), k(round_up(n, Math::kUnit)), columns(round_up(n, kLanes)) {}
  int64_t key_tile() const { return k * kBlock; }          // elements
  int64_t value_tile() const { return kBlock * columns; }  // elements
};

// Packs up to kBlock keys and values. key(i) and value(i) give the memory of row i. `staging` holds kBlock * k elements.
template <typename Math, typename Key, typename Value>
LF_INLINE void pack_key_value_tile(const HeadLayout<Math>& head, int64_t rows, lf_dtype key_dtype, Key&& key,
                                   lf_dtype value_dtype, Value&& value, typename Math::Element* staging,
                                   typename Math::Element* key_tile, typename Math::Element* value_tile) {
  const int64_t padded = round_up(rows, kLanes);
  pack_a<Math>(key_dtype, rows, padded, head.n, head.k, key, staging);
  pack_b_transposed<Math>(staging, head.k, head.k, padded, key_tile, kBlock);
  pack_a<Math>(value_dtype, rows, round_up(rows, Math::kUnit), head.n, head.k, value, staging);
  pack_b<Math>(staging, head.k, round_up(rows, Math::kUnit), head.n, head.columns, value_tile,
               head.columns);
}

// Rows of queries that are taken together: their scores stay in the L1 cache until they are weights, and little is computed
// beyond the causal edge where it crosses a tile.
constexpr int64_t kStrip = 16;

// Scratch of one block of queries.
template <typename Math>
struct QueryScratch {
  using Element = typename Math::Element;
  Element* query;     // A form [kBlock, k]
  Element* weights;   // A form [kStrip, kBlock]
  float* scores;      // [kStrip, kBlock]
  float* out;         // [kBlock, columns]
  float *largest, *total, *rescale;  // [kBlock]; the largest scores in units of ln 2

  static size_t carve(const HeadLayout<Math>& head, uint8_t* base, QueryScratch* s) {
    Arena arena{base};
    QueryScratch local;
    if (!s) s = &local;
    s->query = arena.take<Element>(kBlock * head.k);
    s->scores = arena.take<float>(kStrip * kBlock);
    s->weights = Math::kUnit == 1 ? reinterpret_cast<Element*>(s->scores) : arena.take<Element>(kStrip * kBlock);
    s->out = arena.take<float>(kBlock * head.columns);
    s->largest = arena.take<float>(kBlock);
    s->total = arena.take<float>(kBlock);
    s->rescale = arena.take<float>(kBlock);
    return arena.used;
  }
};

// Folds `keys` keys, of which the first is number `start` of its sequence, into the running softmax of rows
// [row, row + rows) of a block of queries; `position` is that of the first of these rows. `first` says that nothing was
// folded in before.
template <typename Math>
static inline void attend_strip(const AttentionParams& p, const HeadLayout<Math>& head, const QueryScratch<Math>& s,
                                int64_t row, int64_t rows, int64_t position, int64_t start, int64_t keys,
                                int64_t sequence_keys, const typename Math::Element* key_tile,
                                const typename Math::Element* value_tile, bool first) {
  using Element = typename Math::Element;
  const float infinity = __builtin_inff();
  const int64_t padded_rows = round_up(rows, kTileRows), words = head.k / Math::kUnit;
  float *largest = s.largest + row, *total = s.total + row, *rescale = s.rescale + row, *out = s.out + row * head.columns;
  const KeyRange strip = visible_keys(p, position, position + rows - 1, sequence_keys);
  keys = smaller(keys, strip.high - start);
  if (keys <= 0 || strip.low >= start + keys) {
    if (!first) return;
    for (int64_t r = 0; r < padded_rows; r++) {
      largest[r] = -infinity;
      total[r] = 0.0f;
    }
    __builtin_memset(out, 0, padded_rows * head.columns * sizeof(float));
    return;
  }
  const int64_t columns = round_up(keys, kLanes);
  float* scores = s.scores;
  multiply_tile<Math>(padded_rows, columns, words, s.query + row * head.k, words, key_tile, kBlock, scores, kBlock, false);
  // Scaled and masked scores in units of ln 2, and their maxima.
  const float scale = p.softcap > 0.0f ? p.scale / p.softcap : p.scale * kLog2E, cap = p.softcap * kLog2E;
  for (int64_t r = 0; r < rows; r++) {
    float* line = scores + r * kBlock;
    const KeyRange seen = visible_keys(p, position + r, position + r, sequence_keys);
    const i32v low = broadcast_i32(int32_t(seen.low - start)), high = broadcast_i32(int32_t(seen.high - start));
    const bool masked = seen.low > start || seen.high < start + columns;
    f32v top = broadcast(first ? -infinity : largest[r]);
    for (int64_t c = 0; c < columns; c += kLanes) {
      f32v v = load(line + c) * scale;
      if (p.softcap > 0.0f) v = cap * tanh(v);
      if (masked) {
        const i32v key = lane_index() + int32_t(c);
        v = select((key >= low) & (key < high), v, broadcast(-infinity));
      }
      store(line + c, v);
      top = max(top, v);
    }
    rescale[r] = max_lane(top);
  }
  for (int64_t r = rows; r < padded_rows; r++) {
    rescale[r] = 0.0f;
    for (int64_t c = 0; c < columns; c += kLanes) store(scores + r * kBlock + c, broadcast(0.0f));
  }
  // The factors by which what was summed so far shrinks; a row that saw nothing yet has -inf and gives 0.
  for (int64_t r = 0; r < padded_rows; r += kLanes) {
    const f32v now = load(rescale + r);
    const f32v shift = select(now > broadcast(-infinity), now, broadcast(0.0f));
    const f32v before = first ? broadcast(-infinity) : load(largest + r);
    store(rescale + r, exp2(before - shift));
    store(largest + r, now);
  }
  for (int64_t r = 0; r < padded_rows; r++) {
    const float* line = scores + r * kBlock;
    Element* weights = s.weights + r * kBlock;
    const f32v shift = broadcast(largest[r] > -infinity ? largest[r] : 0.0f);
    f32v partial = broadcast(0.0f);
    for (int64_t c = 0; c < columns; c += kLanes) {
      const f32v e = exp2(load(line + c) - shift);
      partial = partial + e;
      store(weights + c, e);
    }
    const float factor = rescale[r];
    total[r] = first ? sum(partial) : fma(total[r], factor, sum(partial));
    if (!first && factor != 1.0f) {
      float* sums = out + r * head.columns;
      for (int64_t c = 0; c < head.columns; c += kLanes) store(sums + c, load(sums + c) * factor);
    }
  }
  multiply_tile<Math>(padded_rows, head.columns, ceil_div(keys, Math::kUnit), s.weights, kBlock / Math::kUnit,
                      value_tile, head.columns, out, head.columns, !first);
}

// One tile of keys and a whole block of queries, whose positions begin at `position`.
template <typename Math>
static inline void attend_tile(const AttentionParams& p, const HeadLayout<Math>& head, const QueryScratch<Math>& s,
                               int64_t rows, int64_t position, int64_t start, int64_t keys, int64_t sequence_keys,
                               const typename Math::Element* key_tile, const typename Math::Element* value_tile,
                               bool first) {
  for (int64_t row = 0; row < rows; row += kStrip)
    attend_strip<Math>(p, head, s, row, smaller(kStrip, rows - row), position + row, start, keys, sequence_keys, key_tile,
                       value_tile, first);
}

// Divides by the sums and writes `rows` rows of the output; lse may be null.
template <typename Math, typename Store>
LF_INLINE void finish_block(const HeadLayout<Math>& head, const QueryScratch<Math>& s, int64_t rows, bool empty,
                            float* lse, int64_t lse_stride, Store&& store_row) {
  for (int64_t r = 0; r < rows; r++) {
    float* out = s.out + r * head.columns;
    const float total = empty ? 0.0f : s.total[r];
    const float factor = total > 0.0f ? 1.0f / total : 0.0f;
    for (int64_t c = 0; c < head.columns; c += kLanes)
      store(out + c, total == 0.0f ? broadcast(0.0f) : load(out + c) * (total == total ? factor : total));
    if (lse) lse[r * lse_stride] = total == 0.0f ? -__builtin_inff() : fma(s.largest[r], kLn2, __builtin_logf(total));
    store_row(r, out);
  }
}

}  // namespace LF_ISA
}  // namespace lf_cpu
