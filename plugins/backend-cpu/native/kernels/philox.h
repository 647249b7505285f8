// Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
//
// The key is (seed_lo, seed_hi). Element i of an index space uses word i % 4 of the block with the counter
// (low half of i / 4, high half of i / 4, stream, 0).
#pragma once
#include "simd.h"

namespace lf_cpu {
namespace LF_ISA {

struct PhiloxKey {
  uint32_t low, high;
};

// One block of four words.
LF_INLINE void philox_block(PhiloxKey key, uint64_t block, uint32_t stream, uint32_t out[4]) {
  uint32_t c0 = uint32_t(block), c1 = uint32_t(block >> 32), c2 = stream, c3 = 0;
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = uint64_t(0xD2511F53u) * c0, p1 = uint64_t(0xCD9E8D57u) * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ key.low;
    c1 = uint32_t(p1);
    c2 = uint32_t(p0 >> 32) ^ c3 ^ key.high;
    c3 = uint32_t(p0);
    key.low += 0x9E3779B9u;
    key.high += 0xBB67AE85u;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

// High and low halves of the 64-bit products of every lane with a constant.
LF_INLINE void multiply_wide(u32v a, uint32_t constant, u32v& high, u32v& low) {
#if LF_ISA_LEVEL >= 2
  const __m512i m = _mm512_set1_epi32(int(constant)), v = (__m512i)a;
  const __m512i even = _mm512_mul_epu32(v, m), odd = _mm512_mul_epu32(_mm512_srli_epi64(v, 32), m);
  high = (u32v)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
  low = (u32v)_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
#elif LF_ISA_LEVEL == 1
  const __m256i m = _mm256_set1_epi32(int(constant)), v = (__m256i)a;
  const __m256i even = _mm256_mul_epu32(v, m), odd = _mm256_mul_epu32(_mm256_srli_epi64(v, 32), m);
  high = (u32v)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
  low = (u32v)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
#else
  for (int i = 0; i < kLanes; i++) {
    const uint64_t product = uint64_t(a[i]) * constant;
    high[i] = uint32_t(product >> 32);
    low[i] = uint32_t(product);
  }
#endif
}

// kLanes consecutive blocks; out[4 * i + w] is word w of block first + i.
LF_INLINE void philox_blocks(PhiloxKey key, uint64_t first, uint32_t stream, uint32_t out[4 * kLanes]) {
  if (uint32_t(first) > 0xffffffffu - kLanes) {  // a carry between the lanes' counters
    for (int i = 0; i < kLanes; i++) philox_block(key, first + i, stream, out + 4 * i);
    return;
  }
  u32v c0 = (u32v)lane_index() + uint32_t(first), c1 = broadcast_u32(uint32_t(first >> 32)), c2 = broadcast_u32(stream),
       c3 = broadcast_u32(0);
  for (int round = 0; round < 10; round++) {
    u32v high0, low0, high1, low1;
    multiply_wide(c0, 0xD2511F53u, high0, low0);
    multiply_wide(c2, 0xCD9E8D57u, high1, low1);
    c0 = high1 ^ c1 ^ key.low;
    c1 = low1;
    c2 = high0 ^ c3 ^ key.high;
    c3 = low0;
    key.low += 0x9E3779B9u;
    key.high += 0xBB67AE85u;
  }
  for (int i = 0; i < kLanes; i++) {
    out[4 * i] = c0[i];
    out[4 * i + 1] = c1[i];
    out[4 * i + 2] = c2[i];
    out[4 * i + 3] = c3[i];
  }
}

// Uniform in [0, 1) with 24 bits.
LF_INLINE float uniform_of(uint32_t word) { return float(word >> 8) * 0x1p-24f; }
LF_INLINE f32v uniform_of(u32v words) { return to_f32((i32v)(words >> 8)) * 0x1p-24f; }

// Words of elements index .. index + n - 1. `out` has room for n + 2 * 4 * kLanes words; returns where element `index`
// lies in it.
static inline const uint32_t* philox_words(PhiloxKey key, uint32_t stream, uint64_t index, int64_t n, uint32_t* out) {
  const uint64_t first = index / 4;
  const int skip = int(index % 4);
  for (int64_t i = 0; i < n + skip; i += 4 * kLanes) philox_blocks(key, first + uint64_t(i) / 4, stream, out + i);
  return out + skip;
}

}  // namespace LF_ISA
}  // namespace lf_cpu
