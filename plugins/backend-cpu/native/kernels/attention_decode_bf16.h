// What attention_decode.h does, for queries, keys and values in bf16 on processors that multiply pairs of these: products
// are exact and sums are f32; the weights of values are rounded to bf16, as in the tiles of prompts.
#pragma once
#include "attention_decode.h"

#if LF_ISA_LEVEL >= 3
namespace lf_cpu {
namespace LF_ISA {

constexpr int64_t kHalves = 32;  // elements of a vector

LF_INLINE __m512bh load_halves(const bf16* p, int64_t n) {
  if (n >= kHalves) return (__m512bh)_mm512_loadu_si512(p);
  return (__m512bh)_mm512_maskz_loadu_epi16((1u << n) - 1u, p);
}
LF_INLINE f32v multiply_halves(f32v acc, __m512bh a, __m512bh b) { return (f32v)_mm512_dpbf16_ps((__m512)acc, a, b); }

// scores[r][j] = query[r] . keys[j], as `score_keys`; queries are padded with zeros to `padded` elements, a multiple of
// kHalves.
template <int rows>
LF_INLINE void score_half_keys(const bf16* query, int64_t padded, int64_t n, const bf16* keys, int64_t count, int64_t stride,
                               float* scores) {
  for (int64_t j = 0; j < count; j += 4) {
    const bf16* key[4];  // the last key stands in for those beyond the end
    for (int u = 0; u < 4; u++) key[u] = keys + smaller(j + u, count - 1) * stride;
    prefetch_ahead(key[0], 4 * n * sizeof(bf16));
    f32v acc[rows][4] = {};
    for (int64_t c = 0; c < n; c += kHalves) {
      __m512bh x[4];
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) x[u] = load_halves(key[u] + c, n - c);
#pragma GCC unroll 4
      for (int r = 0; r < rows; r++) {
        const __m512bh q = load_halves(query + r * padded + c, kHalves);
#pragma GCC unroll 4
        for (int u = 0; u < 4; u++) acc[r][u] = multiply_halves(acc[r][u], q, x[u]);
      }
    }
    for (int r = 0; r < rows; r++) sum4(acc[r], scores + r * kRun + j);
  }
}

// Columns of two values side by side come in the order 0-3, 8-11, 16-19, 24-27 and 4-7, 12-15, 20-23, 28-31: that of two
// vectors of sums.
LF_INLINE void interleave_order(f32v low, f32v high, f32v& even, f32v& odd) {
  even = (f32v)_mm512_shuffle_f32x4((__m512)low, (__m512)high, 0x88);
  odd = (f32v)_mm512_shuffle_f32x4((__m512)low, (__m512)high, 0xdd);
}
LF_INLINE void natural_order(f32v even, f32v odd, f32v& low, f32v& high) {
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i second = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  low = (f32v)_mm512_permutex2var_ps((__m512)even, first, (__m512)odd);
  high = (f32v)_mm512_permutex2var_ps((__m512)even, second, (__m512)odd);
}

// out[r] += sum over j of weights[r][j] * values[j] for `vectors` times 32 columns, of which the last vector has `left`;
// `out` has room for all.
template <int rows, int vectors>
LF_INLINE void add_half_columns(const bf16* weights, const bf16* values, int64_t count, int64_t stride, int64_t left,
                                float* const* out) {
  f32v acc[rows][vectors][2];
#pragma GCC unroll 4
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      const float* at = out[r] + v * kHalves;
      interleave_order(load(at), load(at + kLanes), acc[r][v][0], acc[r][v][1]);
    }
  for (int64_t j = 0; j < count; j += 2) {
    // A last value alone is taken together with itself, which then counts for nothing.
    const bool alone = j + 1 == count;
    const bf16 *first = values + j * stride, *second = alone ? first : first + stride;
    prefetch_ahead(first, 2 * kHalves * vectors * sizeof(bf16));
    __m512bh x[vectors][2];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      const int64_t n = v + 1 < vectors ? kHalves : left;
      const __m512i a = (__m512i)load_halves(first + v * kHalves, n), b = (__m512i)load_halves(second + v * kHalves, n);
      x[v][0] = (__m512bh)_mm512_unpacklo_epi16(a, b);
      x[v][1] = (__m512bh)_mm512_unpackhi_epi16(a, b);
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
      const bf16* at = weights + r * kRun + j;
      const uint32_t pair = at[0].bits | (alone ? 0u : uint32_t(at[1].bits) << 16);
      const __m512bh w = (__m512bh)_mm512_set1_epi32(int(pair));
#pragma GCC unroll 2
      for (int v = 0; v < vectors; v++) {
        acc[r][v][0] = multiply_halves(acc[r][v][0], w, x[v][0]);
        acc[r][v][1] = multiply_halves(acc[r][v][1], w, x[v][1]);
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
      float* at = out[r] + v * kHalves;
      f32v low, high;
      natural_order(acc[r][v][0], acc[r][v][1], low, high);
      store(at, low), store(at + kLanes, high);
    }
}
// As `add_values`; `out` has a multiple of kHalves elements.
template <int rows>
LF_INLINE void add_half_values(const bf16* weights, const bf16* values, int64_t n, int64_t count, int64_t stride,
                               float* const* out) {
  float* at[rows];
  for (int r = 0; r < rows; r++) at[r] = out[r];
  for (int64_t c = 0; c < n;) {
    const int64_t left = n - c, done = left > kHalves ? 2 * kHalves : kHalves;
    if (left > kHalves) add_half_columns<rows, 2>(weights, values + c, count, stride, smaller(left - kHalves, kHalves), at);
    else add_half_columns<rows, 1>(weights, values + c, count, stride, left, at);
    for (int r = 0; r < rows; r++) at[r] += done;
    c += done;
  }
}

}  // namespace LF_ISA
}  // namespace lf_cpu
#endif
