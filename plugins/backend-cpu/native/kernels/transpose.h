// Squares of 32-bit words in registers.
#pragma once
#include "simd.h"

namespace lf_cpu {
namespace LF_ISA {

// Transposes a square of words: word j of t[i] becomes word i of t[j].
LF_INLINE void transpose(u32v (&t)[kLanes]) {
#if LF_ISA_LEVEL >= 2
  __m512i a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32((__m512i)t[i], (__m512i)t[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32((__m512i)t[i], (__m512i)t[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  // 128-bit lane l of b[4 i + c] holds rows 4i .. 4i + 3 of column 4l + c.
  for (int c = 0; c < 4; c++) {
    __m512i even_low = _mm512_shuffle_i32x4(b[c], b[c + 4], 0x88), odd_low = _mm512_shuffle_i32x4(b[c], b[c + 4], 0xdd);
    __m512i even_high = _mm512_shuffle_i32x4(b[c + 8], b[c + 12], 0x88);
    __m512i odd_high = _mm512_shuffle_i32x4(b[c + 8], b[c + 12], 0xdd);
    t[c] = (u32v)_mm512_shuffle_i32x4(even_low, even_high, 0x88);
    t[c + 4] = (u32v)_mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    t[c + 8] = (u32v)_mm512_shuffle_i32x4(even_low, even_high, 0xdd);
    t[c + 12] = (u32v)_mm512_shuffle_i32x4(odd_low, odd_high, 0xdd);
  }
#elif LF_ISA_LEVEL == 1
  __m256i a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_epi32((__m256i)t[i], (__m256i)t[i + 1]);
    a[i + 1] = _mm256_unpackhi_epi32((__m256i)t[i], (__m256i)t[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  for (int c = 0; c < 4; c++) {
    t[c] = (u32v)_mm256_permute2x128_si256(b[c], b[c + 4], 0x20);
    t[c + 4] = (u32v)_mm256_permute2x128_si256(b[c], b[c + 4], 0x31);
  }
#else
  uint32_t x[kLanes][kLanes], y[kLanes][kLanes];
  __builtin_memcpy(x, t, sizeof x);
  for (int i = 0; i < kLanes; i++)
    for (int j = 0; j < kLanes; j++) y[j][i] = x[i][j];
  __builtin_memcpy(t, y, sizeof y);
#endif
}

}  // namespace LF_ISA
}  // namespace lf_cpu
