// Codes of 4 bits to pairs of bf16: the integers are put into the digits of a number by bits alone, and zero and scale applied by
// packed arithmetic where the target has it (Kim et al. 2022, "Who Says Elephants Can't Run"; Frantar et al. 2024, MARLIN).
//
// Eight codes of a word stand so that neighbours come out of it by one mask: element 2 p in bits 4 p, element 2 p + 1 in bits
// 4 p + 16.
#pragma once
#include "language.h"

namespace lf_gpu {

LF_ON_DEVICE constexpr int code_shift(int element) { return 4 * (element / 2) + 16 * (element % 2); }

// What decodes the codes of a group: an element is scale * (code - zero), rounded to bf16 once.
#if defined(LF_BF16_PAIRS)
struct CodeScale {
  // Pairs of bf16: the scale is high + low exactly, since f16 has 11 digits and bf16 8.
  uint32_t high, low, zero;
};
LF_ON_DEVICE uint32_t both(bf16 v) { return uint32_t(v.bits) * 0x10001u; }
// `group`: the scale (f16), and from bit 16 on the zero.
LF_ON_DEVICE CodeScale code_scale(uint32_t group) {
  const float scale = half_bits_to_float(uint16_t(group));
  const bf16 high = narrow<bf16>(scale);
  // 128 + code is a bf16 whose last digits are the code; what is added is -(128 + zero).
  return {both(high), both(narrow<bf16>(scale - widen(high))), (0xc300u + (group >> 16 & 255u)) * 0x10001u};
}
// The codes in bits 0 and 16.
LF_ON_DEVICE uint32_t decode_pair(uint32_t codes, const CodeScale& s) {
  const uint32_t integers = multiply_add_bf16x2(and_or(codes, 0x000f000fu, 0x43004300u), 0x3f803f80u, s.zero);
  // Both products are exact but for the last rounding: of five digits with the three of `low`, and with those of `high`.
  return multiply_add_bf16x2(integers, s.high, multiply_add_bf16x2(integers, s.low, 0x80008000u));
}
#else
struct CodeScale {
  float scale, zero;
};
LF_ON_DEVICE CodeScale code_scale(uint32_t group) { return {half_bits_to_float(uint16_t(group)), float(group >> 16 & 255u)}; }
LF_ON_DEVICE uint32_t decode_pair(uint32_t codes, const CodeScale& s) {
  const uint32_t integers = and_or(codes, 0x000f000fu, 0u);
  const bf16 low = narrow<bf16>(s.scale * (float(integers & 255u) - s.zero)), high = narrow<bf16>(s.scale * (float(integers >> 16) - s.zero));
  return low.bits | uint32_t(high.bits) << 16;
}
#endif

// The eight codes of a word, in their order.
LF_ON_DEVICE Words4 decode_codes8(uint32_t word, const CodeScale& s) {
  Words4 v;
#pragma unroll
  for (int p = 0; p < 4; p++) v.w[p] = decode_pair(word >> (4 * p), s);
  return v;
}

}  // namespace lf_gpu
