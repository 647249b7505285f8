// EMBEDDING, EMBEDDING_BACKWARD and GATHER_COLUMNS.
#include <cmath>

#include "reference.h"

namespace conformance {

void reference_embedding(const Params& p, Array* o) {
  const int64_t n = o[1].columns();
  for (int64_t t = 0; t < o[0].elements(); t++) {
    for (int64_t i = 0; i < n; i++) {
      const double value = o[1].at(o[0].whole(t) * n + i) * p.f(0), old = p.u(1) ? o[2].at(t * n + i) : 0.0;
      o[2].set(t * n + i, old + value, std::fabs(old) + std::fabs(value));
    }
  }
}

void reference_embedding_backward(const Params& p, Array* o) {
  const int64_t n = o[2].columns();
  for (int64_t i = 0; i < o[2].elements(); i++) o[2].set(i, o[2].at(i), std::fabs(o[2].at(i)));
  for (int64_t t = 0; t < o[0].elements(); t++) {
    if (o[0].whole(t) < 0) continue;
    for (int64_t i = 0; i < n; i++) {
      const int64_t at = o[0].whole(t) * n + i;
      const double value = o[1].at(t * n + i) * p.f(0);
      o[2].set(at, o[2].at(at) + value, o[2].magnitude[static_cast<size_t>(at)] + std::fabs(value));
    }
  }
}

void reference_gather_columns(const Params&, Array* o) {
  const int64_t k = o[0].columns(), n = o[1].elements();
  for (int64_t i = 0; i < o[2].elements(); i++) {
    const double value = o[0].at(i / n * k + o[1].whole(i % n));
    o[2].set(i, value, std::fabs(value));
  }
}

}  // namespace conformance
