// Any number of laid-out rows times one panel of columns.
#pragma once
#include "gemm_panel.h"
#include "gemm_tiles.h"

namespace lf_cpu {
namespace LF_ISA {

constexpr int64_t kDepth = 256;         // words of a panel that stay in the L1 cache while rows stream past them
constexpr int64_t kWordAlignment = 16;  // words that rows are padded to, and cut at, because of tiles

// tile [count][kPanel] (+)= rows [count][words] * panel [words][kPanel], over the panel's first vectors * kLanes columns.
// Rows lie `lda` words apart and are padded with zeros to a multiple of kWordAlignment. `next`, which may be null, is the memory
// that the next product of this thread reads as its panel: as many bytes are fetched into the L2 cache meanwhile, unless the
// rows are so few that they do not outlast it.
template <typename Words, typename Element>
static void multiply_rows(const uint32_t* rows, int64_t lda, int64_t count, const Element* panel, int64_t words, int vectors,
                          float* tile, bool accumulate, const void* next = nullptr) {
#if LF_ISA_LEVEL >= 4
  if constexpr (__is_same(Words, PairWords)) {
    TileUse use;
    if (vectors == 1) multiply_rows_of_tiles<1>(use, rows, lda, count, panel, words, tile, accumulate);
    else if (vectors == 2) multiply_rows_of_tiles<2>(use, rows, lda, count, panel, words, tile, accumulate);
    else multiply_rows_of_tiles<3>(use, rows, lda, count, panel, words, tile, accumulate);
    return;
  }
#endif
  static constexpr MicroTable<Words, Element> micro;
  constexpr int64_t kRowBytes = kPanel * int64_t(sizeof(Element));
  // A micro-kernel fetches one cache line a word.
  const bool fetches = next && count * 64 >= kMicroRows * kRowBytes;
  const char* ahead = static_cast<const char*>(fetches ? next : panel);
  const auto step = [&](int64_t height) { return fetches ? ceil_div(kRowBytes * height, count) : 0; };
  int64_t r = 0;
  if (vectors == 1)
    for (const int64_t bytes = step(kTallRows); r + kTallRows <= count; r += kTallRows, ahead += bytes * words)
      multiply_micro<Words, Element, kTallRows, 1>(rows + r * lda, lda, panel, words, tile + r * kPanel, accumulate, ahead,
                                                   bytes);
  for (const int64_t bytes = step(kMicroRows); r < count; r += kMicroRows, ahead += bytes * words)
    micro.at[smaller<int64_t>(kMicroRows, count - r) - 1][vectors - 1](rows + r * lda, lda, panel, words, tile + r * kPanel,
                                                                       accumulate, ahead, bytes);
}

LF_INLINE int panel_vectors(int64_t columns, int64_t column) {
  return int(ceil_div(smaller<int64_t>(kPanel, columns - column), kLanes));
}

// The same, of a panel that lies in memory as words and may be deeper than what stays in the L1 cache.
template <typename Words>
static void multiply_words(const uint32_t* rows, int64_t lda, int64_t count, const uint32_t* panel, int64_t words, int vectors,
                           float* tile, bool accumulate, const uint32_t* next) {
  const int64_t step = round_up(ceil_div(words, ceil_div(words, kDepth)), kWordAlignment);
  for (int64_t w = 0; w < words; w += step)
    multiply_rows<Words>(rows + w, lda, count, panel + w * kPanel, smaller(step, words - w), vectors, tile,
                         accumulate || w > 0, w + step < words ? panel + (w + step) * kPanel : next);
}

// Where elements [k0, k0 + depth) of the panel at `column` of a factor [k, columns] lie as words; null where they do not.
template <typename Words>
LF_INLINE const uint32_t* stored_words(const Columns& source, const uint8_t* data, int64_t k, int64_t column, int64_t k0) {
  if (!source.packed || !holds_words<Words>(source.dtype)) return nullptr;
  return reinterpret_cast<const uint32_t*>(data) + (column / kPanel * ceil_div(k, Words::kUnit) + k0 / Words::kUnit) * kPanel;
}

// tile [count][kPanel] (+)= rows * elements [k0, k0 + depth) of the panel at `column` of a factor [k, columns] at `data`.
// `follows` says that the same elements of the next panel are the next to be read. k0 is even, and a multiple of
// kFillAlignment of a block format. `buffer` has kDepth * kPanel words, `scratch` is as `fill_panel` needs it.
template <typename Words>
static void multiply_panel(const uint32_t* rows, int64_t lda, int64_t count, const Columns& source, const uint8_t* data,
                           int64_t columns, int64_t k, int64_t column, int64_t k0, int64_t depth, bool follows,
                           uint32_t* buffer, float* scratch, float* tile, bool accumulate) {
  const int64_t words = ceil_div(depth, Words::kUnit);
  const int vectors = panel_vectors(columns, column);
  if (const uint32_t* ready = stored_words<Words>(source, data, k, column, k0)) {
    const uint32_t* next = follows ? ready + ceil_div(k, Words::kUnit) * kPanel : nullptr;
    return multiply_words<Words>(rows, lda, count, ready, words, vectors, tile, accumulate, next);
  }
  for (int64_t w = 0; w < words; w += kDepth) {
    const int64_t n = smaller(kDepth, words - w), start = k0 + w * Words::kUnit;
    fill_panel<Words>(source, data, columns, k, column, start, smaller(n * Words::kUnit, k0 + depth - start), buffer, scratch);
    multiply_rows<Words>(rows + w, lda, count, buffer, n, vectors, tile, accumulate || w > 0);
  }
}

}  // namespace LF_ISA
}  // namespace lf_cpu
