// Laying matrices out as words (gemm_words.h), from memory of any strides.
#pragma once
#include "gemm_words.h"
#include "transpose.h"

namespace lf_cpu {
namespace LF_ISA {

// Where words go: word w of row (or column) r at data[r * row_stride + w * word_stride]; one of the strides is 1.
struct WordTarget {
  uint32_t* data;
  int64_t row_stride, word_stride;
};

// kLanes rows by kLanes words from elements of any strides; what lies outside of rows x depth is zero.
template <typename Words, typename T>
static inline void gather_square(u32v (&t)[kLanes], const T* src, int64_t row_stride, int64_t k_stride, int64_t rows,
                                 int64_t depth) {
  float x[kLanes][kLanes * Words::kUnit] = {};
  const int64_t columns = smaller<int64_t>(depth, kLanes * Words::kUnit);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t k = 0; k < columns; k++) x[r][k] = widen(src[r * row_stride + k * k_stride]);
  for (int r = 0; r < kLanes; r++) t[r] = Words::along(x[r]);
}

// Lays out `rows` x `depth` elements, element (r, k) at src[r * row_stride + k * k_stride].
//
// Where target.word_stride is 1 (the broadcast factor) each row is padded with zero words to a multiple of kLanes. Where
// target.row_stride is 1 (a panel of columns) rows are padded to `padded_rows`, a multiple of kLanes.
template <typename Words, typename T>
static void pack_words(const T* src, int64_t row_stride, int64_t k_stride, int64_t rows, int64_t depth,
                       WordTarget target, int64_t padded_rows) {
  constexpr int kUnit = Words::kUnit, kSpan = kLanes * kUnit, kAhead = 32;
  const bool to_rows = target.word_stride == 1;
  const bool from_rows = k_stride == 1 || depth == 1;
  const int64_t words = ceil_div(depth, kUnit);
  if (to_rows && from_rows) {
    for (int64_t r = 0; r < rows; r++) {
      const T* p = src + r * row_stride;
      uint32_t* out = target.data + r * target.row_stride;
      int64_t k = 0;
      for (; k + kSpan <= depth; k += kSpan) store_words(out + k / kUnit, Words::along(p + k));
      if (k < depth) store_words(out + k / kUnit, Words::along_n(p + k, depth - k));
    }
    return;
  }
  if (!to_rows && !from_rows && row_stride == 1) {
    for (int64_t w = 0; w < words; w++) {
      const T* p = src + w * kUnit * k_stride;
      const int64_t n = smaller<int64_t>(kUnit, depth - w * kUnit);
      uint32_t* out = target.data + w * target.word_stride;
      // Rows lie farther apart than hardware prefetchers follow. Whole lines, the last of them too.
      const char* ahead = reinterpret_cast<const char*>(p + kAhead * k_stride);
      for (int u = 0; u < kUnit; u++, ahead += k_stride * int64_t(sizeof(T)))
        for (int64_t i = 0; i < rows * int64_t(sizeof(T)) + 63; i += 64) __builtin_prefetch(ahead + i);
      int64_t r = 0;
      for (; r + kLanes <= rows; r += kLanes) store_words(out + r, Words::across(p + r, k_stride, n, kLanes));
      if (r < rows) store_words(out + r, Words::across(p + r, k_stride, n, rows - r)), r += kLanes;
      for (; r < padded_rows; r += kLanes) store_words(out + r, u32v{});
    }
    return;
  }
  const auto square = [&](int64_t r, int64_t w) __attribute__((always_inline)) {
    const int64_t nr = larger<int64_t>(0, smaller<int64_t>(kLanes, rows - r));
    const int64_t nw = smaller<int64_t>(kLanes, words - w), left = depth - w * kUnit;
    if (nr == 0) {
      for (int64_t i = 0; i < nw; i++) store_words(target.data + (w + i) * target.word_stride + r, u32v{});
      return;
    }
    const T* p = src + r * row_stride + w * kUnit * k_stride;
    u32v t[kLanes];
    bool by_row = true;  // whether t[i] is a row, or else a word of kLanes rows
    if (from_rows && nr == kLanes && left >= kSpan) {
      // More rows at once, and in the other case farther apart, than hardware prefetchers follow.
      for (int i = 0; i < kLanes; i++) __builtin_prefetch(p + i * row_stride + 4 * kSpan);
      for (int i = 0; i < kLanes; i++) t[i] = Words::along(p + i * row_stride);
    } else if (from_rows) {
      const int64_t n = smaller<int64_t>(left, kSpan);
      for (int i = 0; i < kLanes; i++) t[i] = u32v{};
      for (int64_t i = 0; i < nr; i++) t[i] = Words::along_n(p + i * row_stride, n);
    } else if (row_stride == 1 && nr == kLanes && left >= kSpan) {
      by_row = false;
      for (int i = 0; i < kSpan; i++) __builtin_prefetch(p + (kSpan + i) * k_stride);
      for (int i = 0; i < kLanes; i++) t[i] = Words::across(p + i * kUnit * k_stride, k_stride, kUnit, kLanes);
    } else if (row_stride == 1) {
      by_row = false;
      for (int i = 0; i < kLanes; i++) {
        const int64_t n = smaller<int64_t>(kUnit, left - i * kUnit);
        t[i] = i < nw ? Words::across(p + i * kUnit * k_stride, k_stride, n, nr) : u32v{};
      }
    } else {
      gather_square<Words>(t, p, row_stride, k_stride, nr, left);
    }
    if (by_row != to_rows) transpose(t);
    if (to_rows) {
      for (int64_t i = 0; i < nr; i++) store_words(target.data + (r + i) * target.row_stride + w, t[i]);
    } else {
      for (int64_t i = 0; i < nw; i++) store_words(target.data + (w + i) * target.word_stride + r, t[i]);
    }
  };
  // In the order in which the source lies in memory.
  const int64_t all_rows = to_rows ? rows : padded_rows;
  if (from_rows) {
    for (int64_t r = 0; r < all_rows; r += kLanes)
      for (int64_t w = 0; w < words; w += kLanes) square(r, w);
  } else {
    for (int64_t w = 0; w < words; w += kLanes)
      for (int64_t r = 0; r < all_rows; r += kLanes) square(r, w);
  }
}

// The same for elements of a float dtype; `src` is the address of element (0, 0).
template <typename Words>
static inline void pack_words(lf_dtype dtype, const uint8_t* src, int64_t row_stride, int64_t k_stride, int64_t rows,
                              int64_t depth, WordTarget target, int64_t padded_rows) {
  with_float(dtype, [&](auto type) {
    using T = decltype(type);
    pack_words<Words>(reinterpret_cast<const T*>(src), row_stride, k_stride, rows, depth, target, padded_rows);
  });
}

}  // namespace LF_ISA
}  // namespace lf_cpu
