// The activations and other functions of one variable that lf_unary names, with their derivatives.
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

template <uint32_t kind>
struct UnaryKind {
  static constexpr uint32_t value = kind;
};

// Calls f(UnaryKind<kind>{}); false when there is no such kind.
template <typename F>
LF_INLINE bool with_unary(uint32_t kind, F&& f) {
  switch (kind) {
    case LF_IDENTITY: f(UnaryKind<LF_IDENTITY>{}); return true;
    case LF_SILU: f(UnaryKind<LF_SILU>{}); return true;
    case LF_GELU: f(UnaryKind<LF_GELU>{}); return true;
    case LF_GELU_TANH: f(UnaryKind<LF_GELU_TANH>{}); return true;
    case LF_RELU: f(UnaryKind<LF_RELU>{}); return true;
    case LF_TANH: f(UnaryKind<LF_TANH>{}); return true;
    case LF_SIGMOID: f(UnaryKind<LF_SIGMOID>{}); return true;
    case LF_EXP: f(UnaryKind<LF_EXP>{}); return true;
    case LF_LOG: f(UnaryKind<LF_LOG>{}); return true;
    case LF_SQRT: f(UnaryKind<LF_SQRT>{}); return true;
    case LF_SQUARE: f(UnaryKind<LF_SQUARE>{}); return true;
    case LF_NEG: f(UnaryKind<LF_NEG>{}); return true;
    case LF_ABS: f(UnaryKind<LF_ABS>{}); return true;
    default: return false;
  }
}

// 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), which is a sigmoid of twice the argument.
LF_INLINE f32v gelu_tanh_gate(f32v x) { return sigmoid(x * fma(x * x, broadcast(0.0713548163f), broadcast(1.59576912f))); }

template <uint32_t kind>
LF_INLINE f32v unary(f32v x) {
  if constexpr (kind == LF_SILU) return x / (1.0f + exp(-x));
  else if constexpr (kind == LF_GELU) return gelu(x);
  else if constexpr (kind == LF_GELU_TANH) return x * gelu_tanh_gate(x);
  else if constexpr (kind == LF_RELU) return select(x < broadcast(0.0f), broadcast(0.0f), x);
  else if constexpr (kind == LF_TANH) return tanh(x);
  else if constexpr (kind == LF_SIGMOID) return sigmoid(x);
  else if constexpr (kind == LF_EXP) return exp(x);
  else if constexpr (kind == LF_LOG) return log(x);
  else if constexpr (kind == LF_SQRT) return sqrt(x);
  else if constexpr (kind == LF_SQUARE) return x * x;
  else if constexpr (kind == LF_NEG) return -x;
  else if constexpr (kind == LF_ABS) return abs(x);
  else return x;
}

// d unary(x) / dx. At 0, RELU and ABS give 0.
template <uint32_t kind>
LF_INLINE f32v unary_derivative(f32v x) {
  const f32v zero = broadcast(0.0f), one = broadcast(1.0f);
  if constexpr (kind == LF_SILU) {
    f32v s = sigmoid(x);
    return s * fma(x, 1.0f - s, one);
  } else if constexpr (kind == LF_GELU) {
    f32v density = 0.398942280f * exp(-0.5f * x * x);
    return fma(x, density, 0.5f * (1.0f + erf(x * 0.707106781f)));
  } else if constexpr (kind == LF_GELU_TANH) {
    f32v s = gelu_tanh_gate(x);
    f32v slope = fma(x * x, broadcast(0.214064449f), broadcast(1.59576912f));  // of the sigmoid's argument
    return s * fma(x * slope, 1.0f - s, one);
  } else if constexpr (kind == LF_RELU) {
    return select(x > zero, one, zero);
  } else if constexpr (kind == LF_TANH) {
    f32v t = tanh(x);
    return fnma(t, t, one);
  } else if constexpr (kind == LF_SIGMOID) {
    f32v s = sigmoid(x);
    return s * (1.0f - s);
  } else if constexpr (kind == LF_EXP) {
    return exp(x);
  } else if constexpr (kind == LF_LOG) {
    return 1.0f / x;
  } else if constexpr (kind == LF_SQRT) {
    return 0.5f / sqrt(x);
  } else if constexpr (kind == LF_SQUARE) {
    return x + x;
  } else if constexpr (kind == LF_NEG) {
    return -one;
  } else if constexpr (kind == LF_ABS) {
    return select(x > zero, one, select(x < zero, -one, zero));
  } else {
    return one;
  }
}

}  // namespace LF_ISA
}  // namespace lf_cpu
