// Arguments of CROSS_ENTROPY and DIVERGENCE.
#pragma once
#include "arguments.h"

namespace lf_gpu {

constexpr int kLossThreads = 256;
constexpr uint32_t kLossShared = 256;

// Vectors over the rows of the batch; absent ones have no data.
struct LossRows {
  float *nll, *entropy, *lse;
  int32_t* argmax;
  int64_t nll_stride, entropy_stride, lse_stride, argmax_stride;
};

struct LossArgs {
  Head head;
  const int32_t* labels;
  int64_t label_stride;
  const float* row_weight;  // or null
  int64_t weight_stride;
  LossRows rows;
  Operand x, dx;            // dx: rows without a label are cleared
  int32_t* index;           // labelled rows, in order
  uint32_t* count;
  int64_t tokens, depth, vocabulary;
  // A chunk: rows [first, first + chunk) of the index.
  int64_t first, chunk;
  uint8_t* gathered;        // [chunk][gathered_stride]
  int64_t gathered_stride;
  float* logits;            // [chunk][vocabulary]
  uint8_t* gradient;        // [chunk][gradient_stride], or null
  int64_t gradient_stride;
  float* dbias;
  int64_t dbias_stride;
  uint32_t gathered_dtype, gradient_dtype;
  int32_t ignore_index;
  float grad_scale, softcap, smoothing, logit_scale;
};

struct DivergenceArgs {
  Head head;
  float* student;  // contiguous [rows, n]
  const uint8_t* teacher;
  const float* row_weight;
  float* loss;
  int64_t weight_stride, loss_stride, n;
  uint32_t teacher_dtype;
  float temperature, beta, scale;
};

}  // namespace lf_gpu
