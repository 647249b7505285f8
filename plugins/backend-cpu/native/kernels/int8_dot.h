// Dot products of four unsigned bytes with four signed ones, lane by lane; exact at every level.
#pragma once
#include "simd.h"

namespace lf_cpu {
namespace LF_ISA {

// acc + the dot products of the bytes of `codes`, below 2^kBits, with the four bytes of `x`, -127 to 127.
template <int kBits>
LF_INLINE i32v dot4(i32v acc, u32v codes, uint32_t x) {
#if LF_ISA_LEVEL >= 3
  return (i32v)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)codes, _mm512_set1_epi32(int(x)));
#elif LF_ISA_LEVEL == 2
  const __m512i bytes = _mm512_set1_epi32(int(x)), ones = _mm512_set1_epi16(1);
  if constexpr (kBits < 8) {
    const __m512i pairs = _mm512_maddubs_epi16((__m512i)codes, bytes);
    return acc + (i32v)_mm512_madd_epi16(pairs, ones);
  }
  // Pairs of whole bytes would not fit in 16 bits: the top bit goes separately.
  const __m512i low = _mm512_maddubs_epi16((__m512i)(codes & 0x7f7f7f7fu), bytes);
  const __m512i top = _mm512_maddubs_epi16((__m512i)(codes >> 7 & 0x01010101u), bytes);
  acc += (i32v)_mm512_madd_epi16(low, ones);
  return acc + (i32v)_mm512_madd_epi16(top, _mm512_set1_epi16(128));
#elif LF_ISA_LEVEL == 1
  const __m256i bytes = _mm256_set1_epi32(int(x)), ones = _mm256_set1_epi16(1);
  if constexpr (kBits < 8) {
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)codes, bytes);
    return acc + (i32v)_mm256_madd_epi16(pairs, ones);
  }
  const __m256i low = _mm256_maddubs_epi16((__m256i)(codes & 0x7f7f7f7fu), bytes);
  const __m256i top = _mm256_maddubs_epi16((__m256i)(codes >> 7 & 0x01010101u), bytes);
  acc += (i32v)_mm256_madd_epi16(low, ones);
  return acc + (i32v)_mm256_madd_epi16(top, _mm256_set1_epi16(128));
#elif defined(__SSE2__)
  const __m128i bytes = _mm_set1_epi32(int(x)), mask = _mm_set1_epi16(255);
  const __m128i even = _mm_madd_epi16(_mm_and_si128((__m128i)codes, mask), _mm_srai_epi16(_mm_slli_epi16(bytes, 8), 8));
  const __m128i odd = _mm_madd_epi16(_mm_srli_epi16((__m128i)codes, 8), _mm_srai_epi16(bytes, 8));
  return acc + (i32v)even + (i32v)odd;
#else
  for (int b = 0; b < 4; b++) acc += (i32v)(codes >> 8 * b & 255u) * int32_t(int8_t(x >> 8 * b));
  return acc;
#endif
}

}  // namespace LF_ISA
}  // namespace lf_cpu
