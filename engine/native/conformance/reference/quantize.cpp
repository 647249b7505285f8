// QUANTIZE_GROUPS, QUANTIZE_BLOCK, QUANTIZE_SWEEP and ENCODE_BLOCKS.
#include <algorithm>
#include <cmath>
#include <limits>

#include "reference.h"

namespace conformance {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::infinity();
// Where two candidates lie closer than this, relative to what they are, rounding in f32 may choose either.
constexpr double kTie = 1e-4;
// What scales are made of are sums over a group.
constexpr double kSums = 64.0;

double nearest(double x) { return std::nearbyint(x); }
bool near_tie(double x) { return std::fabs(std::fabs(x - std::floor(x)) - 0.5) < kTie; }

struct Group {
  double scale = 1.0, zero = 0.0;
  // Whether another scale or zero is as good to within rounding.
  bool tie = false;
};

struct Grid {
  explicit Grid(const Params& p)
      : levels(std::pow(2.0, p.u(0)) - 1.0), group(p.u(1)), symmetric(p.u(2) != 0), shares(static_cast<int>(p.u(3))),
        refits(static_cast<int>(p.u(4))), dtype(static_cast<lf_dtype>(p.u(5))) {}

  double step(double value, const Group& g) const {
    return std::clamp(nearest(value / g.scale), -g.zero, levels - g.zero);
  }

  Group find(const std::vector<double>& values, const std::vector<double>& importance) const {
    const double low = std::min(0.0, *std::min_element(values.begin(), values.end()));
    const double high = std::max(0.0, *std::max_element(values.begin(), values.end()));
    const double half = (levels + 1.0) / 2.0, range = symmetric ? 2.0 * std::max(-low, high) : high - low;
    Group best{1.0, half};
    if (range == 0.0) return best;
    const double whole = range / levels;
    double least = kUnknown, second = kUnknown;
    auto consider = [&](double scale, double zero) {
      Group candidate{round_to(dtype, scale), zero};
      if (!(candidate.scale > 0.0)) candidate.scale = 0x1p-24;
      double error = 0.0;
      for (size_t i = 0; i < values.size(); i++) {
        if (near_tie(values[i] / candidate.scale)) candidate.tie = true;
        error += importance[i] * std::pow(values[i] - step(values[i], candidate) * candidate.scale, 2.0);
      }
      if (error < least) second = least, least = error, best = candidate;
      else if (candidate.scale != best.scale) second = std::min(second, error);
    };
    double zero = half;
    bool tie = false;
    if (!symmetric) zero = std::clamp(nearest(-low / whole), 0.0, levels), tie = near_tie(-low / whole);
    for (int i = 0; i < shares; i++) consider(whole * (1.0 - 0.02 * i), zero);
    for (int r = 0; r < refits; r++) {
      double products = 0.0, squares = 0.0;
      for (size_t i = 0; i < values.size(); i++) {
        const double code = step(values[i], best);
        products += importance[i] * code * values[i], squares += importance[i] * code * code;
      }
      tie = tie || best.tie;
      consider(products > 0.0 && squares > 0.0 ? products / squares : best.scale, best.zero);
    }
    // A scale that lies between two numbers of a short type may be rounded to either.
    best.tie = tie || second - least <= kTie * second || (refits > 0 && dtype != LF_F32);
    return best;
  }

  double levels;
  int64_t group;
  bool symmetric;
  int shares, refits;
  lf_dtype dtype;
};

}  // namespace

void reference_quantize_groups(const Params& p, Array* o) {
  const Grid grid(p);
  const int64_t n = o[0].rows(), k = o[0].columns(), groups = k / grid.group;
  for (int64_t row = 0; row < n; row++) {
    for (int64_t g = 0; g < groups; g++) {
      std::vector<double> values, importance;
      for (int64_t i = g * grid.group; i < (g + 1) * grid.group; i++) {
        values.push_back(o[0].at(row * k + i));
        importance.push_back(o[1].present ? o[1].at(i) : 1.0);
      }
      const Group own = grid.find(values, importance);
      o[3].set(row * groups + g, own.scale, own.tie ? kUnknown : kSums * own.scale);
      o[4].set(row * groups + g, own.zero, own.tie ? kUnknown : own.zero);
      for (int64_t i = 0; i < grid.group; i++) {
        const double value = values[static_cast<size_t>(i)], step = grid.step(value, own);
        const int64_t at = row * k + g * grid.group + i;
        const bool open = own.tie || near_tie(value / own.scale);
        // One code is no rounding error: what is not open must be exact.
        o[2].set(at, step + own.zero, open ? kUnknown : 0.0);
        o[5].set(at, step * own.scale, open ? kUnknown : kSums * std::fabs(step * own.scale));
      }
    }
  }
}

