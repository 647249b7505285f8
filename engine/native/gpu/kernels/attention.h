// Arguments of attention, forward and backward, over packed sequences and over a paged cache.
#pragma once
#include "arguments.h"

namespace lf_gpu {

// [tokens, heads, n], the last dense; of a cache, [blocks, heads, block, n].
struct HeadRows {
  uint8_t* data;
  int64_t token_stride, head_stride, block_stride;
};

// Of a cache of codes: f32 [blocks, heads, block], the last dense.
struct HeadScales {
  const float* data;
  int64_t block_stride, head_stride;
};

struct AttentionArgs {
  Head head;
  HeadRows q, k, v, out, dout, dq, dk, dv;
  const int32_t *cu_q, *cu_k;  // of a cache: cu_q, and the contexts
  int64_t cu_q_stride, cu_k_stride;
  const int32_t* table;  // of blocks; null without a cache
  int64_t table_stride, table_column_stride, block;
  HeadScales k_scale, v_scale;  // without data unless the cache is of codes
  float *lse, *delta;  // [heads, tokens]; lse may be null
  int64_t lse_stride, lse_token_stride, delta_stride;
  float* partial;  // of splits: [token][head][split][n + 2]
  int64_t tokens, heads, kv_heads, n;  // tokens: of queries
  uint32_t vector;  // eight elements of every row may move as words
  uint32_t code_words;  // eight codes of every row may move as words
  uint32_t causal, window, splits;
  float scale, softcap;
};

// What fits into a block's shared memory: query and key tiles by the width that the head is padded to, and the bytes of an
// element. Four warps of 16 rows, fewer where an element has four bytes.
template <int kBytes, int kWidth>
struct AttentionTiles {
  static constexpr int kWarps = kBytes == 4 && kWidth == 256 ? 1 : 4;
  static constexpr int kRows = kWarps * 16;
  static constexpr int kKeys = kBytes == 2 ? (kWidth <= 64 ? 64 : kWidth <= 128 ? 32 : 16) : (kWidth <= 64 ? 32 : 16);
  static constexpr int kStride = kWidth + 16 / kBytes;
  static constexpr int kScoreStride = kKeys + 16 / kBytes;
  static constexpr uint32_t kShared = (kRows * kStride + 2 * kKeys * kStride + kRows * kScoreStride) * kBytes;
};
// Of the gradients: the rows that a block owns (two tiles of them), and the others, which pass by.
template <int kBytes, int kWidth>
struct GradientTiles {
  static constexpr int kWarps = kWidth <= 64 ? 4 : kBytes == 2 ? (kWidth <= 128 ? 4 : 2) : (kWidth <= 128 ? 2 : 1);
  static constexpr int kRows = kWarps * 16;
  static constexpr int kOthers = kBytes == 2 ? (kWidth <= 64 ? 64 : kWidth <= 128 ? 32 : 16) : 16;
  static constexpr int kStride = kWidth + 16 / kBytes;
  static constexpr int kScoreStride = kOthers + 16 / kBytes;
  static constexpr uint32_t kShared = (2 * kRows * kStride + 2 * kOthers * kStride + kRows * kScoreStride) * kBytes;
};

constexpr int kSplitKeys = 512;     // of a cache: positions that one block reads
constexpr int kCombineThreads = 128;

}  // namespace lf_gpu
