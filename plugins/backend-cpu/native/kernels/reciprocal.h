// 1 / x without the division, which takes as long as an exponential where vectors are wide.
#pragma once
#include "simd.h"

namespace lf_cpu {
namespace LF_ISA {

// Within two units in the last place for x from 2^-125 on.
LF_INLINE f32v reciprocal(f32v x) {
#if LF_ISA_LEVEL >= 2
  // Estimates of less than 2^-126 are zero, and infinity has no use for the step that follows.
  if (_mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(0x1p125f), _CMP_GT_OQ)) return 1.0f / x;
  // An estimate of 14 bits and one step of Newton's.
  const f32v r = (f32v)_mm512_rcp14_ps((__m512)x);
  return fma(fnma(x, r, broadcast(1.0f)), r, r);
#else
  return 1.0f / x;
#endif
}

// 1 / (1 + e^-x).
LF_INLINE f32v logistic(f32v x) { return reciprocal(1.0f + exp(-x)); }

}  // namespace LF_ISA
}  // namespace lf_cpu
