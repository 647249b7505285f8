// Arguments of ROUTE and its gradient.
#pragma once
#include "arguments.h"

namespace lf_gpu {

constexpr int kRouteThreads = 256;
constexpr uint32_t kRouteShared = 256;

struct RouteArgs {
  Head head;
  Operand probs;     // [T, E] f32
  int32_t* rows;     // [T * top_k]
  int32_t* offsets;  // [E + 1]
  float* weights;    // [T * top_k]
  int64_t row_stride, offset_stride, weight_stride;
  int32_t* chosen;        // [T][top_k], of this call
  float* chosen_weights;  // [T][top_k]
  int32_t* counts;        // [E]
  int64_t tokens, experts, top_k;
  uint32_t normalize;
  // of the gradient
  const float* dweights;
  int64_t dweight_stride;
  Operand dlogits;
  int32_t* pairs;  // [T][E]: number of the pair, or -1
};

}  // namespace lf_gpu