void reference_quantize_block(const Params& p, Array* o) {
  const Grid grid(p);
  const Array &w = o[0], &carried = o[1], &upper = o[2], &columns = o[3];
  Array &scales = o[4], &zeros = o[5];
  const int64_t n = w.rows(), width = w.columns(), groups = scales.columns();
  auto u = [&](int64_t i, int64_t j) { return upper.at(i * width + j); };
  for (int64_t row = 0; row < n; row++) {
    std::vector<double> errors(static_cast<size_t>(width), 0.0);
    auto target = [&](int64_t j, int64_t to) {
      double sum = carried.present ? carried.at(row * width + j) : 0.0;
      for (int64_t i = 0; i < to; i++) sum += errors[static_cast<size_t>(i)] * u(i, j);
      return w.at(row * width + j) + sum / u(j, j);
    };
    // Once a code may go either way, so may all that follow it.
    bool open = false;
    Group own;
    for (int64_t j = 0; j < width; j++) {
      if (columns.present) {
        const int64_t at = row * groups + columns.whole(j);
        own = {scales.at(at), zeros.at(at)};
        scales.set(at, own.scale, own.scale);
        zeros.set(at, own.zero, own.zero);
      } else if (j % grid.group == 0) {
        std::vector<double> ahead, importance;
        for (int64_t m = j; m < j + grid.group; m++) {
          ahead.push_back(target(m, m));
          errors[static_cast<size_t>(m)] = w.at(row * width + m) - ahead.back();
          importance.push_back(u(m, m) * u(m, m));
        }
        own = grid.find(ahead, importance);
        open = open || own.tie;
        scales.set(row * groups + j / grid.group, own.scale, open ? kUnknown : kSums * own.scale);
        zeros.set(row * groups + j / grid.group, own.zero, open ? kUnknown : own.zero);
      }
      const double wanted = target(j, j), step = grid.step(wanted, own), value = step * own.scale;
      open = open || near_tie(wanted / own.scale);
      const double error = w.at(row * width + j) - value;
      errors[static_cast<size_t>(j)] = error;
      o[6].set(row * width + j, step + own.zero, open ? kUnknown : 0.0);
      o[7].set(row * width + j, error, open ? kUnknown : kSums * (std::fabs(error) + std::fabs(value)));
    }
  }
}

void reference_quantize_sweep(const Params& p, Array* o) {
  const Grid grid(p);
  const Array &w = o[0], &slopes = o[1], &square = o[2], &zeros = o[4];
  Array &scales = o[3], &codes = o[5], &errors = o[6];
  const int64_t n = w.rows(), width = w.columns(), groups = width / grid.group;
  auto h = [&](int64_t i, int64_t j) { return square.at(i * width + j); };
  for (int64_t row = 0; row < n; row++) {
    std::vector<double> slope;
    for (int64_t j = 0; j < width; j++) slope.push_back(slopes.at(row * width + j));
    auto change = [&](int64_t column, double by) {
      errors.at(row * width + column) += by;
      for (int64_t j = 0; j < width; j++) slope[static_cast<size_t>(j)] += by * h(column, j);
    };
    bool open = false;
    for (int64_t g = 0; g < groups; g++) {
      const int64_t first = g * grid.group, last = first + grid.group, at = row * groups + g;
      Group own{scales.at(at), zeros.at(at)};
      double products = 0.0, squares = 0.0, size = 0.0;
      auto step = [&](int64_t j) { return codes.at(row * width + j) - own.zero; };
      for (int64_t j = first; j < last; j++) {
        products += step(j) * slope[static_cast<size_t>(j)];
        size += std::fabs(step(j) * slope[static_cast<size_t>(j)]);
        for (int64_t i = first; i < last; i++) squares += step(i) * h(i, j) * step(j);
      }
      const double wanted = own.scale + (squares > 0.0 ? products / squares : 0.0);
      const double candidate = round_to(grid.dtype, wanted > 0.0 ? wanted : own.scale), by = candidate - own.scale;
      const double gain = by * (by * squares - 2.0 * products);
      // Beside a scale of a short type, whether the change pays may hang on its rounding, and so may the scale itself.
      open = open || grid.dtype != LF_F32 || std::fabs(gain) <= 1e-4 * (by * by * std::fabs(squares) + std::fabs(by) * size) || wanted < 1e-3;
      if (gain < 0.0) {
        for (int64_t j = first; j < last; j++) change(j, -step(j) * by);
        own.scale = candidate;
      }
      scales.set(at, own.scale, open ? kUnknown : kSums * (own.scale + size / std::max(std::fabs(squares), 1e-30)));
      for (int64_t j = first; j < last; j++) {
        const int64_t place = row * width + j;
        const double target = w.at(place) - errors.at(place) + slope[static_cast<size_t>(j)] / h(j, j);
        open = open || near_tie(target / own.scale);
        const double code = grid.step(target, own), next = w.at(place) - code * own.scale;
        change(j, next - errors.at(place));
        codes.set(place, code + own.zero, open ? kUnknown : 0.0);
        errors.set(place, next, open ? kUnknown : 4096.0 * (std::fabs(next) + std::fabs(code * own.scale)));
      }
    }
  }
}

void reference_encode_blocks(const Params&, Array* o) {
  // Which scales are best is not said; that no number is far from what it encodes is.
  const int64_t block = o[2].dtype >= LF_Q4_K ? 256 : 32;
  const double share = o[2].dtype == LF_Q8_0 ? 0.005 : o[2].dtype == LF_Q6_K ? 0.05 : o[2].dtype == LF_Q4_0 || o[2].dtype == LF_Q4_1 || o[2].dtype == LF_Q4_K ? 0.25 : 0.12;
  for (int64_t at = 0; at < o[0].elements(); at += block) {
    double most = 0.0;
    for (int64_t i = at; i < at + block; i++) most = std::max(most, std::fabs(o[0].at(i)));
    for (int64_t i = at; i < at + block; i++) o[2].set(i, o[0].at(i), share * most / kEpsilon);
  }
}

}  // namespace conformance
