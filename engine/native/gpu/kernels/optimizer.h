// Arguments of CLIP_SCALE and ADAMW.
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

}  // namespace lf_gpu
