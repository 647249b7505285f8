// Vectors of f32 for the ISA level that a source is compiled for, on GCC/clang vector extensions.
//
// `f32v` holds kLanes floats: 16 at avx512 levels, 8 at avx2, 4 otherwise. Everything is `static inline` in the level's
// namespace: no function that holds AVX-512 code may be merged by the linker with the one of a lower level. For the same
// reason kernels use no standard-library templates that might be emitted out of line.
// Sums over lanes are in a fixed tree order. `fma` is one rounding where the level has FMA, two at the portable level.
#pragma once
#include <cstdint>

#ifndef LF_ISA
#error "LF_ISA (the namespace of the ISA level) must be defined"
#endif
#if LF_ISA_LEVEL >= 1
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of the deliberately undefined sources inside its own AVX-512 header (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#define LF_INLINE static inline __attribute__((always_inline))

namespace lf_cpu {
namespace LF_ISA {

#if LF_ISA_LEVEL >= 2
constexpr int kLanes = 16;
#elif LF_ISA_LEVEL == 1
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float f32v __attribute__((vector_size(kLanes * 4)));
typedef int32_t i32v __attribute__((vector_size(kLanes * 4)));
typedef uint32_t u32v __attribute__((vector_size(kLanes * 4)));
typedef uint16_t u16v __attribute__((vector_size(kLanes * 2)));  // kLanes 16-bit values
typedef double f64v __attribute__((vector_size(kLanes * 4)));    // kLanes / 2 doubles: one register

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

// ------------------------------------------------------------------------------------------------ reinterpretation --

LF_INLINE u32v as_u32(f32v v) { return (u32v)v; }
LF_INLINE i32v as_i32(f32v v) { return (i32v)v; }
LF_INLINE f32v as_f32(u32v v) { return (f32v)v; }
LF_INLINE f32v as_f32(i32v v) { return (f32v)v; }
LF_INLINE uint32_t bits_of(float f) {
  uint32_t u;
  __builtin_memcpy(&u, &f, 4);
  return u;
}
LF_INLINE float float_of(uint32_t u) {
  float f;
  __builtin_memcpy(&f, &u, 4);
  return f;
}

// Minus 0, which leaves every x as it is; plus 0 would have to be added, because of -0.
LF_INLINE f32v broadcast(float x) { return x - f32v{}; }
LF_INLINE i32v broadcast_i32(int32_t x) { return i32v{} + x; }
LF_INLINE u32v broadcast_u32(uint32_t x) { return u32v{} + x; }
LF_INLINE i32v lane_index() {
  i32v v;
  for (int i = 0; i < kLanes; i++) v[i] = i;
  return v;
}
LF_INLINE f32v to_f32(i32v v) { return __builtin_convertvector(v, f32v); }
LF_INLINE i32v truncate_i32(f32v v) { return __builtin_convertvector(v, i32v); }

// Lanes of `a` where the mask (all ones or zero per lane, as comparisons give) is set, of `b` elsewhere.
LF_INLINE f32v select(i32v mask, f32v a, f32v b) { return mask ? a : b; }
LF_INLINE i32v select(i32v mask, i32v a, i32v b) { return mask ? a : b; }

// ------------------------------------------------------------------------------------------------------ arithmetic --

#if LF_ISA_LEVEL >= 2
LF_INLINE f32v fma(f32v a, f32v b, f32v c) { return (f32v)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
LF_INLINE f32v max(f32v a, f32v b) { return (f32v)_mm512_max_ps((__m512)a, (__m512)b); }
LF_INLINE f32v min(f32v a, f32v b) { return (f32v)_mm512_min_ps((__m512)a, (__m512)b); }
LF_INLINE f32v sqrt(f32v a) { return (f32v)_mm512_sqrt_ps((__m512)a); }
LF_INLINE f32v round_even(f32v a) { return (f32v)_mm512_roundscale_ps((__m512)a, 8); }
#elif LF_ISA_LEVEL == 1
LF_INLINE f32v fma(f32v a, f32v b, f32v c) { return (f32v)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
LF_INLINE f32v max(f32v a, f32v b) { return (f32v)_mm256_max_ps((__m256)a, (__m256)b); }
LF_INLINE f32v min(f32v a, f32v b) { return (f32v)_mm256_min_ps((__m256)a, (__m256)b); }
LF_INLINE f32v sqrt(f32v a) { return (f32v)_mm256_sqrt_ps((__m256)a); }
LF_INLINE f32v round_even(f32v a) { return (f32v)_mm256_round_ps((__m256)a, 8); }
#else
LF_INLINE f32v fma(f32v a, f32v b, f32v c) { return a * b + c; }
#if defined(__SSE2__)
LF_INLINE f32v max(f32v a, f32v b) { return (f32v)_mm_max_ps((__m128)a, (__m128)b); }
LF_INLINE f32v min(f32v a, f32v b) { return (f32v)_mm_min_ps((__m128)a, (__m128)b); }
LF_INLINE f32v sqrt(f32v a) { return (f32v)_mm_sqrt_ps((__m128)a); }
#else
LF_INLINE f32v max(f32v a, f32v b) { return a > b ? a : b; }
LF_INLINE f32v min(f32v a, f32v b) { return a < b ? a : b; }
LF_INLINE f32v sqrt(f32v a) {
  for (int i = 0; i < kLanes; i++) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
#endif
// For |a| < 2^22, which is all that range reductions need.
LF_INLINE f32v round_even(f32v a) {
  f32v magic = broadcast(12582912.0f);  // 1.5 * 2^23
  return (a + magic) - magic;
}
#endif

// a * b + c of one float, as `fma` of a vector rounds it.
LF_INLINE float fma(float a, float b, float c) {
#if LF_ISA_LEVEL >= 1
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
// c - a * b
LF_INLINE f32v fnma(f32v a, f32v b, f32v c) { return fma(-a, b, c); }
LF_INLINE f32v abs(f32v a) { return as_f32(as_u32(a) & 0x7fffffffu); }
LF_INLINE f32v copy_sign(f32v magnitude, f32v sign) {
  return as_f32((as_u32(magnitude) & 0x7fffffffu) | (as_u32(sign) & 0x80000000u));
}
template <typename T>
LF_INLINE T smaller(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
LF_INLINE T larger(T a, T b) {
  return a > b ? a : b;
}

// Sum and maximum of all lanes: the upper half is joined with the lower until one lane is left.
#if LF_ISA_LEVEL >= 1
LF_INLINE __m128 quarter_sum(__m256 v) { return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)); }
LF_INLINE __m128 quarter_max(__m256 v) { return _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)); }
LF_INLINE float last_sum(__m128 v) {
  v = _mm_add_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)));
}
LF_INLINE float last_max(__m128 v) {
  v = _mm_max_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)));
}
#endif
#if LF_ISA_LEVEL >= 2
LF_INLINE __m256 upper_half(f32v v) { return _mm512_extractf32x8_ps((__m512)v, 1); }
LF_INLINE float sum(f32v v) {
  return last_sum(quarter_sum(_mm256_add_ps(_mm512_castps512_ps256((__m512)v), upper_half(v))));
}
LF_INLINE float max_lane(f32v v) {
  return last_max(quarter_max(_mm256_max_ps(_mm512_castps512_ps256((__m512)v), upper_half(v))));
}
#elif LF_ISA_LEVEL == 1
LF_INLINE float sum(f32v v) { return last_sum(quarter_sum((__m256)v)); }
LF_INLINE float max_lane(f32v v) { return last_max(quarter_max((__m256)v)); }
#else
LF_INLINE float sum(f32v v) { return (v[0] + v[2]) + (v[1] + v[3]); }
LF_INLINE float max_lane(f32v v) {
  const float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
  return a > b ? a : b;
}
#endif
// Sums of four vectors at once, which costs half of four single sums.
LF_INLINE void sum4(const f32v v[4], float out[4]) {
#if LF_ISA_LEVEL >= 2
  const __m512 a = (__m512)v[0], b = (__m512)v[1], c = (__m512)v[2], d = (__m512)v[3];
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const __m512 abcd = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps(abcd, 1));
  _mm_storeu_ps(out, quarter_sum(half));
