// Products of small matrices that lie packed in cache, the building block of attention.
//
// C [M, N] f32 (+)= A [M, K] B [K, N]. A is row-major. B is stored as [K / unit][N][unit], so that one 32-bit word holds
// what one lane multiplies at a time: one f32 (unit 1), or two bf16 that are neighbours along K (unit 2). K is padded to
// a multiple of the unit with zeros, M to a multiple of kTileRows and N to a multiple of kLanes.
#pragma once
#include "operands.h"
#include "transpose.h"

namespace lf_cpu {
namespace LF_ISA {

constexpr int kTileRows = 4;
#if LF_ISA_LEVEL >= 2
constexpr int kTileVectors = 4;
#else
constexpr int kTileVectors = 2;
#endif

struct F32Math {
  using Element = float;
  static constexpr int kUnit = 1;
  LF_INLINE f32v multiply_add(uint32_t a, u32v b, f32v acc) { return fma(broadcast(float_of(a)), as_f32(b), acc); }
};

#if LF_ISA_LEVEL >= 3
// Operands in bf16; products are exact and sums are f32.
struct Bf16Math {
  using Element = bf16;
  static constexpr int kUnit = 2;
  LF_INLINE f32v multiply_add(uint32_t a, u32v b, f32v acc) {
    return (f32v)_mm512_dpbf16_ps((__m512)acc, (__m512bh)broadcast_u32(a), (__m512bh)b);
  }
};
#endif

LF_INLINE u32v load_words(const uint32_t* p) {
  u32v v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
LF_INLINE uint32_t load_word(const void* p) {
  uint32_t v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <typename Math, int vectors>
LF_INLINE void multiply_micro(const uint32_t* a, int64_t lda, const uint32_t* b, int64_t ldb, int64_t k, float* c,
                              int64_t ldc, bool accumulate) {
  f32v acc[kTileRows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; r++)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) acc[r][v] = accumulate ? load(c + r * ldc + v * kLanes) : f32v{};
  for (int64_t i = 0; i < k; i++) {
    u32v column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) column[v] = load_words(b + i * ldb + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; r++)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; v++) acc[r][v] = Math::multiply_add(a[r * lda + i], column[v], acc[r][v]);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; r++)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) store(c + r * ldc + v * kLanes, acc[r][v]);
}

// m is a multiple of kTileRows, n of kLanes; k counts words. Leading dimensions are in words of A and B, floats of C.
template <typename Math>
static inline void multiply_tile(int64_t m, int64_t n, int64_t k, const void* a, int64_t lda, const void* b, int64_t ldb,
                                 float* c, int64_t ldc, bool accumulate) {
  const uint32_t *wa = static_cast<const uint32_t*>(a), *wb = static_cast<const uint32_t*>(b);
  int64_t j = 0;
  for (; j + kTileVectors * kLanes <= n; j += kTileVectors * kLanes)
    for (int64_t i = 0; i < m; i += kTileRows)
      multiply_micro<Math, kTileVectors>(wa + i * lda, lda, wb + j, ldb, k, c + i * ldc + j, ldc, accumulate);
  const int64_t rest = (n - j) / kLanes;
  for (int64_t i = 0; rest && i < m; i += kTileRows) {
    const uint32_t* pa = wa + i * lda;
    float* pc = c + i * ldc + j;
    if (rest == 1) multiply_micro<Math, 1>(pa, lda, wb + j, ldb, k, pc, ldc, accumulate);
#if LF_ISA_LEVEL >= 2
    else if (rest == 2) multiply_micro<Math, 2>(pa, lda, wb + j, ldb, k, pc, ldc, accumulate);
    else multiply_micro<Math, 3>(pa, lda, wb + j, ldb, k, pc, ldc, accumulate);
#endif
  }
}

// --------------------------------------------------------------------------------------------------------- packing --

// dst[c * dst_ld + r] = src[r * src_ld + c] for rows and columns in blocks of 4 x 4 words, then what is left.
static inline void transpose_small(const uint32_t* src, int64_t src_ld, int64_t rows, int64_t columns, uint32_t* dst,
                                   int64_t dst_ld) {
  typedef uint32_t u32x4 __attribute__((vector_size(16)));
  const int64_t whole_rows = rows & ~3, whole_columns = columns & ~3;
  for (int64_t r = 0; r < whole_rows; r += 4) {
    for (int64_t c = 0; c < whole_columns; c += 4) {
      u32x4 x[4];
      for (int i = 0; i < 4; i++) __builtin_memcpy(&x[i], src + (r + i) * src_ld + c, 16);
      const u32x4 a = __builtin_shufflevector(x[0], x[1], 0, 4, 1, 5), b = __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5),
                  d = __builtin_shufflevector(x[0], x[1], 2, 6, 3, 7), e = __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7);
      const u32x4 y[4] = {__builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(a, b, 2, 3, 6, 7),
                          __builtin_shufflevector(d, e, 0, 1, 4, 5), __builtin_shufflevector(d, e, 2, 3, 6, 7)};
      for (int i = 0; i < 4; i++) __builtin_memcpy(dst + (c + i) * dst_ld + r, &y[i], 16);
    }
    for (int64_t c = whole_columns; c < columns; c++)
      for (int i = 0; i < 4; i++) dst[c * dst_ld + r + i] = src[(r + i) * src_ld + c];
  }
  for (int64_t r = whole_rows; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) dst[c * dst_ld + r] = src[r * src_ld + c];
}

