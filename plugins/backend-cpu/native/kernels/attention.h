// What the attention kernels share: the parameters, which keys a query sees, and how a batch is cut into blocks.
#pragma once
#include "arena.h"
#include "tile.h"

namespace lf_cpu {
namespace LF_ISA {

// Queries and keys of one tile of scores.
constexpr int64_t kBlock = 64;

struct AttentionParams {
  float scale;
  bool causal;
  int64_t window;  // 0: none
  float softcap;   // 0: none
};

// Keys that the queries at position `first` to `last` of a sequence see between them: [low, high).
struct KeyRange {
  int64_t low, high;
};
LF_INLINE KeyRange visible_keys(const AttentionParams& p, int64_t first, int64_t last, int64_t keys) {
  KeyRange range;
  range.low = p.window > 0 ? larger<int64_t>(0, first - p.window + 1) : 0;
  range.high = p.causal ? smaller(keys, last + 1) : keys;
  if (range.high < range.low) range.high = range.low;
  return range;
}

// A run of at most kBlock rows of one sequence.
struct SequenceBlock {
  int32_t sequence;
  int32_t start;  // first row, counted from the start of the sequence
  int32_t rows;
};

LF_INLINE int64_t cumulative(const View& cu, int64_t b) { return cu.as<const int32_t>()[b * cu.stride[0]]; }

static inline const char* check_cumulative(Context& ctx, const char* op, const char* name, const View& cu, int64_t total) {
  for (int64_t b = 0; b + 1 < cu.shape[0]; b++)
    if (cumulative(cu, b) < 0 || cumulative(cu, b + 1) < cumulative(cu, b) || cumulative(cu, b + 1) > total)
      return ctx.fail(LF_INVALID, "%s: %s says that sequence %lld is rows %lld to %lld of %lld", op, name, (long long)b,
                      (long long)cumulative(cu, b), (long long)cumulative(cu, b + 1), (long long)total);
  return nullptr;
}

// Blocks of all sequences together.
LF_INLINE int64_t block_count(const View& cu) {
  int64_t n = 0;
  for (int64_t b = 0; b + 1 < cu.shape[0]; b++) n += ceil_div(cumulative(cu, b + 1) - cumulative(cu, b), kBlock);
  return n;
}
// Fills `blocks`, in the order of sequences, and `first_block` [B + 1].
static inline void list_blocks(const View& cu, SequenceBlock* blocks, int32_t* first_block) {
  int64_t n = 0;
  for (int64_t b = 0; b + 1 < cu.shape[0]; b++) {
    const int64_t rows = cumulative(cu, b + 1) - cumulative(cu, b);
    first_block[b] = int32_t(n);
    for (int64_t start = 0; start < rows; start += kBlock)
      blocks[n++] = {int32_t(b), int32_t(start), int32_t(smaller(kBlock, rows - start))};
  }
  first_block[cu.shape[0] - 1] = int32_t(n);
}

}  // namespace LF_ISA
}  // namespace lf_cpu