#elif LF_ISA_LEVEL == 1
  const __m256 ab = _mm256_hadd_ps((__m256)v[0], (__m256)v[1]), cd = _mm256_hadd_ps((__m256)v[2], (__m256)v[3]);
  _mm_storeu_ps(out, quarter_sum(_mm256_hadd_ps(ab, cd)));
#else
  for (int i = 0; i < 4; i++) out[i] = sum(v[i]);
#endif
}
LF_INLINE double sum(f64v v) {
  double x[kLanes / 2];
  __builtin_memcpy(x, &v, sizeof v);
  for (int width = kLanes / 4; width > 0; width /= 2)
    for (int i = 0; i < width; i++) x[i] += x[i + width];
  return x[0];
}

// Half of a vector, in double precision.
typedef float f32_half __attribute__((vector_size(kLanes * 2)));
LF_INLINE f64v low_f64(f32v v) {
  f32_half h;
  __builtin_memcpy(&h, &v, sizeof h);
  return __builtin_convertvector(h, f64v);
}
LF_INLINE f64v high_f64(f32v v) {
  f32_half h;
  __builtin_memcpy(&h, reinterpret_cast<const char*>(&v) + sizeof h, sizeof h);
  return __builtin_convertvector(h, f64v);
}
LF_INLINE f32v join_f32(f64v low, f64v high) {
  f32_half a = __builtin_convertvector(low, f32_half), b = __builtin_convertvector(high, f32_half);
  f32v v;
  __builtin_memcpy(&v, &a, sizeof a);
  __builtin_memcpy(reinterpret_cast<char*>(&v) + sizeof a, &b, sizeof b);
  return v;
}
// ------------------------------------------------------------------------------------------ 16-bit float conversion --

