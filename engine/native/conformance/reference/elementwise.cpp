// FILL, COPY, BINARY, UNARY, UNARY_BACKWARD, GLU and GLU_BACKWARD.
#include <cmath>

#include "reference.h"

namespace conformance {
namespace {
constexpr double kPi = 3.14159265358979323846;
double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double gelu_tanh_inner(double x) { return std::sqrt(2.0 / kPi) * (x + 0.044715 * x * x * x); }
}  // namespace

double unary(uint32_t kind, double x) {
  switch (kind) {
    case LF_SILU: return x * sigmoid(x);
    case LF_GELU: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case LF_GELU_TANH: return 0.5 * x * (1.0 + std::tanh(gelu_tanh_inner(x)));
    case LF_RELU: return x > 0.0 ? x : 0.0;
    case LF_TANH: return std::tanh(x);
    case LF_SIGMOID: return sigmoid(x);
    case LF_EXP: return std::exp(x);
    case LF_LOG: return std::log(x);
    case LF_SQRT: return std::sqrt(x);
    case LF_SQUARE: return x * x;
    case LF_NEG: return -x;
    case LF_ABS: return std::fabs(x);
    default: return x;
  }
}

double unary_slope(uint32_t kind, double x) {
  switch (kind) {
    case LF_SILU: return sigmoid(x) * (1.0 + x * sigmoid(-x));
    case LF_GELU: return 0.5 * std::erfc(-x / std::sqrt(2.0)) + x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * kPi);
    case LF_GELU_TANH: {
      const double t = std::tanh(gelu_tanh_inner(x));
      return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * std::sqrt(2.0 / kPi) * (1.0 + 3.0 * 0.044715 * x * x);
    }
    case LF_RELU: return x > 0.0 ? 1.0 : 0.0;
    case LF_TANH: return 1.0 - std::tanh(x) * std::tanh(x);
    case LF_SIGMOID: return sigmoid(x) * sigmoid(-x);
    case LF_EXP: return std::exp(x);
    case LF_LOG: return 1.0 / x;
    case LF_SQRT: return 0.5 / std::sqrt(x);
    case LF_SQUARE: return 2.0 * x;
    case LF_NEG: return -1.0;
    case LF_ABS: return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0;
    default: return 1.0;
  }
}

// What the errors of unary(kind, x) scale with, beside the result: the halves of GELU that cancel for negative x, and near
// its zero the logarithm's terms of size 1.
static double unary_size(uint32_t kind, double x) {
  const bool gelu = kind == LF_GELU || kind == LF_GELU_TANH;
  return std::fabs(unary(kind, x)) + (gelu ? std::fabs(x) : kind == LF_LOG ? 1.0 : 0.0);
}

// Slopes of the curved activations are sums of terms of size 1 and, for GELU, |x|, which cancel.
static double slope_size(uint32_t kind, double x) {
  const double slope = std::fabs(unary_slope(kind, x));
  switch (kind) {
    case LF_SILU: case LF_TANH: case LF_SIGMOID: return slope + 1.0;
    case LF_GELU: case LF_GELU_TANH: return slope + 1.0 + std::fabs(x);
    default: return slope;
  }
}

void reference_fill(const Params& p, Array* o) {
  for (double& v : o[0].value) v = p.f(0);
}

void reference_copy(const Params&, Array* o) { o[1].value = o[0].value; }

void reference_binary(const Params& p, Array* o) {
  for (int64_t i = 0; i < o[2].elements(); i++) {
    const double a = p.f(1) * o[0].at(i), b = p.f(2) * o[1].at(i);
    switch (p.u(0)) {
      case LF_ADD: o[2].set(i, a + b, std::fabs(a) + std::fabs(b)); break;
      case LF_SUB: o[2].set(i, a - b, std::fabs(a) + std::fabs(b)); break;
      case LF_MUL: o[2].set(i, a * b, std::fabs(a * b)); break;
      case LF_DIV: o[2].set(i, a / b, std::fabs(a / b)); break;
      case LF_MAX: o[2].set(i, std::fmax(a, b), std::fmax(std::fabs(a), std::fabs(b))); break;
      default: o[2].set(i, std::fmin(a, b), std::fmax(std::fabs(a), std::fabs(b)));
    }
  }
}

void reference_unary(const Params& p, Array* o) {
  for (int64_t i = 0; i < o[1].elements(); i++) {
    o[1].set(i, unary(p.u(0), o[0].at(i)), unary_size(p.u(0), o[0].at(i)));
  }
}

void reference_unary_backward(const Params& p, Array* o) {
  for (int64_t i = 0; i < o[2].elements(); i++) {
    const double x = o[0].at(i), dy = o[1].at(i);
    o[2].set(i, dy * unary_slope(p.u(0), x), std::fabs(dy) * slope_size(p.u(0), x));
  }
}

void reference_glu(const Params& p, Array* o) {
  for (int64_t i = 0; i < o[2].elements(); i++) {
    const double gate = o[0].at(i), up = o[1].at(i);
    o[2].set(i, unary(p.u(0), gate) * up, unary_size(p.u(0), gate) * std::fabs(up));
  }
}

void reference_glu_backward(const Params& p, Array* o) {
  for (int64_t i = 0; i < o[0].elements(); i++) {
    const double gate = o[0].at(i), up = o[1].at(i), dout = o[2].at(i);
    o[3].set(i, dout * up * unary_slope(p.u(0), gate), std::fabs(dout * up) * slope_size(p.u(0), gate));
    o[4].set(i, dout * unary(p.u(0), gate), unary_size(p.u(0), gate) * std::fabs(dout));
  }
}

}  // namespace conformance
