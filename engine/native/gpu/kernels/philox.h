// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011).
#pragma once
#include "../device/language.h"

namespace lf_gpu {

struct Philox {
  uint32_t word[4];
};

LF_ON_DEVICE Philox philox(uint32_t seed_lo, uint32_t seed_hi, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = uint64_t(0xD2511F53u) * c0, p1 = uint64_t(0xCD9E8D57u) * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ seed_lo;
    c2 = uint32_t(p0 >> 32) ^ c3 ^ seed_hi;
    c1 = uint32_t(p1);
    c3 = uint32_t(p0);
    seed_lo += 0x9E3779B9u;
    seed_hi += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// In [0, 1), of the high 24 bits.
LF_ON_DEVICE float uniform_of(uint32_t word) { return float(word >> 8) * 5.9604644775390625e-8f; }

}  // namespace lf_gpu