// The same in squares as large as registers, where there are any.
static inline void transpose_words(const uint32_t* src, int64_t src_ld, int64_t rows, int64_t columns, uint32_t* dst,
                                   int64_t dst_ld) {
  int64_t whole = 0;
  if constexpr (kLanes > 4) {
    whole = columns / kLanes * kLanes;
    for (int64_t c = 0; c < whole; c += kLanes) {
      int64_t r = 0;
      for (; r + kLanes <= rows; r += kLanes) {
        u32v square[kLanes];
        for (int i = 0; i < kLanes; i++) square[i] = load_words(src + (r + i) * src_ld + c);
        transpose(square);
        for (int i = 0; i < kLanes; i++) __builtin_memcpy(dst + (c + i) * dst_ld + r, &square[i], sizeof square[i]);
      }
      transpose_small(src + r * src_ld + c, src_ld, rows - r, kLanes, dst + c * dst_ld + r, dst_ld);
    }
  }
  transpose_small(src + whole, src_ld, rows, columns - whole, dst + whole * dst_ld, dst_ld);
}

// One row of a float operand with dense elements as n elements of Math, then zeros up to `padded`.
template <typename Math>
LF_INLINE void pack_row(lf_dtype dtype, const uint8_t* src, int64_t n, int64_t padded, typename Math::Element* dst) {
  using Element = typename Math::Element;
  if constexpr (Math::kUnit == 2) {
    // Bf16Math is chosen only where all operands are bf16. Rows are short: whole vectors cost less than a call.
    constexpr int64_t kVector = kLanes * 2;
    int64_t i = 0;
    for (; i + kVector <= n; i += kVector) __builtin_memcpy(dst + i, src + i * 2, kVector * 2);
    if (i < n) __builtin_memcpy(dst + i, src + i * 2, (n - i) * 2);
  } else {
    with_float(dtype, [&](auto type) { widen_row(reinterpret_cast<const decltype(type)*>(src), n, 1, dst); });
  }
  for (int64_t i = n; i < padded; i++) dst[i] = Element{};
}

// A form: row(i) gives the memory of row i; rows up to `padded_rows` are zeros.
template <typename Math, typename Row>
LF_INLINE void pack_a(lf_dtype dtype, int64_t rows, int64_t padded_rows, int64_t n, int64_t padded, Row&& row,
                      typename Math::Element* dst) {
  for (int64_t i = 0; i < rows; i++) pack_row<Math>(dtype, row(i), n, padded, dst + i * padded);
  __builtin_memset(dst + rows * padded, 0, (padded_rows - rows) * padded * sizeof *dst);
}

// B form of the transpose of a matrix in A form: A [rows, k] with leading dimension lda becomes [k / unit][ld][unit]. Columns
// from `rows` up to ld keep what they hold, so that a caller who needs zeros there passes zero rows.
template <typename Math>
LF_INLINE void pack_b_transposed(const typename Math::Element* a, int64_t lda, int64_t k, int64_t rows,
                                 typename Math::Element* dst, int64_t ld) {
  transpose_words(reinterpret_cast<const uint32_t*>(a), lda / Math::kUnit, rows, k / Math::kUnit,
                  reinterpret_cast<uint32_t*>(dst), ld);
}

// B form of a matrix in A form: [rows, columns] becomes [rows / unit][ld][unit], with zeros in columns up to
// `padded_columns`. `a` has leading dimension lda >= columns, and zero rows up to a multiple of the unit.
template <typename Math>
LF_INLINE void pack_b(const typename Math::Element* a, int64_t lda, int64_t rows, int64_t columns, int64_t padded_columns,
                      typename Math::Element* dst, int64_t ld) {
  using Element = typename Math::Element;
  if constexpr (Math::kUnit == 2) {
    for (int64_t r = 0; r < rows; r += 2) {
      const Element *even = a + r * lda, *odd = even + lda;
      uint32_t* out = reinterpret_cast<uint32_t*>(dst + r * ld);
      int64_t c = 0;
      for (; c + kLanes <= columns; c += kLanes) {
        const u32v word = widen_u16(load_u16(even + c)) | (widen_u16(load_u16(odd + c)) << 16);
        __builtin_memcpy(out + c, &word, sizeof word);
      }
      for (; c < columns; c++) out[c] = uint32_t(even[c].bits) | (uint32_t(odd[c].bits) << 16);
      for (; c < padded_columns; c++) out[c] = 0;
    }
  } else {
    for (int64_t r = 0; r < rows; r++) {
      __builtin_memcpy(dst + r * ld, a + r * lda, columns * sizeof(Element));
      for (int64_t c = columns; c < padded_columns; c++) dst[r * ld + c] = Element{};
    }
  }
}

}  // namespace LF_ISA
}  // namespace lf_cpu
