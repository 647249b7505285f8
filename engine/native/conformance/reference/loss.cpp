// CROSS_ENTROPY.
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

}  // namespace conformance
