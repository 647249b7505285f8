// Arguments of REDUCE, SOFTMAX and MEAN_POOL.
#pragma once
#include "arguments.h"

namespace lf_gpu {

constexpr int kReduceThreads = 256;
constexpr uint32_t kReduceShared = 256;      // a number of each warp
constexpr int64_t kReducePiece = 32 * 1024;  // elements that one block sums in the first of two steps

struct ReduceArgs {
  Head head;
  Operand x, out;
  float* partial;     // of all elements: one number for each piece
  int64_t n;          // elements of a row, or of everything
  int64_t pieces;
  uint32_t kind, accumulate;
};
struct SoftmaxArgs {
  Head head;
  Operand x, out;
  int64_t n;
};
struct PoolArgs {
  Head head;
  Operand x, out;
  const int32_t* cu;
  int64_t cu_stride;
  int64_t n;
  uint32_t normalize;
};

}  // namespace lf_gpu
