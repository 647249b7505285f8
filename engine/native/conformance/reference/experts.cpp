// ROUTE, GROUPED_LINEAR and their gradients.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "reference.h"

namespace conformance {
namespace {

double rounded(uint32_t math, double v) { return math == LF_MATH_BF16 ? round_to(LF_BF16, v) : v; }

// Calls `visit(e, i)` for each row i of each group e.
template <typename Visit>
void for_rows(const Array& offsets, const Visit& visit) {
  for (int64_t e = 0; e + 1 < offsets.elements(); e++) {
    for (int64_t i = offsets.whole(e); i < offsets.whole(e + 1); i++) visit(e, i);
  }
}

}  // namespace

void reference_route(const Params& p, Array* o) {
  const Array& probs = o[0];
  const int64_t tokens = probs.extent(0), experts = probs.extent(1), top_k = p.u(0);
  std::vector<std::vector<int64_t>> chosen(static_cast<size_t>(tokens));
  for (int64_t t = 0; t < tokens; t++) {
    auto& row = chosen[static_cast<size_t>(t)];
    row.resize(static_cast<size_t>(experts));
    std::iota(row.begin(), row.end(), 0);
    std::stable_sort(row.begin(), row.end(), [&](int64_t a, int64_t b) { return probs.at(t * experts + a) > probs.at(t * experts + b); });
    row.resize(static_cast<size_t>(top_k));
  }
  int64_t pair = 0;
  for (int64_t e = 0; e < experts; e++) {
    o[2].set(e, static_cast<double>(pair), 0.0);
    for (int64_t t = 0; t < tokens; t++) {
      const auto& row = chosen[static_cast<size_t>(t)];
      if (std::find(row.begin(), row.end(), e) == row.end()) continue;
      double sum = 0.0;
      for (int64_t other : row) sum += probs.at(t * experts + other);
      const double weight = probs.at(t * experts + e) / (p.u(1) ? sum : 1.0);
      o[1].set(pair, static_cast<double>(t), 0.0);
      o[3].set(pair, weight, weight * static_cast<double>(top_k));
      pair++;
    }
  }
  o[2].set(experts, static_cast<double>(pair), 0.0);
}

void reference_route_backward(const Params& p, Array* o) {
  const Array &probs = o[0], &rows = o[1], &offsets = o[2], &weights = o[3], &dweights = o[4];
  const int64_t tokens = probs.extent(0), experts = probs.extent(1);
  // Gradient of each probability, and the size of what it was made of.
  std::vector<double> slope(static_cast<size_t>(tokens * experts), 0.0), size(slope.size(), 0.0);
  for (int64_t t = 0; t < tokens; t++) {
    double total = 0.0, mean = 0.0, mean_size = 0.0;
    for_rows(offsets, [&](int64_t e, int64_t i) {
      if (rows.whole(i) != t) return;
      total += probs.at(t * experts + e);
      mean += dweights.at(i) * weights.at(i);
      mean_size += std::fabs(dweights.at(i) * weights.at(i));
    });
    for_rows(offsets, [&](int64_t e, int64_t i) {
      if (rows.whole(i) != t) return;
      const size_t at = static_cast<size_t>(t * experts + e);
      slope[at] = p.u(0) ? (dweights.at(i) - mean) / total : dweights.at(i);
      size[at] = p.u(0) ? (std::fabs(dweights.at(i)) + mean_size) / total : std::fabs(dweights.at(i));
    });
    double sum = 0.0, sum_size = 0.0;
    for (int64_t e = 0; e < experts; e++) {
      const int64_t at = t * experts + e;
      sum += probs.at(at) * slope[static_cast<size_t>(at)];
      sum_size += probs.at(at) * size[static_cast<size_t>(at)];
    }
    for (int64_t e = 0; e < experts; e++) {
      const int64_t at = t * experts + e;
      const double probability = probs.at(at);
      o[5].set(at, probability * (slope[static_cast<size_t>(at)] - sum), probability * (size[static_cast<size_t>(at)] + sum_size));
    }
  }
}

void reference_grouped_linear(const Params& p, Array* o) {
  const Array &x = o[0], &w = o[2];
  const int64_t n = w.extent(1), k = w.extent(2);
  for_rows(o[1], [&](int64_t e, int64_t i) {
    for (int64_t j = 0; j < n; j++) {
      double sum = 0.0, size = 0.0;
      for (int64_t l = 0; l < k; l++) {
        const double term = rounded(p.u(0), x.at(i * k + l)) * rounded(p.u(0), w.at((e * n + j) * k + l));
        sum += term, size += std::fabs(term);
      }
      o[3].set(i * n + j, sum, size);
    }
  });
}

void reference_grouped_linear_backward_input(const Params& p, Array* o) {
  const Array &dy = o[0], &w = o[2];
  const int64_t n = w.extent(1), k = w.extent(2);
  for_rows(o[1], [&](int64_t e, int64_t i) {
    for (int64_t l = 0; l < k; l++) {
      double sum = 0.0, size = 0.0;
      for (int64_t j = 0; j < n; j++) {
        const double term = rounded(p.u(0), dy.at(i * n + j)) * rounded(p.u(0), w.at((e * n + j) * k + l));
        sum += term, size += std::fabs(term);
      }
      o[3].set(i * k + l, sum, size);
    }
  });
}

void reference_grouped_linear_backward_weight(const Params& p, Array* o) {
  const Array &x = o[0], &dy = o[1], &offsets = o[2];
  const int64_t n = o[3].extent(1), k = o[3].extent(2);
  for (int64_t e = 0; e < o[3].extent(0); e++) {
    for (int64_t j = 0; j < n; j++) {
      for (int64_t l = 0; l < k; l++) {
        const int64_t at = (e * n + j) * k + l;
        double sum = p.f(0) != 0.0 ? p.f(0) * o[3].at(at) : 0.0, size = std::fabs(sum);
        for (int64_t i = offsets.whole(e); i < offsets.whole(e + 1); i++) {
          const double term = rounded(p.u(1), dy.at(i * n + j)) * rounded(p.u(1), x.at(i * k + l));
          sum += term, size += std::fabs(term);
        }
        o[3].set(at, sum, size);
      }
    }
  }
}

}  // namespace conformance
