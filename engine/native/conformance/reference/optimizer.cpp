// CLIP_SCALE and ADAMW.
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

}  // namespace conformance
