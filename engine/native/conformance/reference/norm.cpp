// RMS_NORM, LAYER_NORM and their gradients.
#include <cmath>

#include "reference.h"

namespace conformance {
namespace {

struct Moments {
  double mean, mean_size, rstd;  // mean_size: the mean of absolute values
};

Moments moments(const double* h, int64_t n, double eps, bool centred) {
  Moments m{0.0, 0.0, 0.0};
  for (int64_t i = 0; i < n && centred; i++) {
    m.mean += h[i] / static_cast<double>(n);
    m.mean_size += std::fabs(h[i]) / static_cast<double>(n);
  }
  double variance = 0.0;
  for (int64_t i = 0; i < n; i++) variance += (h[i] - m.mean) * (h[i] - m.mean) / static_cast<double>(n);
  m.rstd = 1.0 / std::sqrt(variance + eps);
  return m;
}

// The forward pass of both: the root mean square is taken about 0, the standard deviation about the mean.
void norm(const Array& x, const Array& residual, const Array& weight, const Array& bias, double eps, double weight_offset,
          bool centred, Array& y, Array& sum, Array& mean, Array& rstd) {
  const int64_t n = x.columns();
  for (int64_t r = 0; r < x.rows(); r++) {
    std::vector<double> h(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; i++) h[static_cast<size_t>(i)] = x.at(r * n + i) + (residual.present ? residual.at(r * n + i) : 0.0);
    const Moments m = moments(h.data(), n, eps, centred);
    mean.set(r, m.mean, m.mean_size);
    // Rounding of the inputs to the difference h - mean, when that is small, is what the statistic is made of.
    rstd.set(r, m.rstd, m.rstd * (1.0 + m.mean_size * m.rstd));
    for (int64_t i = 0; i < n; i++) {
      const double v = h[static_cast<size_t>(i)], w = weight.at(i) + weight_offset, b = bias.present ? bias.at(i) : 0.0;
      if (sum.present) sum.set(r * n + i, v, std::fabs(x.at(r * n + i)) + (residual.present ? std::fabs(residual.at(r * n + i)) : 0.0));
      const double scaled = (v - m.mean) * m.rstd;
      const double size = (std::fabs(v) + m.mean_size) * m.rstd * (std::fabs(weight.at(i)) + std::fabs(weight_offset));
      y.set(r * n + i, scaled * w + b, size * (1.0 + m.mean_size * m.rstd) + std::fabs(b));
    }
  }
}

void norm_backward(const Array& dy, const Array& h, const Array& weight, double weight_offset, const Array* mean,
                   const Array& rstd, const Array& dh_in, Array& dx, Array& dweight, Array& dbias) {
  const int64_t n = h.columns();
  for (Array* sums : {&dweight, &dbias}) {
    for (int64_t i = 0; i < n && sums->present; i++) sums->set(i, sums->at(i), std::fabs(sums->at(i)));
  }
  for (int64_t r = 0; r < h.rows(); r++) {
    const double s = rstd.at(r), m = mean ? mean->at(r) : 0.0;
    double along = 0.0, along_size = 0.0, shift = 0.0, shift_size = 0.0;
    for (int64_t i = 0; i < n; i++) {
      const double g = dy.at(r * n + i) * (weight.at(i) + weight_offset), xhat = (h.at(r * n + i) - m) * s;
      along += g * xhat / static_cast<double>(n);
      along_size += std::fabs(g) * (std::fabs(h.at(r * n + i)) + std::fabs(m)) * s / static_cast<double>(n);
      shift += mean ? g / static_cast<double>(n) : 0.0;
      shift_size += mean ? std::fabs(g) / static_cast<double>(n) : 0.0;
    }
    for (int64_t i = 0; i < n; i++) {
      const int64_t at = r * n + i;
      const double d = dy.at(at), w = weight.at(i) + weight_offset, xhat = (h.at(at) - m) * s;
      const double xhat_size = (std::fabs(h.at(at)) + std::fabs(m)) * s, carried = dh_in.present ? dh_in.at(at) : 0.0;
      const double w_size = std::fabs(weight.at(i)) + std::fabs(weight_offset);
      dx.set(at, s * (d * w - shift - xhat * along) + carried,
             s * (std::fabs(d) * w_size + shift_size + xhat_size * along_size) + std::fabs(carried));
      if (dweight.present) dweight.set(i, dweight.at(i) + d * xhat, dweight.magnitude[static_cast<size_t>(i)] + std::fabs(d) * xhat_size);
      if (dbias.present) dbias.set(i, dbias.at(i) + d, dbias.magnitude[static_cast<size_t>(i)] + std::fabs(d));
    }
  }
}

}  // namespace

void reference_rms_norm(const Params& p, Array* o) {
  Array none;
  norm(o[0], o[1], o[2], none, p.f(0), p.f(1), false, o[3], o[4], none, o[5]);
}

void reference_layer_norm(const Params& p, Array* o) {
  norm(o[0], o[1], o[2], o[3], p.f(0), 0.0, true, o[4], o[5], o[6], o[7]);
}

void reference_rms_norm_backward(const Params& p, Array* o) {
  Array none;
  norm_backward(o[0], o[1], o[2], p.f(0), nullptr, o[3], o[4], o[5], o[6], none);
}

void reference_layer_norm_backward(const Params&, Array* o) {
  norm_backward(o[0], o[1], o[2], 0.0, &o[3], o[4], o[5], o[6], o[7], o[8]);
}

}  // namespace conformance
