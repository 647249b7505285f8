// Arguments of CLIP_SCALE and of the optimisers.
#pragma once
#include "arguments.h"

namespace lf_gpu {

constexpr int kOptimizerThreads = 256;

struct ClipArgs {
  Head head;
  const float* sum_squares;
  float* out;
  int64_t out_stride;
  float max_norm, grad_scale;
};
struct AdamwArgs {
  Head head;
  Operand param, grad, m, v, copy;  // contiguous
  const float* scale;               // null, or its second element multiplies the gradient
  int64_t scale_stride, n;
  float lr, beta1, beta2, eps, weight_decay, bias_correction1, bias_correction2;
};

struct LionArgs {
  Head head;
  Operand param, grad, m, copy;  // contiguous
  const float* scale;
  int64_t scale_stride, n;
  float lr, beta1, beta2, weight_decay;
};

constexpr int kMomentBlock = 256, kMomentCodes = 256;  // elements that share a largest magnitude; values of a map
constexpr uint32_t kMomentShared = 256 + 4 * kMomentCodes * 4;
struct Adamw8BitArgs {
  Head head;
  Operand param, grad, copy;  // contiguous
  uint8_t *m, *v;
  float *m_absmax, *v_absmax;
  const float *m_map, *v_map, *scale;
  int64_t scale_stride, n;
  float lr, beta1, beta2, eps, weight_decay, bias_correction1, bias_correction2;
};

// Elements, and rows, that one block sums: what is divided depends on the shape alone.
constexpr int64_t kAdafactorPiece = 8192, kAdafactorRows = 64;
struct AdafactorArgs {
  Head head;
  Operand param, grad, copy;  // contiguous
  float *row, *column;        // column: null when row has the shape of param
  float *column_sums;         // [row pieces][columns]
  float *squares;             // of the update, one sum a piece
  float *factors;             // mean of row; step of the update
  const float* scale;
  int64_t scale_stride, rows, columns, row_pieces, pieces;
  float lr, beta2, eps, threshold, weight_decay;
};

}  // namespace lf_gpu
