// CLIP_SCALE, the optimisers, and the codes of frozen weights.
#include <algorithm>
#include <cmath>

#include "reference.h"

namespace conformance {

void reference_clip_scale(const Params& p, Array* o) {
  const double norm = p.f(1) * std::sqrt(o[0].at(0));
  o[1].at(0) = norm;
  o[1].at(1) = p.f(0) > 0.0 ? p.f(1) * std::min(1.0, p.f(0) / (norm + 1e-6)) : p.f(1);
}

void reference_adamw(const Params& p, Array* o) {
  const double lr = p.f(0), beta1 = p.f(1), beta2 = p.f(2), eps = p.f(3), decay = p.f(4), bc1 = p.f(5), bc2 = p.f(6);
  const double scale = o[4].present ? o[4].at(1) : 1.0;
  for (int64_t i = 0; i < o[0].elements(); i++) {
    const double g = o[1].at(i) * scale, old_m = o[2].at(i), old_v = o[3].at(i), param = o[0].at(i);
    const double m = beta1 * old_m + (1.0 - beta1) * g, m_size = std::fabs(beta1 * old_m) + std::fabs((1.0 - beta1) * g);
    const double v = beta2 * old_v + (1.0 - beta2) * g * g;
    const double step = lr / bc1 / (std::sqrt(v) / std::sqrt(bc2) + eps);
    const double updated = param * (1.0 - lr * decay) - step * m;
    o[2].set(i, m, m_size);
    o[3].set(i, v, v);
    o[0].set(i, updated, std::fabs(param) + 2.0 * step * m_size);
    o[5].set(i, updated, std::fabs(param) + 2.0 * step * m_size);
  }
}

void reference_lion(const Params& p, Array* o) {
  const double lr = p.f(0), beta1 = p.f(1), beta2 = p.f(2), decay = p.f(3), scale = o[3].present ? o[3].at(1) : 1.0;
  for (int64_t i = 0; i < o[0].elements(); i++) {
    const double g = o[1].at(i) * scale, m = o[2].at(i), param = o[0].at(i);
    const double direction = beta1 * m + (1.0 - beta1) * g, size = std::fabs(beta1 * m) + std::fabs((1.0 - beta1) * g);
    const double updated = param * (1.0 - lr * decay) - lr * (direction > 0.0 ? 1.0 : direction < 0.0 ? -1.0 : 0.0);
    // Next to 0 rounding decides the sign.
    const double magnitude = std::fabs(direction) <= kEpsilon * size ? INFINITY : std::fabs(param) + lr;
    o[2].set(i, beta2 * m + (1.0 - beta2) * g, std::fabs(beta2 * m) + std::fabs((1.0 - beta2) * g));
    o[0].set(i, updated, magnitude);
    o[4].set(i, updated, magnitude);
  }
}

namespace {

// The new moment's code: that of the nearest value of the map. Where rounding may decide, the code is not determined.
void encode(const std::vector<double>& moments, const std::vector<double>& sizes, const Array& map, Array& codes,
            Array& absmax) {
  const int64_t n = static_cast<int64_t>(moments.size());
  for (int64_t start = 0, block = 0; start < n; start += 256, block++) {
    const int64_t end = std::min(n, start + 256);
    double largest = 0.0, size = 0.0;
    for (int64_t i = start; i < end; i++) {
      largest = std::max(largest, std::fabs(moments[static_cast<size_t>(i)]));
      size = std::max(size, sizes[static_cast<size_t>(i)]);
    }
    absmax.set(block, largest, size);
    for (int64_t i = start; i < end; i++) {
      const double x = moments[static_cast<size_t>(i)] / (largest > 0.0 ? largest : 1.0);
      int64_t code = 0;
      bool tie = false;
      for (int64_t k = 0; k < 255; k++) {
        const double middle = (map.at(k) + map.at(k + 1)) / 2.0;
        code += middle < x ? 1 : 0;
        tie = tie || std::fabs(middle - x) <= 4.0 * kEpsilon * (1.0 + (largest > 0.0 ? size / largest : 0.0));
      }
      codes.set(i, static_cast<double>(code), tie ? INFINITY : 0.0);
    }
  }
}

}  // namespace

void reference_adamw_8bit(const Params& p, Array* o) {
  const double lr = p.f(0), beta1 = p.f(1), beta2 = p.f(2), eps = p.f(3), decay = p.f(4), bc1 = p.f(5), bc2 = p.f(6);
  const double scale = o[8].present ? o[8].at(1) : 1.0;
  const size_t n = o[0].value.size();
  std::vector<double> m(n), m_size(n), v(n);
  for (int64_t i = 0; i < o[0].elements(); i++) {
    const size_t at = static_cast<size_t>(i);
    const double g = o[1].at(i) * scale, param = o[0].at(i);
    const double old_m = o[6].at(o[2].whole(i)) * o[4].at(i / 256), old_v = o[7].at(o[3].whole(i)) * o[5].at(i / 256);
    m[at] = beta1 * old_m + (1.0 - beta1) * g;
    m_size[at] = std::fabs(beta1 * old_m) + std::fabs((1.0 - beta1) * g);
    v[at] = beta2 * old_v + (1.0 - beta2) * g * g;
    const double step = lr / bc1 / (std::sqrt(v[at]) / std::sqrt(bc2) + eps);
    const double updated = param * (1.0 - lr * decay) - step * m[at];
    o[0].set(i, updated, std::fabs(param) + 2.0 * step * m_size[at]);
    o[9].set(i, updated, std::fabs(param) + 2.0 * step * m_size[at]);
  }
  encode(m, m_size, o[6], o[2], o[4]);
  encode(v, v, o[7], o[3], o[5]);
}

void reference_adafactor(const Params& p, Array* o) {
  const double lr = p.f(0), beta2 = p.f(1), eps = p.f(2), threshold = p.f(3), decay = p.f(4);
  const double scale = o[4].present ? o[4].at(1) : 1.0;
  const bool factored = o[3].present;
  const int64_t n = o[0].elements(), columns = factored ? o[0].extent(1) : n, rows = n / columns;
  std::vector<double> update(static_cast<size_t>(n)), row_sum(static_cast<size_t>(rows)), column_sum(static_cast<size_t>(columns));
  auto square = [&](int64_t i) { return std::pow(o[1].at(i) * scale, 2.0) + eps; };
  if (factored) {
    for (int64_t i = 0; i < n; i++) {
      row_sum[static_cast<size_t>(i / columns)] += square(i);
      column_sum[static_cast<size_t>(i % columns)] += square(i);
    }
    double mean = 0.0;
    for (int64_t r = 0; r < rows; r++) {
      const double value = beta2 * o[2].at(r) + (1.0 - beta2) * row_sum[static_cast<size_t>(r)] / static_cast<double>(columns);
      o[2].set(r, value, value);
      mean += value / static_cast<double>(rows);
    }
    for (int64_t c = 0; c < columns; c++) {
      const double value = beta2 * o[3].at(c) + (1.0 - beta2) * column_sum[static_cast<size_t>(c)] / static_cast<double>(rows);
      o[3].set(c, value, value);
    }
    for (int64_t i = 0; i < n; i++)
      update[static_cast<size_t>(i)] = o[1].at(i) * scale / std::sqrt(o[2].at(i / columns) / mean) / std::sqrt(o[3].at(i % columns));
  } else {
    for (int64_t i = 0; i < n; i++) {
      const double value = beta2 * o[2].at(i) + (1.0 - beta2) * square(i);
      o[2].set(i, value, value);
      update[static_cast<size_t>(i)] = o[1].at(i) * scale / std::sqrt(value);
    }
  }
  double sum = 0.0;
  for (double u : update) sum += u * u;
  const double clip = std::max(1.0, std::sqrt(sum / static_cast<double>(n)) / threshold);
  for (int64_t i = 0; i < n; i++) {
    const double param = o[0].at(i), step = lr * update[static_cast<size_t>(i)] / clip;
    const double size = std::fabs(param) + 4.0 * std::fabs(step);
    o[0].set(i, param * (1.0 - lr * decay) - step, size);
    o[5].set(i, param * (1.0 - lr * decay) - step, size);
  }
}

void reference_dequantize(const Params& p, Array* o) {
  const int64_t columns = o[5].extent(1), n = o[5].elements(), block = p.u(1), nested = p.u(2);
  for (int64_t i = 0; i < n; i++) {
    int64_t code = p.u(0) == 8 ? o[0].whole(i) : o[0].whole(i / 2);
    if (p.u(0) == 4) code = i % 2 ? code % 16 : code / 16;
    if (o[2].present) {
      const int64_t b = i / block;
      double scale = o[1].at(b), size = std::fabs(scale);
      if (o[6].present) {
        const double term = o[6].at(o[1].whole(b)) * o[7].at(b / nested);
        scale = term + p.f(3);
        size = std::fabs(term) + std::fabs(p.f(3));
      }
      o[5].set(i, o[2].at(code) * scale, std::fabs(o[2].at(code)) * size);
    } else {
      const int64_t r = i / columns, c = i % columns, groups = o[1].extent(1);
      const int64_t at = r * groups + (o[4].present ? o[4].whole(c) : c / (columns / groups));
      const double value = (static_cast<double>(code) - o[3].at(at)) * o[1].at(at);
      o[5].set(i, value, std::fabs(value));
    }
  }
}

void reference_quantize_table(const Params& p, Array* o) {
  const int64_t n = o[0].elements(), block = p.u(0);
  std::vector<int64_t> codes(static_cast<size_t>(n + 1), 0);
  std::vector<bool> ties(static_cast<size_t>(n + 1), false);
  for (int64_t start = 0, b = 0; start < n; start += block, b++) {
    const int64_t end = std::min(n, start + block);
    double largest = 0.0;
    for (int64_t i = start; i < end; i++) largest = std::max(largest, std::fabs(o[0].at(i)));
    o[3].set(b, largest, largest);
    // An odd number of elements leaves half a byte: the code of 0.
    for (int64_t i = start; i < end + (end == n && n % 2); i++) {
      const double x = i < end ? o[0].at(i) / (largest > 0.0 ? largest : 1.0) : 0.0;
      for (int64_t k = 0; k < 15; k++) {
        const double middle = (o[1].at(k) + o[1].at(k + 1)) / 2.0;
        codes[static_cast<size_t>(i)] += middle < x ? 1 : 0;
        if (std::fabs(middle - x) <= 2.0 * kEpsilon) ties[static_cast<size_t>(i)] = true;
      }
    }
  }
  for (int64_t i = 0; i < o[2].elements(); i++) {
    const size_t first = static_cast<size_t>(2 * i), second = first + 1;
    o[2].set(i, static_cast<double>(16 * codes[first] + codes[second]), ties[first] || ties[second] ? INFINITY : 0.0);
  }
}

}  // namespace conformance
