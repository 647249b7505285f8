// The gradient of attention from the saved log-sum-exp (Dao 2023), without atomic additions: one kernel whose blocks own
// queries and form dq, and the same with the roles exchanged, whose blocks own keys and form dk and dv. Of rows x, y of the
// owner (q and dout, or k and v) and x', y' of the others: s = x x', dp = y y', ds = p (dp - delta) and
//   dq or dk += ds x',   dv += p y'.
#include "attention.h"

#include "attention_parts.h"

namespace lf_gpu {

// delta = the sum over a row of dout * out. One warp for a token and head.
template <typename T>
LF_ON_DEVICE void row_delta(const AttentionArgs& a) {
  const int64_t i = (int64_t(block_x()) * block_threads() + thread_id()) / kWarp, token = i / a.heads, h = i % a.heads;
  if (token >= a.tokens) return;
  const T* dout = reinterpret_cast<const T*>(a.dout.data) + token * a.dout.token_stride + h * a.dout.head_stride;
  const T* out = reinterpret_cast<const T*>(a.out.data) + token * a.out.token_stride + h * a.out.head_stride;
  float sum = 0.0f;
  for (int64_t d = lane_id(); d < a.n; d += kWarp) sum += widen(load(dout + d)) * widen(load(out + d));
  sum = warp_sum(sum);
  if (lane_id() == 0) store(a.delta + h * a.delta_stride + token, sum);
}

template <typename S, typename T, int kWidth, bool kKeys>
LF_ON_DEVICE void attention_gradient(const AttentionArgs& a) {
  using M = Mma<T>;
  using Tiles = GradientTiles<int(sizeof(T)), kWidth>;
  constexpr int kOthers = Tiles::kOthers, kStride = Tiles::kStride, kScoreStride = Tiles::kScoreStride;
  // Of 256 columns of a gradient, a block forms a half: two halves of both would not fit into registers.
  constexpr int kColumns = kWidth > 128 ? 128 : kWidth, kParts = kWidth / kColumns;
  const int64_t group = a.heads / a.kv_heads;
  const int64_t owner_head = block_y() / kParts, first_column = int64_t(block_y() % kParts) * kColumns;
  const Sequence s = sequence_of(a, block_z());
  const int64_t first = int64_t(block_x()) * Tiles::kRows, rows = kKeys ? s.keys : s.queries, others = kKeys ? s.queries : s.keys;
  if (first >= rows) return;
  const int64_t last = smaller(rows, first + Tiles::kRows) - 1;
  const Shared<T> tx = shared_at<T>(0), ty = tx + Tiles::kRows * kStride, ox = ty + Tiles::kRows * kStride, oy = ox + kOthers * kStride,
                  ts = oy + kOthers * kStride;
  auto place_in = [&](const HeadRows& h, int64_t start, int64_t i, int64_t count, int64_t head) -> int64_t {
    return i < count ? (start + i) * h.token_stride + head * h.head_stride : -1;
  };
  const int64_t owner_start = kKeys ? s.first_key : s.first_query, other_start = kKeys ? s.first_query : s.first_key;
  const HeadRows &hx = kKeys ? a.k : a.q, &hy = kKeys ? a.v : a.dout, &gx = kKeys ? a.q : a.k, &gy = kKeys ? a.dout : a.v;
  start_rows<S, T, kWidth>(hx.data, a.n, a.vector, Tiles::kRows, kStride, tx, [&](int i) { return place_in(hx, owner_start, first + i, rows, owner_head); });
  start_rows<S, T, kWidth>(hy.data, a.n, a.vector, Tiles::kRows, kStride, ty, [&](int i) { return place_in(hy, owner_start, first + i, rows, owner_head); });

  // The others that any row of the block sees, or is seen by.
  int64_t begin = 0, end = others;
  if (kKeys) {
    if (a.causal) begin = larger(0, first - s.shift);
    if (a.window) end = smaller(end, last - s.shift + int64_t(a.window));
  } else {
    if (a.causal) end = smaller(end, last + s.shift + 1);
    if (a.window) begin = larger(0, first + s.shift - int64_t(a.window) + 1);
  }
  begin = begin / kOthers * kOthers;

  const int warp = thread_id() / kWarp;
  const Shared<T> scores_of_warp = ts + warp * kTile * kScoreStride;
  // Of this lane's rows: the index within the sequence, or kNoRow; and of queries the statistics of their softmax.
  int own[M::kRows];
  float own_lse[M::kRows] = {}, own_delta[M::kRows] = {};
#pragma unroll
  for (int r = 0; r < M::kRows; r++) {
    const int row = int(first) + warp * kTile + M::row_of_slot(r);
    own[r] = row < rows ? row : kNoRow;
    if (kKeys || row >= rows) continue;
    own_lse[r] = load(a.lse + owner_head * a.lse_stride + (s.first_query + row) * a.lse_token_stride);
    own_delta[r] = load(a.delta + owner_head * a.delta_stride + s.first_query + row);
  }
  typename M::Sums dx[kColumns / kTile] = {}, dy[kKeys ? kColumns / kTile : 1] = {};
  for (int64_t member = 0; member < (kKeys ? group : 1); member++) {
    const int64_t query_head = kKeys ? owner_head * group + member : owner_head;
    const int64_t other_head = kKeys ? query_head : owner_head / group;
    const float *lse = a.lse + query_head * a.lse_stride + s.first_query * a.lse_token_stride,
                *delta = a.delta + query_head * a.delta_stride + s.first_query;
    for (int64_t o0 = begin; o0 < end; o0 += kOthers) {
      sync_block();
      start_rows<S, T, kWidth>(gx.data, a.n, a.vector, kOthers, kStride, ox, [&](int i) { return place_in(gx, other_start, o0 + i, others, other_head); });
      start_rows<S, T, kWidth>(gy.data, a.n, a.vector, kOthers, kStride, oy, [&](int i) { return place_in(gy, other_start, o0 + i, others, other_head); });
      copy_async_commit();
      copy_async_wait<0>();
      sync_block();
      typename M::Sums scores[kOthers / kTile] = {}, slopes[kOthers / kTile] = {};
#pragma unroll
      for (int d = 0; d < kWidth; d += kTile) {
        const typename M::A x = M::load_a(tx + warp * kTile * kStride + d, kStride), y = M::load_a(ty + warp * kTile * kStride + d, kStride);
#pragma unroll
        for (int j = 0; j < kOthers / kTile; j++) {
          M::multiply(scores[j], x, M::load_b(ox + j * kTile * kStride + d, kStride));
          M::multiply(slopes[j], y, M::load_b(oy + j * kTile * kStride + d, kStride));
        }
      }
#pragma unroll
      for (int j = 0; j < kOthers / kTile; j++)
#pragma unroll
        for (int e = 0; e < kTileSums; e++) {
          const int slot = M::slot(e), mine = own[slot], other = int(o0) + j * kTile + M::column(e);
          const int query = kKeys ? other : mine, key = kKeys ? mine : other;
          float p = 0.0f, ds = 0.0f;
          if (mine != kNoRow && other < int(others) && sees(a, query + int(s.shift), key)) {
            const float z = capped(a, scores[j].v[e]);
            p = exp_of(z - (kKeys ? load(lse + query * a.lse_token_stride) : own_lse[slot]));
            const float t = a.softcap > 0.0f ? z / a.softcap : 0.0f;
            ds = p * (slopes[j].v[e] - (kKeys ? load(delta + query) : own_delta[slot])) * (1.0f - t * t) * a.scale;
          }
          scores[j].v[e] = p;
          slopes[j].v[e] = ds;
        }
      // Both pass through the warp's part of shared memory, to become operands.
      if (kKeys) {
#pragma unroll
        for (int j = 0; j < kOthers / kTile; j++)
          for (int e = 0; e < kTileSums; e++)
            scores_of_warp[M::row(e) * kScoreStride + j * kTile + M::column(e)] = narrow<T>(scores[j].v[e]);
        sync_warp();
#pragma unroll
        for (int j = 0; j < kOthers; j += kTile) {
          const typename M::A x = M::load_a(scores_of_warp + j, kScoreStride);
#pragma unroll
          for (int d = 0; d < kColumns / kTile; d++)
            M::multiply(dy[kKeys ? d : 0], x, M::load_b_transposed(oy + j * kStride + int(first_column) + d * kTile, kStride));
        }
        sync_warp();
      }
#pragma unroll
      for (int j = 0; j < kOthers / kTile; j++)
        for (int e = 0; e < kTileSums; e++)
          scores_of_warp[M::row(e) * kScoreStride + j * kTile + M::column(e)] = narrow<T>(slopes[j].v[e]);
      sync_warp();
#pragma unroll
      for (int j = 0; j < kOthers; j += kTile) {
        const typename M::A x = M::load_a(scores_of_warp + j, kScoreStride);
#pragma unroll
        for (int d = 0; d < kColumns / kTile; d++)
          M::multiply(dx[d], x, M::load_b_transposed(ox + j * kStride + int(first_column) + d * kTile, kStride));
      }
    }
  }
  copy_async_wait<0>();

  const HeadRows &to_x = kKeys ? a.dk : a.dq, &to_y = a.dv;
#pragma unroll
  for (int r = 0; r < M::kRows; r++) {
    if (own[r] == kNoRow) continue;
    const int64_t token = owner_start + own[r];
    S* const x = reinterpret_cast<S*>(to_x.data) + token * to_x.token_stride + owner_head * to_x.head_stride + first_column;
    S* const y = reinterpret_cast<S*>(to_y.data) + token * to_y.token_stride + owner_head * to_y.head_stride + first_column;
#pragma unroll
    for (int d = 0; d < kColumns / kTile; d++)
#pragma unroll
      for (int e = 0; e < kTileSums; e++) {
        const int column = d * kTile + M::column(e);
        if (M::slot(e) != r || first_column + column >= a.n) continue;
        store(x + column, narrow<S>(dx[d].v[e]));
        if (kKeys) store(y + column, narrow<S>(dy[kKeys ? d : 0].v[e]));
      }
  }
}

// `blocks` of dq; dk and dv take so many registers that there are two at most.
#define LF_GRADIENT(type, Memory, Tile, width, blocks)                                                                       \
  LF_KERNEL_HELD(attention_dq_##type##_##width, AttentionArgs, (GradientTiles<int(sizeof(Tile)), width>::kWarps * kWarp),    \
                 blocks) {                                                                                                   \
    attention_gradient<Memory, Tile, width, false>(a);                                                                       \
  }                                                                                                                          \
  LF_KERNEL_HELD(attention_dkv_##type##_##width, AttentionArgs, (GradientTiles<int(sizeof(Tile)), width>::kWarps * kWarp),   \
                 2) {                                                                                                        \
    attention_gradient<Memory, Tile, width, true>(a);                                                                        \
  }
LF_GRADIENT(bf16, bf16, bf16, 64, 3)
LF_GRADIENT(bf16, bf16, bf16, 128, 4)
LF_GRADIENT(bf16, bf16, bf16, 256, 2)
LF_GRADIENT(f16, f16, float, 64, 2)
LF_GRADIENT(f16, f16, float, 128, 2)
LF_GRADIENT(f32, float, float, 64, 2)
LF_GRADIENT(f32, float, float, 128, 2)

LF_KERNEL(attention_delta_bf16, AttentionArgs, kCombineThreads) { row_delta<bf16>(a); }
LF_KERNEL(attention_delta_f16, AttentionArgs, kCombineThreads) { row_delta<f16>(a); }
LF_KERNEL(attention_delta_f32, AttentionArgs, kCombineThreads) { row_delta<float>(a); }

}  // namespace lf_gpu
