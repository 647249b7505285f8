// CROSS_ENTROPY and DIVERGENCE.
#include <algorithm>
#include <cmath>

#include "reference.h"

namespace conformance {
namespace {

enum { kX, kW, kBias, kLabels, kRowWeight, kNll, kDx, kDw, kDbias, kWBackward, kEntropy, kLse, kArgmax };

// An operand of a product in the precision that `math` names.
double rounded(const Params& p, double v) { return p.u(5) == LF_MATH_BF16 ? round_to(LF_BF16, v) : v; }

// The logits of one row, the slope of the softcap at each, and what their errors scale with.
struct Logits {
  std::vector<double> z, slope;
  double size = 0.0;
};

Logits logits_of(const Params& p, const Array* o, int64_t t) {
  const double scale = p.f(4), softcap = p.f(2);
  const int64_t n = o[kX].columns(), vocabulary = o[kW].extent(0);
  Logits l;
  for (int64_t v = 0; v < vocabulary; v++) {
    double sum = o[kBias].present ? o[kBias].at(v) : 0.0, size = std::fabs(sum);
    for (int64_t i = 0; i < n; i++) {
      const double term = rounded(p, o[kX].at(t * n + i)) * rounded(p, o[kW].at(v * n + i));
      sum += term, size += std::fabs(term);
    }
    double z = scale * sum, slope = scale;
    if (softcap > 0.0) {
      const double tanh = std::tanh(z / softcap);
      z = softcap * tanh;
      slope *= 1.0 - tanh * tanh;
    }
    l.z.push_back(z);
    l.slope.push_back(slope);
    l.size = std::max(l.size, size * std::fabs(scale));
  }
  return l;
}

void set_argmax(Array& out, int64_t t, const Logits& l) {
  if (!out.present) return;
  size_t best = 0;
  for (size_t v = 1; v < l.z.size(); v++) best = l.z[v] > l.z[best] ? v : best;
  bool tie = false;
  for (size_t v = 0; v < l.z.size(); v++) tie |= v != best && l.z[best] - l.z[v] < 4.0 * kEpsilon * (1.0 + l.size);
  out.set(t, static_cast<double>(best), tie ? INFINITY : 0.0);
}

}  // namespace

void reference_cross_entropy(const Params& p, Array* o) {
  const int64_t rows = o[kX].rows(), n = o[kX].columns(), vocabulary = o[kW].extent(0);
  const double smoothing = p.f(3);
  // Gradients of the logits are operands of further products.
  const double rounding = p.u(5) == LF_MATH_BF16 ? kBrainRounding : 1.0;
  for (int which : {kDw, kDbias}) {
    for (int64_t i = 0; i < o[which].elements(); i++) o[which].set(i, o[which].at(i), std::fabs(o[which].at(i)));
  }
  auto add = [](Array& a, int64_t i, double term, double size) {
    if (a.present) a.set(i, a.at(i) + term, a.magnitude[static_cast<size_t>(i)] + size);
  };
  for (int64_t t = 0; t < rows; t++) {
    for (int64_t i = 0; i < n; i++) o[kDx].set(t * n + i, 0.0, 0.0);
    const int64_t label = o[kLabels].whole(t);
    if (label == p.i(0)) {
      // What such a row has for statistics is not said.
      o[kNll].set(t, 0.0, 0.0);
      for (int which : {kEntropy, kLse, kArgmax}) o[which].set(t, 0.0, INFINITY);
      continue;
    }
    const Logits l = logits_of(p, o, t);
    const double largest = *std::max_element(l.z.begin(), l.z.end());
    double total = 0.0, mean = 0.0, entropy = 0.0;
    for (double z : l.z) total += std::exp(z - largest);
    const double lse = largest + std::log(total);
    for (double z : l.z) {
      mean += z / static_cast<double>(vocabulary);
      entropy += std::exp(z - lse) * (lse - z);
    }
    const double size = l.size + std::fabs(lse) + 1.0;
    o[kNll].set(t, lse - l.z[static_cast<size_t>(label)], 2.0 * size);
    o[kLse].set(t, lse, size);
    o[kEntropy].set(t, entropy, size * (1.0 + entropy));
    set_argmax(o[kArgmax], t, l);
    const double weight = p.f(1) * (o[kRowWeight].present ? o[kRowWeight].at(t) : 1.0);
    for (int64_t v = 0; v < vocabulary; v++) {
      const double prob = std::exp(l.z[static_cast<size_t>(v)] - lse), uniform = smoothing / static_cast<double>(vocabulary);
      const double target = v == label ? 1.0 - smoothing : 0.0, factor = weight * l.slope[static_cast<size_t>(v)];
      const double g = (prob - uniform - target) * factor;
      // Where softcap flattens, its slope is the small difference of 1 and a square.
      const double g_size = (prob * size + uniform + target) * std::fabs(weight * p.f(4)) * rounding;
      add(o[kDbias], v, g, g_size);
      for (int64_t i = 0; i < n; i++) {
        const double w = rounded(p, o[kW].at(v * n + i)), x = rounded(p, o[kX].at(t * n + i));
        add(o[kDx], t * n + i, g * w, g_size * std::fabs(w));
        add(o[kDw], v * n + i, g * x, g_size * std::fabs(x));
      }
    }
  }
}

// Natural logarithms of the softmax of a row over the temperature, and what their errors scale with.
static std::vector<double> log_softmax(const Array& logits, int64_t row, double temperature, double* size) {
  const int64_t n = logits.columns();
  std::vector<double> z;
  for (int64_t i = 0; i < n; i++) z.push_back(logits.at(row * n + i) / temperature);
  const double largest = *std::max_element(z.begin(), z.end());
  double total = 0.0;
  for (double value : z) total += std::exp(value - largest);
  const double lse = largest + std::log(total);
  *size = 1.0 + std::fabs(lse);
  for (double& value : z) {
    if (std::isfinite(value)) *size = std::max(*size, 1.0 + std::fabs(value) + std::fabs(lse));
    value -= lse;
  }
  return z;
}

void reference_divergence(const Params& p, Array* o) {
  const double temperature = p.f(0), beta = p.f(1);
  const int64_t n = o[0].columns();
  auto term = [](double probability, double logarithm) { return probability > 0.0 ? probability * logarithm : 0.0; };
  for (int64_t r = 0; r < o[0].rows(); r++) {
    double student_size, teacher_size;
    const std::vector<double> log_q = log_softmax(o[0], r, temperature, &student_size);
    const std::vector<double> log_p = log_softmax(o[1], r, temperature, &teacher_size);
    const double size = student_size + teacher_size;
    double loss = 0.0, magnitude = 0.0, mean = 0.0, mean_size = 0.0;
    std::vector<double> slopes;
    for (size_t v = 0; v < log_q.size(); v++) {
      const double q = std::exp(log_q[v]), t = std::exp(log_p[v]);
      if (q == 0.0 && t == 0.0) {
        slopes.push_back(0.0);
        continue;
      }
      const double log_m = beta == 0.0 ? log_q[v] : beta == 1.0 ? log_p[v] : std::log(beta * t + (1.0 - beta) * q);
      const double to_teacher = beta == 0.0 ? 1.0 : beta, to_student = beta == 0.0 ? 0.0 : beta == 1.0 ? 1.0 : 1.0 - beta;
      if (beta < 1.0) loss += to_teacher * term(t, log_p[v] - log_m), magnitude += t * size;
      loss += to_student * term(q, log_q[v] - log_m), magnitude += to_student * q * size;
      // The derivative of the loss by q, but for what is the same for all tokens.
      const double slope = beta == 0.0 ? -std::exp(log_p[v] - log_q[v]) : to_student * (log_q[v] - log_m);
      slopes.push_back(slope);
      mean += term(q, slope);
      mean_size += q * (std::fabs(slope) + size);
    }
    const double weight = p.f(2) * (o[2].present ? o[2].at(r) : 1.0) / temperature;
    for (size_t v = 0; v < log_q.size(); v++) {
      // The exponential turns the rounding of a logarithm into a relative error of the probability.
      const double q = std::exp(log_q[v]);
      o[0].set(r * n + static_cast<int64_t>(v), weight * term(q, slopes[v] - mean),
               std::fabs(weight) * q * ((1.0 + std::fabs(slopes[v])) * size + mean_size));
    }
    o[3].set(r, loss, magnitude);
  }
}

}  // namespace conformance
