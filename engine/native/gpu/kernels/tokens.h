// Arguments of EMBEDDING, its gradient, GATHER_COLUMNS, ROPE, KV_WRITE and KV_COPY_BLOCKS.
#pragma once
#include "arguments.h"

namespace lf_gpu {

constexpr int kTokenThreads = 256;

struct EmbeddingArgs {
  Head head;
  const int32_t* ids;
  int64_t id_stride, tokens, n;
  Operand table, out;  // of the gradient: dout, dtable
  float scale;
  uint32_t accumulate;
};
struct GatherArgs {
  Head head;
  Operand x, out;  // [M, K], [M, N]
  const int32_t* index;
  int64_t index_stride, n;
};
struct RopeArgs {
  Head head;
  Operand x, out;  // [T, H, D]
  const int32_t* positions;
  const float* frequencies;
  int64_t position_stride, frequency_stride, frequency_token_stride;  // of one set for all tokens, the last is 0
  int64_t tokens, heads, n, half;
  int32_t sign;
  uint32_t interleaved;
  float scale;
};
struct KvArgs {
  Head head;
  Operand k, v;              // [T, H, D]; of the copy of blocks, absent
  Operand k_cache, v_cache;  // [blocks, H, block, D]
  const int32_t* index;      // slots [T], or pairs [n, 2]
  int64_t index_stride, pair_stride;
  int64_t count;
  Operand k_scale, v_scale;  // f32 [1, blocks, H, block], with caches of i8; else without data
};

}  // namespace lf_gpu
