// How weights of block formats are packed: in their own bits, in panels of kPackedColumns columns of N.
//
// A panel covers all of K in groups of kGroup elements. Its parts follow each other, each [groups][columns]:
//   codes   the low 4 bits of 32 codes (4 vectors of 4 bytes a column: the low nibbles are one word of 4 neighbours along
//           K, the high nibbles the next), or whole codes (8 such vectors)
//   high    fifth bits (one u32 a column), or fifth and sixth bits (two)
//   scales, minima (of Q4_Z zeros; both once for each `span` groups), and for the K formats the f16 numbers that they are multiples of, [groups / 8][columns]
// Codes are unsigned: an element is scale * (code - offset), or scale * code + minimum.
#pragma once
#include "quant_formats.h"

namespace lf_cpu {
namespace LF_ISA {

constexpr int kPackedColumns = 16;  // at every level: a multiple of kLanes
constexpr int kGroup = 32;          // elements along K that share a scale, at most
constexpr int kGroupWords = kGroup / 4;
constexpr int kSuperGroups = 8;     // groups in a block of a K format

enum class Scales {
  kHalf,         // f16 scale
  kHalfMinimum,  // f16 scale, f16 minimum
  kSuper,        // u8 scale times f16, u8 minimum times -f16 (Q4_K, Q5_K)
  kSuperSigned,  // i8 scale times f16 for each 16 elements (Q6_K)
  kZero,         // f16 scale, u8 zero; the minimum is -zero times the scale (Q4_Z)
};

struct PackedFormat {
  int bits = 0;  // of a code; 0: no such format
  int offset = 0;
  Scales scales = Scales::kHalf;
  int64_t span = 1;  // groups that share a scale, where `scales` is kZero

