// The inner loops of matrix products: a few rows times one panel of columns, with the sums in registers.
//
// The broadcast factor lies by rows, `lda` words apart. The other is a panel: [words][kPanel]. The sums are a tile of f32
// with kPanel floats a row. Where words are single elements a panel may also hold them as bf16, widened on the way.
//
// While they multiply they fetch what the caller reads next, `ahead_step` bytes a word: the rows stream past a panel from
// the L1 and L2 caches, but the next panel of a large weight comes from memory, and the first rows would wait for it.
#pragma once
#include "gemm_words.h"

namespace lf_cpu {
namespace LF_ISA {

// Registers limit rows x vectors: sums, a vector row of the panel and a broadcast must fit in 32 (AVX-512) or 16.
#if LF_ISA_LEVEL >= 2
constexpr int kMicroRows = 8, kMicroVectors = 3;
#elif LF_ISA_LEVEL == 1
constexpr int kMicroRows = 6, kMicroVectors = 2;
#else
constexpr int kMicroRows = 4, kMicroVectors = 2;
#endif
constexpr int kPanel = kMicroVectors * kLanes;
// Rows at a time where a panel has one vector of columns, as the low-rank factors of LoRA do: fewer sums than this wait for each
// other.
constexpr int kTallRows = 2 * kMicroRows;
constexpr int kPrefetchBytes = 1536;  // how far ahead of its use a panel is fetched

LF_INLINE u32v panel_words(const uint32_t* p) { return load_words(p); }
LF_INLINE u32v panel_words(const bf16* p) { return as_u32(load(p)); }

// tile [rows][kPanel] (+)= a [rows][words] * panel [words][kPanel], over the panel's first vectors * kLanes columns.
template <typename Words, typename Element, int rows, int vectors>
static void multiply_micro(const uint32_t* a, int64_t lda, const void* panel_data, int64_t words, float* tile,
                           bool accumulate, const char* ahead, int64_t ahead_step) {
  const Element* panel = static_cast<const Element*>(panel_data);
  f32v sums[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) sums[r][v] = accumulate ? load(tile + r * kPanel + v * kLanes) : f32v{};
  for (int64_t w = 0; w < words; w++, panel += kPanel, ahead += ahead_step) {
    u32v column[vectors];
    if constexpr (rows >= kMicroRows) __builtin_prefetch(ahead, 0, 2);
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
      column[v] = panel_words(panel + v * kLanes);
      __builtin_prefetch(reinterpret_cast<const char*>(panel + v * kLanes) + kPrefetchBytes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; v++) sums[r][v] = Words::multiply_add(a[r * lda + w], column[v], sums[r][v]);
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) store(tile + r * kPanel + v * kLanes, sums[r][v]);
}

using Micro = void (*)(const uint32_t* a, int64_t lda, const void* panel, int64_t words, float* tile, bool accumulate,
                       const char* ahead, int64_t ahead_step);

// One micro-kernel for each number of rows (1 .. kMicroRows) and of vectors (1 .. kMicroVectors).
template <typename Words, typename Element>
struct MicroTable {
  Micro at[kMicroRows][kMicroVectors];

  constexpr MicroTable() : at{} { fill<kMicroRows, kMicroVectors>(); }

 private:
  template <int rows, int vectors>
  constexpr void fill() {
    at[rows - 1][vectors - 1] = multiply_micro<Words, Element, rows, vectors>;
    if constexpr (vectors > 1) fill<rows, vectors - 1>();
    else if constexpr (rows > 1) fill<rows - 1, kMicroVectors>();
  }
};

}  // namespace LF_ISA
}  // namespace lf_cpu
