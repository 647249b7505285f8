// Keys and values in 8 bits: the codes of one position and head share a scale, an element is scale * code.
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

struct code8 {
  int8_t value;
};

LF_INLINE float widen(code8 x) { return float(x.value); }
LF_INLINE f32v load(const code8* p) {
#if LF_ISA_LEVEL >= 2
  return (f32v)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif LF_ISA_LEVEL == 1
  return (f32v)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  i32v codes;
  for (int i = 0; i < kLanes; i++) codes[i] = p[i].value;
  return to_f32(codes);
#endif
}
LF_INLINE f32v load_n(const code8* p, int64_t n) {
  code8 codes[kLanes] = {};
  __builtin_memcpy(codes, p, n);
  return load(codes);
}

// Rounds n floats to codes and returns their scale: largest / 127 in magnitude, codes to the nearest, ties to even. Vectors
// whose largest magnitude is below 2^-100 are zero; what is not finite makes the scale NaN.
LF_INLINE float encode_codes(const float* values, int64_t n, code8* codes) {
  f32v largest{}, taint{};
  for_lanes(n, [&](int64_t i, int64_t lanes) {
    const f32v v = load_lanes(values + i, lanes);
    largest = max(largest, abs(v));
    taint += v * 0.0f;
  });
  const float most = max_lane(largest), nan = sum(taint);
  const bool zero = !(most >= 0x1p-100f);
  const float inverse = zero || nan != nan ? 0.0f : 127.0f / most;
  for_lanes(n, [&](int64_t i, int64_t lanes) {
    // Infinity times zero is no number; the scale says so.
    const f32v v = nan != nan ? f32v{} : load_lanes(values + i, lanes);
    typedef int8_t i8v __attribute__((vector_size(kLanes)));
    const i8v bytes = __builtin_convertvector(truncate_i32(round_even(v * inverse)), i8v);
    __builtin_memcpy(codes + i, &bytes, lanes);
  });
  return zero ? nan : most / 127.0f + nan;
}

// Writes n elements, scale * code, rounded to T.
template <typename T>
LF_INLINE void decode_codes(const code8* codes, int64_t n, float scale, T* dst) {
  for_lanes(n, [&](int64_t i, int64_t lanes) { store_lanes(dst + i, load_lanes(codes + i, lanes) * scale, lanes); });
}

// Calls f with a value of the C++ type of a cache's elements.
template <typename F>
LF_INLINE void with_cached(lf_dtype dtype, F&& f) {
  if (dtype == LF_I8) f(code8{});
  else with_float(dtype, f);
}

}  // namespace LF_ISA
}  // namespace lf_cpu