  constexpr bool has_minimum() const { return scales == Scales::kHalfMinimum || scales == Scales::kSuper || scales == Scales::kZero; }
  constexpr int code_bytes() const { return kPackedColumns * (bits == 8 ? kGroup : kGroup / 2); }
  constexpr int high_bytes() const { return kPackedColumns * (bits == 5 ? 4 : bits == 6 ? 8 : 0); }
  constexpr int scale_bytes() const { return kPackedColumns * (scales == Scales::kSuper ? 1 : 2); }
  constexpr int minimum_bytes() const {
    return kPackedColumns * (scales == Scales::kHalfMinimum ? 2 : scales == Scales::kSuper || scales == Scales::kZero ? 1 : 0);
  }
  // f16 numbers of a K format's block: of scales, and of minima.
  constexpr int super_bytes() const {
    return kPackedColumns * (scales == Scales::kSuper ? 4 : scales == Scales::kSuperSigned ? 2 : 0);
  }
};

constexpr PackedFormat packed_format(lf_dtype dtype) {
  switch (dtype) {
    case LF_Q4_0: return {4, 8, Scales::kHalf};
    case LF_Q4_1: return {4, 0, Scales::kHalfMinimum};
    case LF_Q5_0: return {5, 16, Scales::kHalf};
    case LF_Q5_1: return {5, 0, Scales::kHalfMinimum};
    case LF_Q8_0: return {8, 128, Scales::kHalf};
    case LF_Q4_K: return {4, 0, Scales::kSuper};
    case LF_Q5_K: return {5, 0, Scales::kSuper};
    case LF_Q6_K: return {6, 32, Scales::kSuperSigned};
    case LF_Q4_Z: return {4, 0, Scales::kZero};
    default: return {};
  }
}

// The format with as many elements to a scale as `group` says; 0 is the format's own number.
LF_INLINE PackedFormat packed_format(lf_dtype dtype, uint32_t group) {
  PackedFormat f = packed_format(dtype);
  if (f.scales == Scales::kZero && group > kGroup) f.span = group / kGroup;
  return f;
}

LF_INLINE int64_t packed_panel_bytes(const PackedFormat& f, int64_t k) {
  const int64_t groups = k / kGroup;
  const int64_t bytes = groups * (f.code_bytes() + f.high_bytes()) +
                        ceil_div(groups, f.span) * (f.scale_bytes() + f.minimum_bytes()) +
                        groups / kSuperGroups * f.super_bytes();
  return round_up(bytes, 64);
}

// The parts of one panel.
struct PackedPanel {
  uint8_t *codes, *high, *scales, *minima, *super_scales, *super_minima;
  uint32_t span;
};
LF_INLINE PackedPanel packed_panel(const PackedFormat& f, const uint8_t* data, int64_t panel, int64_t k) {
  const int64_t groups = k / kGroup;
  PackedPanel p;
  p.codes = const_cast<uint8_t*>(data) + panel * packed_panel_bytes(f, k);
  p.high = p.codes + groups * f.code_bytes();
  p.scales = p.high + groups * f.high_bytes();
  p.span = uint32_t(f.span);
  p.minima = p.scales + ceil_div(groups, f.span) * f.scale_bytes();
  p.super_scales = p.minima + ceil_div(groups, f.span) * f.minimum_bytes();
  p.super_minima = p.super_scales + groups / kSuperGroups * kPackedColumns * 2;
  return p;
}

// ------------------------------------------------------------------- reading kLanes columns, from column `lane` on --

LF_INLINE u32v packed_words(const uint8_t* p) {
  u32v v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

// Four words of codes: elements [16 half, 16 half + 16) of a group, 4 a word.
template <lf_dtype kType>
LF_INLINE void packed_codes(const PackedPanel& p, int64_t group, int half, int lane, u32v (&words)[4]) {
  constexpr PackedFormat f = packed_format(kType);
  const uint8_t* codes = p.codes + group * f.code_bytes() + lane * 4;
  constexpr int kVector = kPackedColumns * 4;
  if constexpr (f.bits == 8) {
    for (int w = 0; w < 4; w++) words[w] = packed_words(codes + (4 * half + w) * kVector);
    return;
  }
  for (int i = 0; i < 2; i++) {
    const u32v v = packed_words(codes + (2 * half + i) * kVector);
    words[2 * i] = v & 0x0f0f0f0fu;
    words[2 * i + 1] = v >> 4 & 0x0f0f0f0fu;
  }
  if constexpr (f.bits == 5) {
    const u32v high = packed_words(p.high + group * f.high_bytes() + lane * 4);
    for (int w = 0; w < 4; w++) words[w] |= (half ? high >> w : high << (4 - w)) & 0x10101010u;
  }
  if constexpr (f.bits == 6) {
    const u32v high = packed_words(p.high + group * f.high_bytes() + half * kVector + lane * 4);
    for (int w = 0; w < 4; w++) words[w] |= (w < 2 ? high << (4 - 2 * w) : high >> (2 * w - 4)) & 0x30303030u;
  }
}

// Signed bytes as floats. The 6-bit scales and minima of Q4_K and Q5_K are never negative as such.
LF_INLINE f32v byte_lanes(const uint8_t* p) {
#if LF_ISA_LEVEL >= 2
  return to_f32((i32v)_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif LF_ISA_LEVEL == 1
  return to_f32((i32v)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  i32v v;
  for (int i = 0; i < kLanes; i++) v[i] = int8_t(p[i]);
  return to_f32(v);
#endif
}
LF_INLINE f32v packed_halves(const uint8_t* p) { return widen_f16(load_u16(p)); }

template <lf_dtype kType>
LF_INLINE f32v packed_scale(const PackedPanel& p, int64_t group, int half, int lane) {
  constexpr PackedFormat f = packed_format(kType);
  if constexpr (f.scales == Scales::kSuper) {
    return byte_lanes(p.scales + group * f.scale_bytes() + lane) *
           packed_halves(p.super_scales + (group / kSuperGroups * kPackedColumns + lane) * 2);
  } else if constexpr (f.scales == Scales::kSuperSigned) {
    return byte_lanes(p.scales + group * f.scale_bytes() + half * kPackedColumns + lane) *
           packed_halves(p.super_scales + (group / kSuperGroups * kPackedColumns + lane) * 2);
  } else if constexpr (f.scales == Scales::kZero) {
    return packed_halves(p.scales + uint32_t(group) / p.span * f.scale_bytes() + lane * 2);
  } else {
    return packed_halves(p.scales + group * f.scale_bytes() + lane * 2);
  }
}

template <lf_dtype kType>
LF_INLINE f32v packed_minimum(const PackedPanel& p, int64_t group, int lane) {
  constexpr PackedFormat f = packed_format(kType);
  if constexpr (f.scales == Scales::kSuper) {
    return byte_lanes(p.minima + group * f.minimum_bytes() + lane) *
           -packed_halves(p.super_minima + (group / kSuperGroups * kPackedColumns + lane) * 2);
  } else if constexpr (f.scales == Scales::kZero) {
    return byte_lanes(p.minima + uint32_t(group) / p.span * f.minimum_bytes() + lane) * -packed_scale<kType>(p, group, 0, lane);
  } else {
    return packed_halves(p.minima + group * f.minimum_bytes() + lane * 2);
  }
}

// Fetches what group `group` of the panel `ahead` bytes further on will need into the L2 cache: the parts of a panel are
// short streams, at each of whose beginnings the processor's own prefetching would start anew.
LF_INLINE void prefetch_group(const PackedFormat& f, const PackedPanel& p, int64_t group, int64_t ahead) {
  for (int i = 0; i < f.code_bytes(); i += 64) __builtin_prefetch(p.codes + ahead + group * f.code_bytes() + i, 0, 2);
  for (int i = 0; i < f.high_bytes(); i += 64) __builtin_prefetch(p.high + ahead + group * f.high_bytes() + i, 0, 2);
  if (f.scales == Scales::kZero) group = uint32_t(group) / p.span;
  __builtin_prefetch(p.scales + ahead + group * f.scale_bytes(), 0, 2);
  if (f.minimum_bytes()) __builtin_prefetch(p.minima + ahead + group * f.minimum_bytes(), 0, 2);
}

// Calls fn with a FormatConstant of the block format `dtype`.
template <lf_dtype kValue>
struct FormatConstant {
  static constexpr lf_dtype value = kValue;
};
template <typename F>
LF_INLINE void with_packed_format(lf_dtype dtype, F&& fn) {
  switch (dtype) {
    case LF_Q4_0: return fn(FormatConstant<LF_Q4_0>());
    case LF_Q4_1: return fn(FormatConstant<LF_Q4_1>());
    case LF_Q5_0: return fn(FormatConstant<LF_Q5_0>());
    case LF_Q5_1: return fn(FormatConstant<LF_Q5_1>());
    case LF_Q8_0: return fn(FormatConstant<LF_Q8_0>());
    case LF_Q4_K: return fn(FormatConstant<LF_Q4_K>());
    case LF_Q5_K: return fn(FormatConstant<LF_Q5_K>());
    case LF_Q6_K: return fn(FormatConstant<LF_Q6_K>());
    case LF_Q4_Z: return fn(FormatConstant<LF_Q4_Z>());
    default: return;
  }
}

// ------------------------------------------------------------------------------------------ packing (packed_format.cpp) --

// Bytes of a weight [n, k] of a block format; 0 when k is no whole number of blocks, or `group` none of groups.
uint64_t packed_format_bytes(lf_dtype dtype, int64_t n, int64_t k, uint32_t group);
// Lays out panel `panel` of the contiguous blocks [n, k] at `src`; columns beyond n are zero.
// Of a span of groups the scale is that of the first.
void pack_format_panel(lf_dtype dtype, uint32_t group, const uint8_t* src, int64_t n, int64_t k, int64_t panel, uint8_t* packed);
// Elements [k0, k0 + depth) of columns [column, column + count) as f32 [depth][count]; column and count are multiples of
// kLanes, k0 and depth of the format's blocks.
void unpack_format(lf_dtype dtype, uint32_t group, const uint8_t* packed, int64_t k, int64_t column, int64_t count, int64_t k0,
                   int64_t depth, float* dst);

}  // namespace LF_ISA
}  // namespace lf_cpu
