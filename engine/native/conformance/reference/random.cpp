// RANDOM and DROPOUT.
#include <cmath>

#include "reference.h"

namespace conformance {

PhiloxBlock philox(uint32_t seed_lo, uint32_t seed_hi, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    const uint32_t next[4] = {static_cast<uint32_t>(p1 >> 32) ^ c1 ^ seed_lo, static_cast<uint32_t>(p1),
                              static_cast<uint32_t>(p0 >> 32) ^ c3 ^ seed_hi, static_cast<uint32_t>(p0)};
    c0 = next[0], c1 = next[1], c2 = next[2], c3 = next[3];
    seed_lo += 0x9E3779B9u;
    seed_hi += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// The uniform number of element i: the high 24 bits of its word, over 2^24.
static double uniform_of(uint32_t seed_lo, uint32_t seed_hi, uint32_t stream, uint64_t i) {
  const uint64_t block = i / 4;
  const uint32_t high = static_cast<uint32_t>(block >> 32);
  return (philox(seed_lo, seed_hi, static_cast<uint32_t>(block), high, stream, 0).word[i % 4] >> 8) * 0x1p-24;
}

void reference_random(const Params& p, Array* o) {
  const double a = p.f(1), b = p.f(2);
  for (int64_t i = 0; i < o[0].elements(); i++) {
    const uint64_t index = static_cast<uint64_t>(i);
    double value, magnitude;
    if (p.u(0) == LF_NORMAL) {
      // Elements 2j and 2j + 1 are the cosine and the sine of one pair.
      const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform_of(p.u(3), p.u(4), p.u(5), index & ~uint64_t{1})));
      const double angle = 6.283185307179586477 * uniform_of(p.u(3), p.u(4), p.u(5), index | 1);
      value = a + b * radius * (i % 2 ? std::sin(angle) : std::cos(angle));
      magnitude = std::fabs(a) + std::fabs(b) * radius;
    } else {
      value = a + (b - a) * uniform_of(p.u(3), p.u(4), p.u(5), index);
      magnitude = std::fabs(a) + std::fabs(b);
    }
    const double old = p.u(6) ? o[0].at(i) : 0.0;
    o[0].set(i, old + value, magnitude + std::fabs(old));
  }
}

void reference_dropout(const Params& p, Array* o) {
  for (int64_t i = 0; i < o[1].elements(); i++) {
    const double u = uniform_of(p.u(1), p.u(2), p.u(3), static_cast<uint64_t>(i));
    o[1].at(i) = u >= p.f(0) ? o[0].at(i) / (1.0 - p.f(0)) : 0.0;
  }
}

}  // namespace conformance
