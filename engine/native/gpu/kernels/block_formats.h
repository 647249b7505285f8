// The GGUF block formats (ggml's block_q* structures) and that of GPTQ and AWQ weights (LF_Q4_Z), decoded eight elements at a time: eight that start at a multiple of
// 8 share their scale in every format.
#pragma once
#include "../device/code_pairs.h"
#include "access.h"

namespace lf_gpu {

LF_ON_DEVICE bool is_block_format(uint32_t dtype) { return dtype >= LF_Q4_0; }
LF_ON_DEVICE int block_elements(uint32_t dtype) { return dtype >= LF_Q4_K && dtype <= LF_Q6_K ? 256 : 32; }
LF_ON_DEVICE int block_bytes(uint32_t dtype) {
  switch (dtype) {
    case LF_Q4_0: return 18;
    case LF_Q4_1: case LF_Q4_Z: return 20;
    case LF_Q5_0: return 22;
    case LF_Q5_1: return 24;
    case LF_Q8_0: return 34;
    case LF_Q4_K: return 144;
    case LF_Q5_K: return 176;
    default: return 210;
  }
}

// Blocks are aligned to two bytes.
LF_ON_DEVICE float half_at(const uint8_t* p) { return half_bits_to_float(load(reinterpret_cast<const uint16_t*>(p))); }
LF_ON_DEVICE void bytes8(const uint8_t* p, uint8_t (&b)[8]) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const uint16_t two = load(reinterpret_cast<const uint16_t*>(p) + i);
    b[2 * i] = uint8_t(two), b[2 * i + 1] = uint8_t(two >> 8);
  }
}
LF_ON_DEVICE int byte_at(const uint8_t* p) { return load(p); }

// Scale and minimum of sub-block j of a K format: 16 numbers of six bits in 12 bytes.
LF_ON_DEVICE void k_scales(const uint8_t* s, int j, float& scale, float& minimum) {
  if (j < 4) {
    scale = float(byte_at(s + j) & 63);
    minimum = float(byte_at(s + j + 4) & 63);
  } else {
    scale = float((byte_at(s + j + 4) & 15) | (byte_at(s + j - 4) >> 6) << 4);
    minimum = float((byte_at(s + j + 4) >> 4) | (byte_at(s + j) >> 6) << 4);
  }
}

// Code q of element i stands for scale * q + shift.
struct Codes8 {
  int q[8];
  float scale, shift;
};

