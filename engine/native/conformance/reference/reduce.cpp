// REDUCE, SOFTMAX, MEAN_POOL, and the collectives of a group of one.
#include <algorithm>
#include <cmath>

#include "reference.h"

namespace conformance {

void reference_reduce(const Params& p, Array* o) {
  const Array& x = o[0];
  Array& out = o[1];
  const bool everything = out.elements() == 1 && !(x.rows() == 1 && out.shape.size() + 1 == x.shape.size());
  const int64_t rows = everything ? 1 : out.elements(), n = rows ? x.elements() / rows : 0;
  const uint32_t kind = p.u(0);
  const bool maximum = kind == LF_MAXIMUM || kind == LF_ABS_MAX;
  for (int64_t r = 0; r < rows; r++) {
    double result = kind == LF_MAXIMUM ? -INFINITY : 0.0, magnitude = 0.0;
    for (int64_t i = r * n; i < (r + 1) * n; i++) {
      const double v = x.at(i);
      switch (kind) {
        case LF_MAXIMUM: result = std::isnan(v) || std::isnan(result) ? NAN : std::max(result, v); break;
        case LF_ABS_MAX: result = std::isnan(v) || std::isnan(result) ? NAN : std::max(result, std::fabs(v)); break;
        case LF_SUM_SQUARES: result += v * v; break;
        case LF_COUNT_NONFINITE: result += !std::isfinite(v); break;
        default: result += v;
      }
      magnitude += kind == LF_SUM_SQUARES ? v * v : std::fabs(v);
    }
    if (kind == LF_MEAN) result /= static_cast<double>(n), magnitude /= static_cast<double>(n);
    if (p.u(1)) {
      const double old = out.at(r);
      if (maximum) result = std::isnan(old) || std::isnan(result) ? NAN : std::max(result, old);
      else result += old, magnitude += std::fabs(old);
    }
    // Where all numbers are the same, as those of a repeated dimension are, their roundings add up instead of cancelling.
    magnitude *= 1.0 + std::sqrt(static_cast<double>(n)) / 16.0;
    out.set(r, result, maximum || kind == LF_COUNT_NONFINITE ? std::fabs(result) : magnitude);
  }
}

void reference_softmax(const Params&, Array* o) {
  const int64_t n = o[0].columns();
  for (int64_t r = 0; r < o[0].rows(); r++) {
    double largest = -INFINITY, total = 0.0;
    for (int64_t i = 0; i < n; i++) largest = std::max(largest, o[0].at(r * n + i));
    for (int64_t i = 0; i < n; i++) total += std::exp(o[0].at(r * n + i) - largest);
    for (int64_t i = 0; i < n; i++) {
      const double shifted = o[0].at(r * n + i) - largest, prob = std::exp(shifted) / total;
      // The exponential turns the rounding of its argument into an error of the result.
      o[1].set(r * n + i, prob, prob > 0.0 ? prob * (1.0 + std::fabs(shifted)) : 0.0);
    }
  }
}

void reference_mean_pool(const Params& p, Array* o) {
  const Array &x = o[0], &cu = o[1];
  const int64_t n = x.columns();
  for (int64_t b = 0; b + 1 < cu.elements(); b++) {
    const int64_t first = cu.whole(b), last = cu.whole(b + 1);
    std::vector<double> mean(static_cast<size_t>(n), 0.0), magnitude(static_cast<size_t>(n), 0.0);
    for (int64_t t = first; t < last; t++) {
      for (int64_t i = 0; i < n; i++) {
        mean[static_cast<size_t>(i)] += x.at(t * n + i) / static_cast<double>(last - first);
        magnitude[static_cast<size_t>(i)] += std::fabs(x.at(t * n + i)) / static_cast<double>(last - first);
      }
    }
    double squares = 0.0;
    for (double v : mean) squares += v * v;
    const double norm = p.u(0) ? std::max(std::sqrt(squares), 1e-12) : 1.0;
    for (int64_t i = 0; i < n; i++) {
      const double size = magnitude[static_cast<size_t>(i)] / norm;
      // The norm is a sum over all elements, and carries their errors into each.
      o[2].set(b * n + i, mean[static_cast<size_t>(i)] / norm, p.u(0) ? size + std::fabs(mean[static_cast<size_t>(i)] / norm) : size);
    }
  }
}

void reference_all_reduce(const Params&, Array* o) {
  for (int64_t i = 0; i < o[0].elements(); i++) o[0].set(i, o[0].at(i), 0.0);
}
void reference_all_gather(const Params&, Array* o) {
  for (int64_t i = 0; i < o[0].elements(); i++) o[1].set(i, o[0].at(i), 0.0);
}

}  // namespace conformance
