// Flash attention (Dao 2023): a warp owns 16 rows of queries and walks over the keys tile by tile, keeping the largest score
// and the sum of each row. The query heads that share a KV head are rows of one block, so that keys and values are read
// once for all of them, in decoding as in prefill. Keys come from packed sequences or from the blocks of a cache; a long
// cache is split among blocks, and the parts are joined by a second kernel. Splits and tiles start at fixed positions, so
// that what a row gives depends on nothing but its own sequence.
#pragma once
#include "attention_parts.h"

namespace lf_gpu {

// S is how q and out lie in memory, T how products have them; kCodes says that keys and values are codes with scales.
template <typename S, typename T, int kWidth, bool kCodes = false>
LF_ON_DEVICE void attention_forward(const AttentionArgs& a) {
  using M = Mma<T>;
  using Tiles = AttentionTiles<int(sizeof(T)), kWidth>;
  constexpr int kKeys = Tiles::kKeys, kStride = Tiles::kStride, kScoreStride = Tiles::kScoreStride;
  const int64_t group = a.heads / a.kv_heads, kv = block_y() / a.splits, split = block_y() % a.splits;
  const Sequence s = sequence_of(a, block_z());
  const int64_t first_row = int64_t(block_x()) * Tiles::kRows, rows = s.queries * group;
  if (first_row >= rows) return;
  const int64_t last_row = smaller(rows, first_row + Tiles::kRows) - 1;
  const Shared<T> tq = shared_at<T>(0), tk = tq + Tiles::kRows * kStride, tv = tk + kKeys * kStride, ts = tv + kKeys * kStride;

  // The keys that any row of the block sees, from the start of a tile on.
  int64_t end = s.keys, begin = 0;
  if (a.causal) end = smaller(end, last_row / group + s.shift + 1);
  if (a.window) begin = larger(0, first_row / group + s.shift - int64_t(a.window) + 1) / kKeys * kKeys;
  if (a.splits > 1) {
    begin = larger(begin, split * kSplitKeys);
    end = smaller(end, (split + 1) * kSplitKeys);
  }
  auto query_place = [&](int i) -> int64_t {
    const int64_t row = first_row + i;
    if (row >= rows) return -1;
    return (s.first_query + row / group) * a.q.token_stride + (kv * group + row % group) * a.q.head_stride;
  };
  auto key_place = [&](const HeadRows& h, int64_t j) -> int64_t {
    if (j >= end) return -1;
    if (!a.table) return (s.first_key + j) * h.token_stride + kv * h.head_stride;
    const int64_t block = load(a.table + int64_t(block_z()) * a.table_stride + j / a.block * a.table_column_stride);
    return block * h.block_stride + kv * h.head_stride + j % a.block * h.token_stride;
  };
  auto scale_place = [&](const HeadScales& scales, int64_t j) -> const float* {
    const int64_t block = load(a.table + int64_t(block_z()) * a.table_stride + j / a.block * a.table_column_stride);
    return scales.data + block * scales.block_stride + kv * scales.head_stride + j % a.block;
  };
  // Tiles of keys or values from `first` on.
  auto start_keys = [&](const HeadRows& rows_of_heads, const HeadScales& scales, int64_t first, Shared<T> tile) {
    if constexpr (kCodes) {
      start_codes<T, kWidth>(rows_of_heads.data, a.n, a.code_words, kKeys, kStride, tile, [&](int j) { return key_place(rows_of_heads, first + j); },
                             [&](int j) { return scale_place(scales, first + j); });
    } else {
      start_rows<S, T, kWidth>(rows_of_heads.data, a.n, a.vector, kKeys, kStride, tile, [&](int j) { return key_place(rows_of_heads, first + j); });
    }
  };
  start_rows<S, T, kWidth>(a.q.data, a.n, a.vector, Tiles::kRows, kStride, tq, query_place);
  if (begin < end) start_keys(a.k, a.k_scale, begin, tk);
  copy_async_commit();

  const int warp = thread_id() / kWarp;
  const Shared<T> scores_of_warp = ts + warp * kTile * kScoreStride;
  typename M::Sums out[kWidth / kTile] = {};
  // Of this lane's rows: the position, and beyond all keys for rows that there are not.
  float largest[M::kRows], total[M::kRows];
  int position[M::kRows];
#pragma unroll
  for (int r = 0; r < M::kRows; r++) {
    const int row = int(first_row) + warp * kTile + M::row_of_slot(r);
    largest[r] = kNothing, total[r] = 0.0f;
    position[r] = row < rows ? row / int(group) + int(s.shift) : kNoRow;
  }

  for (int64_t k0 = begin; k0 < end; k0 += kKeys) {
    start_keys(a.v, a.v_scale, k0, tv);
    copy_async_commit();
    copy_async_wait<1>();
    sync_block();
    typename M::Sums scores[kKeys / kTile] = {};
#pragma unroll
    for (int d = 0; d < kWidth; d += kTile) {
      const typename M::A x = M::load_a(tq + warp * kTile * kStride + d, kStride);
#pragma unroll
      for (int j = 0; j < kKeys / kTile; j++) M::multiply(scores[j], x, M::load_b(tk + j * kTile * kStride + d, kStride));
    }
    sync_block();
    if (k0 + kKeys < end) start_keys(a.k, a.k_scale, k0 + kKeys, tk);
    copy_async_commit();

    float most[M::kRows];
    for (int r = 0; r < M::kRows; r++) most[r] = kNothing;
#pragma unroll
    for (int j = 0; j < kKeys / kTile; j++)
#pragma unroll
      for (int e = 0; e < kTileSums; e++) {
        const int key = int(k0) + j * kTile + M::column(e), query = position[M::slot(e)];
        const bool visible = query != kNoRow && key < int(end) && sees(a, query, key);
        float& score = scores[j].v[e];
        score = visible ? capped(a, score) : kNothing;
        most[M::slot(e)] = score > most[M::slot(e)] ? score : most[M::slot(e)];
      }
    float decay[M::kRows], sum[M::kRows];
#pragma unroll
    for (int r = 0; r < M::kRows; r++) {
      most[r] = over_row<M>(most[r], [](float x, float y) { return x > y ? x : y; });
      const float before = largest[r];
      largest[r] = before > most[r] ? before : most[r];
      decay[r] = before == kNothing ? 0.0f : exp_of(before - largest[r]);
      sum[r] = 0.0f;
    }
#pragma unroll
    for (int j = 0; j < kKeys / kTile; j++)
#pragma unroll
      for (int e = 0; e < kTileSums; e++) {
        const float score = scores[j].v[e], p = score == kNothing ? 0.0f : exp_of(score - largest[M::slot(e)]);
        sum[M::slot(e)] += p;
        scores_of_warp[M::row(e) * kScoreStride + j * kTile + M::column(e)] = narrow<T>(p);
      }
#pragma unroll
    for (int r = 0; r < M::kRows; r++)
      total[r] = total[r] * decay[r] + over_row<M>(sum[r], [](float x, float y) { return x + y; });
#pragma unroll
    for (int d = 0; d < kWidth / kTile; d++)
#pragma unroll
      for (int e = 0; e < kTileSums; e++) out[d].v[e] *= decay[M::slot(e)];
    copy_async_wait<1>();
    sync_block();
#pragma unroll
    for (int j = 0; j < kKeys; j += kTile) {
      const typename M::A x = M::load_a(scores_of_warp + j, kScoreStride);
#pragma unroll
      for (int d = 0; d < kWidth / kTile; d++) M::multiply(out[d], x, M::load_b_transposed(tv + j * kStride + d * kTile, kStride));
    }
    sync_block();
  }
  copy_async_wait<0>();

#pragma unroll
  for (int r = 0; r < M::kRows; r++) {
    if (position[r] == kNoRow) continue;
    const int row = int(first_row) + warp * kTile + M::row_of_slot(r);
    const int64_t token = s.first_query + row / int(group), h = kv * group + row % int(group);
    const bool first_lane = lane_id() % M::kRowLanes == 0;
    if (a.splits > 1) {
      float* partial = a.partial + ((token * a.heads + h) * a.splits + split) * (a.n + 2);
#pragma unroll
      for (int d = 0; d < kWidth / kTile; d++)
#pragma unroll
        for (int e = 0; e < kTileSums; e++)
          if (M::slot(e) == r && d * kTile + M::column(e) < a.n) store(partial + d * kTile + M::column(e), out[d].v[e]);
      if (first_lane) {
        store(partial + a.n, largest[r]);
        store(partial + a.n + 1, total[r]);
      }
      continue;
    }
    S* to = reinterpret_cast<S*>(a.out.data) + token * a.out.token_stride + h * a.out.head_stride;
    const float inverse = total[r] > 0.0f ? 1.0f / total[r] : 0.0f;
#pragma unroll
    for (int d = 0; d < kWidth / kTile; d++)
#pragma unroll
      for (int e = 0; e < kTileSums; e++)
        if (M::slot(e) == r && d * kTile + M::column(e) < a.n) store(to + d * kTile + M::column(e), narrow<S>(out[d].v[e] * inverse));
    if (a.lse && first_lane)
      store(a.lse + h * a.lse_stride + token * a.lse_token_stride, total[r] > 0.0f ? largest[r] + log_of(total[r]) : kNothing);
  }
}

}  // namespace lf_gpu
