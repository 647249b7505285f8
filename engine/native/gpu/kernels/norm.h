// Arguments of RMS_NORM, LAYER_NORM and their gradients.
#pragma once
#include "arguments.h"

namespace lf_gpu {

constexpr int kNormThreads = 256;
constexpr uint32_t kNormScratch = 256;      // bytes of shared memory for sums, in front of the row
constexpr int64_t kLongestCachedRow = 8192;  // elements that are kept in shared memory between the passes
constexpr int64_t kGradientRows = 64;        // rows whose weight gradients are summed by one thread in the first step

struct NormArgs {
  Head head;
  Operand x, residual, weight, bias, y, sum, mean, rstd;  // absent ones have no data
  int64_t n;
  float eps, weight_offset;
  uint32_t centred, cached;
};
struct NormGradientArgs {
  Head head;
  Operand dy, h, weight, mean, rstd, dh_in, dx, dweight, dbias;
  float* partial;  // [2][pieces][n]: of weight, of bias
  int64_t n, rows, pieces;
  float weight_offset;
  uint32_t centred;
};

}  // namespace lf_gpu
