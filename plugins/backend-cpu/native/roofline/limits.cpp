// Compiled once for each ISA level, as the kernels are.
#include "limits.h"

#include "kernels/simd.h"
#include "kernels/tile_unit.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// Enough independent sums to hide the latency of two multiply-adds a cycle, and no more than registers hold.
constexpr int kChains = LF_ISA_LEVEL >= 2 ? 16 : 8;

LF_INLINE float total(const f32v* sums) {
  f32v all = sums[0];
  for (int i = 1; i < kChains; i++) all += sums[i];
  float out = 0;
  for (int lane = 0; lane < kLanes; lane++) out += all[lane];
  return out;
}

double peak_f32(int64_t rounds, float* keep) {
  f32v sums[kChains];
  for (int i = 0; i < kChains; i++) sums[i] = broadcast(float(i));
  f32v a = broadcast(0.999f), b = broadcast(0.001f);
  for (int64_t round = 0; round < rounds; round++) {
    // The compiler must not see that a and b stay as they are.
    __asm__ volatile("" : "+m"(a), "+m"(b));
    const f32v x = a, y = b;
    for (int repeat = 0; repeat < 16; repeat++)
      for (int i = 0; i < kChains; i++) sums[i] = fma(sums[i], x, y);
  }
  *keep = total(sums);
  return 2.0 * kLanes * kChains * 16 * double(rounds);
}

#if LF_ISA_LEVEL >= 4
template <int tile, bool bytes>
LF_INLINE void multiply_tiles() {
  if constexpr (bytes) multiply_byte_tiles<tile>();
  else multiply_bf16_tiles<tile>();
}

// Six sums of products of 16 rows with 16 columns, of 64 bytes each.
template <bool bytes>
double peak_on_tiles(int64_t rounds, float* keep) {
  TileUse use;
  use.configure(kTileUnitRows);
  zero_tile<0>(), zero_tile<1>(), zero_tile<2>(), zero_tile<3>(), zero_tile<4>(), zero_tile<5>();
  zero_tile<6>(), zero_tile<7>();
  for (int64_t round = 0; round < rounds; round++) {
    multiply_tiles<0, bytes>(), multiply_tiles<1, bytes>(), multiply_tiles<2, bytes>();
    multiply_tiles<3, bytes>(), multiply_tiles<4, bytes>(), multiply_tiles<5, bytes>();
  }
  float sums[16 * 16];
  store_tile<0>(sums, 64);
  *keep = sums[0];
  return 2.0 * 16 * 16 * (bytes ? 64 : 32) * 6 * double(rounds);
}

double peak_bf16(int64_t rounds, float* keep) { return peak_on_tiles<false>(rounds, keep); }
double peak_int8(int64_t rounds, float* keep) { return peak_on_tiles<true>(rounds, keep); }
#elif LF_ISA_LEVEL >= 3
double peak_bf16(int64_t rounds, float* keep) {
  f32v sums[kChains] = {};
  __m512i a = _mm512_set1_epi16(0x3f80), b = _mm512_set1_epi16(0x3f00);
  for (int64_t round = 0; round < rounds; round++) {
    __asm__ volatile("" : "+m"(a), "+m"(b));
    const __m512bh x = (__m512bh)a, y = (__m512bh)b;
    for (int repeat = 0; repeat < 16; repeat++)
      for (int i = 0; i < kChains; i++) sums[i] = (f32v)_mm512_dpbf16_ps((__m512)sums[i], x, y);
  }
  *keep = total(sums);
  return 2.0 * 32 * kChains * 16 * double(rounds);
}

double peak_int8(int64_t rounds, float* keep) {
  __m512i sums[kChains];
  for (int i = 0; i < kChains; i++) sums[i] = _mm512_setzero_si512();
  __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-1);
  for (int64_t round = 0; round < rounds; round++) {
    __asm__ volatile("" : "+m"(a), "+m"(b));
    const __m512i x = a, y = b;
    for (int repeat = 0; repeat < 16; repeat++)
      for (int i = 0; i < kChains; i++) sums[i] = _mm512_dpbusd_epi32(sums[i], x, y);
  }
  f32v as_float[kChains];
  for (int i = 0; i < kChains; i++) as_float[i] = (f32v)_mm512_cvtepi32_ps(sums[i]);
  *keep = total(as_float);
  return 2.0 * 64 * kChains * 16 * double(rounds);
}
#else
double peak_bf16(int64_t, float*) { return 0; }
double peak_int8(int64_t, float*) { return 0; }
#endif

double read_all(const float* data, size_t count, float* keep) {
  f32v sums[kChains] = {};
  for (size_t at = 0; at + kChains * kLanes <= count; at += kChains * kLanes) {
    for (int i = 0; i < kChains; i++) {
      f32v v;
      __builtin_memcpy(&v, data + at + size_t(i) * kLanes, sizeof v);
      sums[i] += v;
    }
  }
  *keep = total(sums);
  return 4.0 * double(count);
}

}  // namespace
}  // namespace LF_ISA

#define LF_JOIN(a, b) a##b
#define LF_NAME(level) LF_JOIN(limits_, level)
Limits LF_NAME(LF_ISA)() {
  return {LF_ISA::peak_f32, LF_ISA::peak_bf16, LF_ISA::peak_int8, LF_ISA::read_all};
}

}  // namespace lf_cpu