// Elements [first, first + 8) of a contiguous run of blocks; `first` is a multiple of 8.
LF_ON_DEVICE Codes8 codes8(uint32_t dtype, const uint8_t* blocks, int64_t first) {
  const int elements = block_elements(dtype);
  const uint8_t* p = blocks + first / elements * block_bytes(dtype);
  const int i0 = int(first % elements);
  Codes8 c;
  uint8_t b[8];
  switch (dtype) {
    case LF_Q4_0: case LF_Q4_1: {
      const bool shifted = dtype == LF_Q4_1;
      bytes8(p + (shifted ? 4 : 2) + (i0 & 15), b);
      c.scale = half_at(p);
      c.shift = shifted ? half_at(p + 2) : -8.0f * c.scale;
#pragma unroll
      for (int i = 0; i < 8; i++) c.q[i] = i0 < 16 ? b[i] & 15 : b[i] >> 4;
      return c;
    }
    case LF_Q4_Z: {
      bytes8(p + 4 + (i0 & 15), b);
      c.scale = half_at(p);
      c.shift = -c.scale * float(byte_at(p + 2));
#pragma unroll
      for (int i = 0; i < 8; i++) c.q[i] = i0 < 16 ? b[i] & 15 : b[i] >> 4;
      return c;
    }
    case LF_Q5_0: case LF_Q5_1: {
      const bool shifted = dtype == LF_Q5_1;
      const uint8_t* high = p + (shifted ? 4 : 2);
      bytes8(high + 4 + (i0 & 15), b);
      const int fifth = byte_at(high + i0 / 8);
      c.scale = half_at(p);
      c.shift = shifted ? half_at(p + 2) : -16.0f * c.scale;
#pragma unroll
      for (int i = 0; i < 8; i++) c.q[i] = (i0 < 16 ? b[i] & 15 : b[i] >> 4) | (fifth >> i & 1) << 4;
      return c;
    }
    case LF_Q8_0: {
      bytes8(p + 2 + i0, b);
      c.scale = half_at(p);
      c.shift = 0.0f;
#pragma unroll
      for (int i = 0; i < 8; i++) c.q[i] = int8_t(b[i]);
      return c;
    }
    case LF_Q4_K: case LF_Q5_K: {
      const bool five = dtype == LF_Q5_K;
      const int j = i0 / 32;
      float scale, minimum;
      k_scales(p + 4, j, scale, minimum);
      c.scale = half_at(p) * scale;
      c.shift = -half_at(p + 2) * minimum;
      bytes8(p + (five ? 48 : 16) + j / 2 * 32 + i0 % 32, b);
#pragma unroll
      for (int i = 0; i < 8; i++) c.q[i] = j & 1 ? b[i] >> 4 : b[i] & 15;
      if (five) {
        bytes8(p + 16 + i0 % 32, b);
#pragma unroll
        for (int i = 0; i < 8; i++) c.q[i] |= (b[i] >> j & 1) << 4;
      }
      return c;
    }
    default: {
      const int half = i0 / 128, within = i0 % 128, quarter = within / 32, l = within % 32;
      bytes8(p + half * 64 + (quarter & 1) * 32 + l, b);
#pragma unroll
      for (int i = 0; i < 8; i++) c.q[i] = quarter < 2 ? b[i] & 15 : b[i] >> 4;
      bytes8(p + 128 + half * 32 + l, b);
#pragma unroll
      for (int i = 0; i < 8; i++) c.q[i] |= (b[i] >> (2 * quarter) & 3) << 4;
      c.scale = half_at(p + 208) * float(int8_t(byte_at(p + 192 + half * 8 + quarter * 2 + l / 16)));
      c.shift = -32.0f * c.scale;
      return c;
    }
  }
}

LF_ON_DEVICE void decode8(uint32_t dtype, const uint8_t* blocks, int64_t first, float (&v)[8]) {
  const Codes8 c = codes8(dtype, blocks, first);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = c.scale * float(c.q[i]) + c.shift;
}

// ---- LF_Q4_Z and LF_Q4_0 packed: planes of codes and of groups ----
//
// Codes lie in units of 32 rows of the weight by 32 of the depth, units of the same rows behind each other; rows are filled up to
// whole units with zeros. A word has eight neighbours of a row (code_shift says where). Words lie as the matrix unit's lanes
// take them: a lane finds its four in 16 bytes, and a warp in a line.
//
// The plane of groups holds, for each 32 rows and each group of the depth, an entry a row: of LF_Q4_Z a word with the scale
// (f16) and from bit 16 on the zero; of LF_Q4_0 the scale alone.
constexpr int kUnit = 32, kUnitWords = kUnit * kUnit / 8;
LF_ON_DEVICE int64_t unit_of(int64_t row, int64_t k, int64_t depth) { return row / kUnit * (depth / kUnit) + k / kUnit; }
LF_ON_DEVICE int word_of_unit(int row, int k) { return (row % 8 * 4 + k / 8) * 4 + row / 8; }
LF_ON_DEVICE int row_of_word(int word) { return word / 16 + word % 4 * 8; }
LF_ON_DEVICE int depth_of_word(int word) { return word / 4 % 4 * 8; }

constexpr uint32_t kFixedZero = 8;  // of LF_Q4_0
LF_ON_DEVICE uint32_t group_word(uint32_t dtype, const uint8_t* groups, int64_t entry) {
  if (dtype == LF_Q4_0) return load(reinterpret_cast<const uint16_t*>(groups) + entry) | kFixedZero << 16;
  return load(reinterpret_cast<const uint32_t*>(groups) + entry);
}

// Eight codes of one word and their group's word.
LF_ON_DEVICE void decode_word8(uint32_t codes, uint32_t group, float (&v)[8]) {
  const float scale = half_bits_to_float(uint16_t(group)), zero = float(group >> 16 & 255u);
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = scale * (float(codes >> code_shift(i) & 15u) - zero);
}

}  // namespace lf_gpu
