// The arithmetic of matrix products, in terms of 32-bit words.
//
// Both factors of a product are laid out as words along the contraction: a word holds one f32, or two bf16 that are
// neighbours along K. A micro-kernel then knows nothing of precision: it broadcasts a word of one factor, loads a vector
// of words of the other and multiply-adds. A `Words` type says how elements become words and what one step computes:
//   FloatWords    LF_MATH_F32 at every level
//   RoundedWords  LF_MATH_BF16 where the machine has no bf16 dot product: f32 arithmetic on operands rounded to bf16
//   PairWords     LF_MATH_BF16 with vdpbf16ps
// Every element of a result is one chain of multiply-adds over ascending k, whatever the blocking, so that a row's result
// depends neither on threads nor on the rows that are computed with it.
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

LF_INLINE u32v load_words(const uint32_t* p) {
  u32v v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
LF_INLINE void store_words(uint32_t* p, u32v v) { __builtin_memcpy(p, &v, sizeof v); }

// Each type has, for elements of type T (float, bf16 or f16):
//   along(p)              kLanes words from kLanes * kUnit elements that follow each other along K
//   along_n(p, n)         the same of the first n elements; the rest is zero
//   across(p, stride, n, lanes)  one word for each of `lanes` columns that are neighbours in memory, from the n <= kUnit
//                         elements that lie `stride` apart
//   multiply_add(a, b, acc)  acc + broadcast(a) * b
struct FloatWords {
  static constexpr int kUnit = 1;
  template <typename T>
  LF_INLINE u32v along(const T* p) {
    return as_u32(load(p));
  }
  template <typename T>
  LF_INLINE u32v along_n(const T* p, int64_t n) {
    return as_u32(load_n(p, n));
  }
  template <typename T>
  LF_INLINE u32v across(const T* p, int64_t, int64_t, int64_t lanes) {
    return as_u32(load_lanes(p, lanes));
  }
  LF_INLINE f32v multiply_add(uint32_t a, u32v b, f32v acc) { return fma(as_f32(broadcast_u32(a)), as_f32(b), acc); }
};

struct RoundedWords {
  static constexpr int kUnit = 1;
  LF_INLINE u32v round_to_bf16(f32v v) { return as_u32(widen_bf16(narrow_bf16(v))); }
  template <typename T>
  LF_INLINE u32v along(const T* p) {
    return round_to_bf16(load(p));
  }
  LF_INLINE u32v along(const bf16* p) { return as_u32(load(p)); }
  template <typename T>
  LF_INLINE u32v along_n(const T* p, int64_t n) {
    return round_to_bf16(load_n(p, n));
  }
  template <typename T>
  LF_INLINE u32v across(const T* p, int64_t, int64_t, int64_t lanes) {
    return lanes == kLanes ? along(p) : along_n(p, lanes);
  }
  LF_INLINE f32v multiply_add(uint32_t a, u32v b, f32v acc) { return FloatWords::multiply_add(a, b, acc); }
};

#if LF_ISA_LEVEL >= 3
struct PairWords {
  static constexpr int kUnit = 2;
  LF_INLINE u32v join(f32v first, f32v second) {
    return (u32v)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  }
  template <typename T>
  LF_INLINE u32v along(const T* p) {
    return join(load(p), load(p + kLanes));
  }
  LF_INLINE u32v along(const bf16* p) { return load_words(reinterpret_cast<const uint32_t*>(p)); }
  template <typename T>
  LF_INLINE u32v along_n(const T* p, int64_t n) {
    if (n == kLanes) return join(load(p), f32v{});
    return join(load_n(p, smaller<int64_t>(n, kLanes)), load_n(p + kLanes, larger<int64_t>(n - kLanes, 0)));
  }
  template <typename T>
  LF_INLINE u16v bits(const T* p, int64_t lanes) {
    return narrow_bf16(load_lanes(p, lanes));
  }
  LF_INLINE u16v bits(const bf16* p, int64_t lanes) {
    return lanes == kLanes ? load_u16(p) : (u16v)_mm256_maskz_loadu_epi16(first_lanes(lanes), p);
  }
  template <typename T>
  LF_INLINE u32v across(const T* p, int64_t stride, int64_t n, int64_t lanes) {
    const u32v low = widen_u16(bits(p, lanes));
    return n < 2 ? low : low | widen_u16(bits(p + stride, lanes)) << 16;
  }
  LF_INLINE f32v multiply_add(uint32_t a, u32v b, f32v acc) {
    return (f32v)_mm512_dpbf16_ps((__m512)acc, (__m512bh)broadcast_u32(a), (__m512bh)b);
  }
};
using Bf16Words = PairWords;
#else
using Bf16Words = RoundedWords;
#endif

}  // namespace LF_ISA
}  // namespace lf_cpu
