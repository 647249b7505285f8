// The inner loop of matrix products in bf16 on tiles (AMX). Compiled and emulated; not yet run on hardware.
//
// A tile of the first factor is 16 rows by 16 words as they are laid out; one of the second is 16 words by 16 columns of a
// panel. At this level every bf16 product of a LINEAR goes this way, however few its rows are, because a tile sums in
// another order than vdpbf16ps does: a row's result must not depend on the rows that are computed with it.
#pragma once
#include "gemm_micro.h"
#include "tile_unit.h"

#if LF_ISA_LEVEL >= 4
namespace lf_cpu {
namespace LF_ISA {

template <int kValue>
struct VectorIndex {
  static constexpr int value = kValue;
};

// One step: 16 words of the second factor at `panel`, of up to 32 rows of the first. Tiles 0 to 2 are the sums of the
// first 16 rows, 3 to 5 those of the others.
template <int vectors, bool two>
LF_INLINE void multiply_tile_step(const uint32_t* a, int64_t lda, const uint32_t* panel) {
  const auto column = [&](auto v) __attribute__((always_inline)) {
    constexpr int kVector = decltype(v)::value;
    load_tile<7>(panel + kVector * 16, kPanel * 4);
    load_tile<6>(a, lda * 4);
    multiply_bf16_tiles<kVector>();
    if constexpr (two) {
      load_tile<6>(a + 16 * lda, lda * 4);
      multiply_bf16_tiles<kVector + 3>();
    }
  };
  column(VectorIndex<0>());
  if constexpr (vectors > 1) column(VectorIndex<1>());
  if constexpr (vectors > 2) column(VectorIndex<2>());
}

// tile [rows][kPanel] (+)= a [rows][words] * panel [words][kPanel] for 1 to 16 rows, or for 32 where `two`. The words of
// `a` are padded with zeros to a multiple of 16.
template <int vectors, bool two>
static void multiply_tiles(TileUse& use, int rows, const uint32_t* a, int64_t lda, const uint32_t* panel, int64_t words,
                           float* tile, bool accumulate) {
  use.configure(two ? kTileUnitRows : rows);
  const auto sums = [&](auto v) __attribute__((always_inline)) {
    constexpr int kVector = decltype(v)::value;
    float* at = tile + kVector / 3 * 16 * kPanel + kVector % 3 * 16;
    if (accumulate) load_tile<kVector>(at, kPanel * 4);
    else zero_tile<kVector>();
  };
  const auto each = [&](auto&& f) __attribute__((always_inline)) {
    f(VectorIndex<0>());
    if constexpr (vectors > 1) f(VectorIndex<1>());
    if constexpr (vectors > 2) f(VectorIndex<2>());
    if constexpr (two) {
      f(VectorIndex<3>());
      if constexpr (vectors > 1) f(VectorIndex<4>());
      if constexpr (vectors > 2) f(VectorIndex<5>());
    }
  };
  each(sums);
  int64_t w = 0;
  for (; w + 16 <= words; w += 16) multiply_tile_step<vectors, two>(a + w, lda, panel + w * kPanel);
  if (w < words) {
    // What follows the panel is not its own.
    alignas(64) uint32_t last[16 * kPanel] = {};
    __builtin_memcpy(last, panel + w * kPanel, (words - w) * kPanel * 4);
    multiply_tile_step<vectors, two>(a + w, lda, last);
  }
  each([&](auto v) __attribute__((always_inline)) {
    constexpr int kVector = decltype(v)::value;
    store_tile<kVector>(tile + kVector / 3 * 16 * kPanel + kVector % 3 * 16, kPanel * 4);
  });
}

template <int vectors>
static void multiply_rows_of_tiles(TileUse& use, const uint32_t* rows, int64_t lda, int64_t count, const uint32_t* panel,
                                   int64_t words, float* tile, bool accumulate) {
  int64_t r = 0;
  for (; r + 32 <= count; r += 32)
    multiply_tiles<vectors, true>(use, 32, rows + r * lda, lda, panel, words, tile + r * kPanel, accumulate);
  for (; r < count; r += 16)
    multiply_tiles<vectors, false>(use, int(smaller<int64_t>(16, count - r)), rows + r * lda, lda, panel, words,
                                   tile + r * kPanel, accumulate);
}

}  // namespace LF_ISA
}  // namespace lf_cpu
#endif