LF_INLINE float widen(float x) { return x; }
LF_INLINE float widen(bf16 x) { return float_of(uint32_t(x.bits) << 16); }
LF_INLINE float widen(f16 x) {
#if LF_ISA_LEVEL >= 1
  return _cvtsh_ss(x.bits);
#else
  uint32_t magnitude = x.bits & 0x7fffu, sign = uint32_t(x.bits & 0x8000u) << 16;
  // The exponent is off by 112; multiplying by 2^112 also normalises subnormals.
  float value = float_of(magnitude << 13) * 0x1p112f;
  uint32_t bits = magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : bits_of(value);
  return float_of(bits | sign);
#endif
}

// Rounds to nearest, ties to even; NaN stays NaN.
template <typename T>
LF_INLINE T narrow(float x);
template <>
inline __attribute__((always_inline)) float narrow<float>(float x) {
  return x;
}
template <>
inline __attribute__((always_inline)) bf16 narrow<bf16>(float x) {
  uint32_t u = bits_of(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return bf16{uint16_t((u >> 16) | 0x40u)};
  return bf16{uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}
template <>
inline __attribute__((always_inline)) f16 narrow<f16>(float x) {
#if LF_ISA_LEVEL >= 1
  return f16{uint16_t(_cvtss_sh(x, 0))};
#else
  uint32_t u = bits_of(x), magnitude = u & 0x7fffffffu, half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // 65520 and above round to infinity
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // below 2^-14: adding 0.5 rounds to a multiple of 2^-24
    half = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  }
  return f16{uint16_t(half | ((u >> 16) & 0x8000u))};
#endif
}

// The lanes as 32-bit integers.
LF_INLINE u32v widen_u16(u16v h) {
#if LF_ISA_LEVEL >= 2
  return (u32v)_mm512_cvtepu16_epi32((__m256i)h);
#elif LF_ISA_LEVEL == 1
  return (u32v)_mm256_cvtepu16_epi32((__m128i)h);
#else
  return __builtin_convertvector(h, u32v);
#endif
}
LF_INLINE f32v widen_bf16(u16v h) { return as_f32(widen_u16(h) << 16); }
LF_INLINE u16v narrow_bf16(f32v v) {
#if LF_ISA_LEVEL >= 3
  return (u16v)_mm512_cvtneps_pbh((__m512)v);
#else
  u32v u = as_u32(v);
  u32v rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  u32v quiet = (u >> 16) | 0x40u;
  u32v nan = (u32v)((u & 0x7fffffffu) > broadcast_u32(0x7f800000u));
  return __builtin_convertvector((nan & quiet) | (~nan & rounded), u16v);
#endif
}
LF_INLINE f32v widen_f16(u16v h) {
#if LF_ISA_LEVEL >= 2
  return (f32v)_mm512_cvtph_ps((__m256i)h);
#elif LF_ISA_LEVEL == 1
  return (f32v)_mm256_cvtph_ps((__m128i)h);
#else
  f32v v;
  for (int i = 0; i < kLanes; i++) v[i] = widen(f16{h[i]});
  return v;
#endif
}
LF_INLINE u16v narrow_f16(f32v v) {
#if LF_ISA_LEVEL >= 2
  return (u16v)_mm512_cvtps_ph((__m512)v, 0);
#elif LF_ISA_LEVEL == 1
  return (u16v)_mm256_cvtps_ph((__m256)v, 0);
#else
  u16v h;
  for (int i = 0; i < kLanes; i++) h[i] = narrow<f16>(v[i]).bits;
  return h;
#endif
}

// -------------------------------------------------------------------------------------------------- load and store --

LF_INLINE f32v load(const float* p) {
  f32v v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
LF_INLINE u16v load_u16(const void* p) {
  u16v v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
LF_INLINE f32v load(const bf16* p) { return widen_bf16(load_u16(p)); }
LF_INLINE f32v load(const f16* p) { return widen_f16(load_u16(p)); }
LF_INLINE void store(float* p, f32v v) { __builtin_memcpy(p, &v, sizeof v); }
LF_INLINE void store(bf16* p, f32v v) {
  u16v h = narrow_bf16(v);
  __builtin_memcpy(p, &h, sizeof h);
}
LF_INLINE void store(f16* p, f32v v) {
  u16v h = narrow_f16(v);
  __builtin_memcpy(p, &h, sizeof h);
}

// The first n lanes, 0 <= n <= kLanes; other lanes are 0 and their memory is not touched.
#if LF_ISA_LEVEL >= 2
LF_INLINE __mmask16 first_lanes(int64_t n) { return __mmask16(n >= 16 ? 0xffffu : (1u << n) - 1u); }
LF_INLINE f32v load_n(const float* p, int64_t n) { return (f32v)_mm512_maskz_loadu_ps(first_lanes(n), p); }
LF_INLINE f32v load_n(const bf16* p, int64_t n) {
  return widen_bf16((u16v)_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
LF_INLINE f32v load_n(const f16* p, int64_t n) {
  return widen_f16((u16v)_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
LF_INLINE void store_n(float* p, f32v v, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), (__m512)v); }
LF_INLINE void store_n(bf16* p, f32v v, int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes(n), (__m256i)narrow_bf16(v));
}
LF_INLINE void store_n(f16* p, f32v v, int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes(n), (__m256i)narrow_f16(v));
}
#else
template <typename T>
LF_INLINE f32v load_n(const T* p, int64_t n) {
  float x[kLanes] = {};
  for (int64_t i = 0; i < n; i++) x[i] = widen(p[i]);
  return load(x);
}
template <typename T>
LF_INLINE void store_n(T* p, f32v v, int64_t n) {
  float x[kLanes];
  store(x, v);
  for (int64_t i = 0; i < n; i++) p[i] = narrow<T>(x[i]);
}
#endif

}  // namespace LF_ISA
}  // namespace lf_cpu

#include "simd_functions.h"
