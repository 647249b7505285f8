// The functions of lf_unary and their slopes.
#pragma once
#include "access.h"

namespace lf_gpu {

LF_ON_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + exp_of(-x)); }

constexpr float kSqrtHalf = 0.70710678118654752f, kInverseSqrt2Pi = 0.39894228040143268f, kSqrt2OverPi = 0.79788456080286536f;

LF_ON_DEVICE float unary(uint32_t kind, float x) {
  switch (kind) {
    case LF_SILU: return x * sigmoid(x);
    case LF_GELU: return 0.5f * x * erfc_of(-x * kSqrtHalf);
    // (1 + tanh(u)) / 2 without its cancellation for negative u.
    case LF_GELU_TANH: return x * sigmoid(2.0f * kSqrt2OverPi * (x + 0.044715f * x * x * x));
    case LF_RELU: return x > 0.0f ? x : 0.0f;
    case LF_TANH: return tanh_of(x);
    case LF_SIGMOID: return sigmoid(x);
    case LF_EXP: return exp_of(x);
    case LF_LOG: return log_of(x);
    case LF_SQRT: return sqrt_of(x);
    case LF_SQUARE: return x * x;
    case LF_NEG: return -x;
    case LF_ABS: return abs_of(x);
    default: return x;
  }
}

LF_ON_DEVICE float unary_slope(uint32_t kind, float x) {
  switch (kind) {
    case LF_SILU: {
      const float s = sigmoid(x);
      return s * (1.0f + x * (1.0f - s));
    }
    case LF_GELU: return 0.5f * erfc_of(-x * kSqrtHalf) + x * exp_of(-0.5f * x * x) * kInverseSqrt2Pi;
    case LF_GELU_TANH: {
      const float t = tanh_of(kSqrt2OverPi * (x + 0.044715f * x * x * x));
      return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * kSqrt2OverPi * (1.0f + 3.0f * 0.044715f * x * x);
    }
    case LF_RELU: return x > 0.0f ? 1.0f : 0.0f;
    case LF_TANH: {
      const float t = tanh_of(x);
      return 1.0f - t * t;
    }
    case LF_SIGMOID: {
      const float s = sigmoid(x);
      return s * (1.0f - s);
    }
    case LF_EXP: return exp_of(x);
    case LF_LOG: return 1.0f / x;
    case LF_SQRT: return 0.5f / sqrt_of(x);
    case LF_SQUARE: return 2.0f * x;
    case LF_NEG: return -1.0f;
    case LF_ABS: return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f;
    default: return 1.0f;
  }
}

}  // namespace lf_gpu
