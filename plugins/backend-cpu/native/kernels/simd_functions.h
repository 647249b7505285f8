// Elementary functions of vectors of f32. Included by simd.h.
//
// Polynomials are our own minimax fits (weighted for relative error); errors are within a few units in the last place.
#pragma once
#include "simd.h"

namespace lf_cpu {
namespace LF_ISA {

// 2^n * v for integral n in [-300, 300]; overflow gives infinity, underflow rounds through the subnormals.
LF_INLINE f32v scale_by_power_of_two(f32v v, f32v n) {
#if LF_ISA_LEVEL >= 2
  return (f32v)_mm512_scalef_ps((__m512)v, (__m512)n);
#else
  i32v e = truncate_i32(n), half = e >> 1, rest = e - half;  // two factors, since 2^n itself may not be a float
  return v * as_f32((half + 127) << 23) * as_f32((rest + 127) << 23);
#endif
}

constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

LF_INLINE f32v exp(f32v x) {
  // Below -104 the result is 0 and above 89 infinite; the clamp keeps n small. With x as the second operand a NaN stays.
  f32v clamped = max(broadcast(-110.0f), min(broadcast(90.0f), x));
  f32v n = round_even(clamped * kLog2E);
  f32v r = fma(n, broadcast(-0x1.62e400p-1f), clamped);  // ln 2 in two parts; the first has trailing zeros
  r = fma(n, broadcast(-0x1.7f7d1cp-20f), r);
  f32v p = broadcast(0x1.6a23eep-10f);
  p = fma(p, r, broadcast(0x1.123a0cp-7f));
  p = fma(p, r, broadcast(0x1.5558f2p-5f));
  p = fma(p, r, broadcast(0x1.555492p-3f));
  p = fma(p, r, broadcast(0x1.fffffcp-2f));
  p = fma(p, r * r, r) + 1.0f;
  return scale_by_power_of_two(p, n);
}

// 2^x for x <= 127, which costs a third less than exp: sums of exponentials whose logits are kept in units of ln 2.
LF_INLINE f32v exp2(f32v x) {
  f32v clamped = max(broadcast(-150.0f), x);  // 0 from there on; with x as the second operand a NaN stays
  f32v n = round_even(clamped), r = clamped - n;
  f32v p = broadcast(0x1.41fbbcp-13f);
  p = fma(p, r, broadcast(0x1.5f3e54p-10f));
  p = fma(p, r, broadcast(0x1.3b2d4cp-7f));
  p = fma(p, r, broadcast(0x1.c6aee8p-5f));
  p = fma(p, r, broadcast(0x1.ebfbdcp-3f));
  p = fma(p, r, broadcast(0x1.62e430p-1f));
  return scale_by_power_of_two(fma(p, r, broadcast(1.0f)), n);
}

// Natural logarithm: -inf at 0, NaN below it.
LF_INLINE f32v log(f32v x) {
  i32v tiny = x < broadcast(0x1p-126f);
  f32v y = select(tiny, x * 0x1p23f, x);
  i32v bits = as_i32(y);
  // Exponent such that the mantissa lies in [sqrt(1/2), sqrt(2)).
  i32v e = (bits - 0x3f3504f3) >> 23;
  f32v m = as_f32(bits - (e << 23));
  f32v n = to_f32(e) - select(tiny, broadcast(23.0f), broadcast(0.0f));
  f32v f = m - 1.0f, s = f * f;
  f32v p = broadcast(0x1.14581ep-4f);
  p = fma(p, f, broadcast(-0x1.de3d58p-4f));
  p = fma(p, f, broadcast(0x1.e6f0e8p-4f));
  p = fma(p, f, broadcast(-0x1.fc21dep-4f));
  p = fma(p, f, broadcast(0x1.23375ep-3f));
  p = fma(p, f, broadcast(-0x1.555c4ep-3f));
  p = fma(p, f, broadcast(0x1.99a4b6p-3f));
  p = fma(p, f, broadcast(-0x1.000006p-2f));
  p = fma(p, f, broadcast(0x1.555548p-2f));
  f32v r = p * f * s;
  r = fma(n, broadcast(-2.12194440e-4f), r);
  r = fma(s, broadcast(-0.5f), r) + f;
  r = fma(n, broadcast(0.693359375f), r);
  r = select(x == broadcast(__builtin_inff()), x, r);
  r = select(x == broadcast(0.0f), broadcast(-__builtin_inff()), r);
  return select(x >= broadcast(0.0f), r, broadcast(__builtin_nanf("")));
}

LF_INLINE f32v sigmoid(f32v x) { return 1.0f / (1.0f + exp(-x)); }

LF_INLINE f32v tanh(f32v x) {
  f32v a = abs(x), z = x * x;
  f32v p = broadcast(-0x1.76abf6p-8f);
  p = fma(p, z, broadcast(0x1.5256cep-6f));
  p = fma(p, z, broadcast(-0x1.b84448p-5f));
  p = fma(p, z, broadcast(0x1.110768p-3f));
  p = fma(p, z, broadcast(-0x1.555534p-2f));
  f32v small = fma(p * z, x, x);
  f32v large = 1.0f - 2.0f / (exp(a + a) + 1.0f);
  return select(a < broadcast(0.625f), small, copy_sign(large, x));
}

// 1 - erf(a) for a >= 0.925, by a polynomial of its logarithm; 0 from 4 on, where it is below 2e-8.
LF_INLINE f32v erfc_tail(f32v a) {
  f32v t = min(a, broadcast(4.0f));
  f32v q = broadcast(0x1.98d53ep-13f);
  q = fma(q, t, broadcast(-0x1.8da1d4p-9f));
  q = fma(q, t, broadcast(0x1.6b8eacp-6f));
  q = fma(q, t, broadcast(-0x1.a9654ep-4f));
  q = fma(q, t, broadcast(-0x1.4647b2p-1f));
  q = fma(q, t, broadcast(-0x1.20ac30p+0f));
  q = fma(q, t, broadcast(-0x1.b220d8p-13f));
  return select(a < broadcast(4.0f), exp(q), broadcast(0.0f));
}

// erf(x) for |x| < 0.925.
LF_INLINE f32v erf_middle(f32v x) {
  f32v z = x * x;
  f32v p = broadcast(-0x1.395c82p-11f);
  p = fma(p, z, broadcast(0x1.4716c0p-8f));
  p = fma(p, z, broadcast(-0x1.b686ecp-6f));
  p = fma(p, z, broadcast(0x1.ce1a46p-4f));
  p = fma(p, z, broadcast(-0x1.8126e6p-2f));
  p = fma(p, z, broadcast(0x1.06eba6p-3f));
  return fma(p, x, x);
}

LF_INLINE f32v erf(f32v x) {
  f32v a = abs(x);
  f32v r = select(a < broadcast(0.925f), erf_middle(x), copy_sign(1.0f - erfc_tail(a), x));
  return select(x == x, r, x);
}

// x times the normal distribution function of x (Hendrycks & Gimpel 2016), with all digits below 0 too.
LF_INLINE f32v gelu(f32v x) {
  f32v u = x * 0.707106781f, a = abs(u), half = 0.5f * x;
  f32v middle = fma(half, erf_middle(u), half);
  f32v tail = half * erfc_tail(a);
  f32v above = select(a < broadcast(4.0f), x - tail, x);
  f32v r = select(a < broadcast(0.925f), middle, select(x < broadcast(0.0f), tail, above));
  return select(x == x, r, x);
}

// angle - n * pi/2 with n integral, so that the result is in [-pi/4, pi/4]; `quadrant` receives n - 4 * round(n / 4).
LF_INLINE f64v reduce_angle(f64v angle, f64v& quadrant) {
  const double magic = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  f64v n = (angle * 0.63661977236758134308 + magic) - magic;
  quadrant = n - ((n * 0.25 + magic) - magic) * 4.0;
  // pi/2 in two parts, of which the first leaves its product with n exact.
  return (angle - n * 0x1.921fb544p+0) - n * 0x1.0b4611a626331p-34;
}

// sin and cos of kLanes angles in double precision, |angle| < 2^31 radians; results are f32.
LF_INLINE void sincos(f64v angle_low, f64v angle_high, f32v& sine, f32v& cosine) {
  f64v quadrant_low, quadrant_high;
  angle_low = reduce_angle(angle_low, quadrant_low);
  angle_high = reduce_angle(angle_high, quadrant_high);
  f32v x = join_f32(angle_low, angle_high);
  i32v quadrant = truncate_i32(join_f32(quadrant_low, quadrant_high)) & 3;
  f32v z = x * x;
  f32v s = broadcast(-0x1.994e40p-13f);
  s = fma(s, z, broadcast(0x1.110760p-7f));
  s = fma(s, z, broadcast(-0x1.555546p-3f));
  s = fma(s * z, x, x);
  f32v c = broadcast(0x1.9a01f0p-16f);
  c = fma(c, z, broadcast(-0x1.6c0c8ap-10f));
  c = fma(c, z, broadcast(0x1.55554ap-5f));
  c = fma(c * z, z, fma(z, broadcast(-0.5f), broadcast(1.0f)));
  i32v swap = (quadrant & 1) != 0;
  f32v sin_part = select(swap, c, s), cos_part = select(swap, s, c);
  u32v sin_sign = ((u32v)quadrant & 2u) << 30, cos_sign = ((u32v)(quadrant + 1) & 2u) << 30;
  sine = as_f32(as_u32(sin_part) ^ sin_sign);
  cosine = as_f32(as_u32(cos_part) ^ cos_sign);
}

}  // namespace LF_ISA
}  // namespace lf_cpu
