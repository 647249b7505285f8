// Packing of block formats in their own bits, and decoding of what was packed.
#include "packed_format.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// What one block holds: codes in the order of K, and scales as they are stored.
struct Block {
  uint8_t codes[kGroup * kSuperGroups];
  uint8_t scales[16], minima[8];  // of a K format; scales of Q6_K are signed bytes
  uint16_t scale, minimum;        // f16; of a K format those of scales and minima
};

uint16_t half_bits(const uint8_t* p) { return uint16_t(p[0] | p[1] << 8); }

void read_nibbles(const uint8_t* q, uint8_t* codes) {
  for (int i = 0; i < 16; i++) codes[i] = q[i] & 15, codes[i + 16] = q[i] >> 4;
}
void add_fifth_bits(const uint8_t* high, uint8_t* codes) {
  for (int i = 0; i < 32; i++) codes[i] |= uint8_t((high[i / 8] >> i % 8 & 1) << 4);
}
// See decode_q4_k in quant_formats.cpp for how the 6-bit numbers lie.
void read_super_scales(const uint8_t* packed, Block& b) {
  for (int i = 0; i < 8; i++) {
    b.scales[i] = i < 4 ? packed[i] & 63 : uint8_t((packed[i + 4] & 15) | packed[i - 4] >> 6 << 4);
    b.minima[i] = i < 4 ? packed[i + 4] & 63 : uint8_t(packed[i + 4] >> 4 | packed[i] >> 6 << 4);
  }
}
void read_super_nibbles(const uint8_t* q, uint8_t* codes) {
  for (int run = 0; run < 4; run++)
    for (int i = 0; i < 32; i++) {
      codes[64 * run + i] = q[32 * run + i] & 15;
      codes[64 * run + 32 + i] = q[32 * run + i] >> 4;
    }
}

void read_block(lf_dtype dtype, const uint8_t* p, Block& b) {
  b.scale = half_bits(p), b.minimum = half_bits(p + 2);
  switch (dtype) {
    case LF_Q4_0: return read_nibbles(p + 2, b.codes);
    case LF_Q4_1: case LF_Q4_Z: return read_nibbles(p + 4, b.codes);
    case LF_Q5_0: read_nibbles(p + 6, b.codes); return add_fifth_bits(p + 2, b.codes);
    case LF_Q5_1: read_nibbles(p + 8, b.codes); return add_fifth_bits(p + 4, b.codes);
    case LF_Q8_0:
      for (int i = 0; i < 32; i++) b.codes[i] = p[2 + i] ^ 128;  // code - 128 is the signed byte
      return;
    case LF_Q4_K:
      read_super_scales(p + 4, b);
      return read_super_nibbles(p + 16, b.codes);
    case LF_Q5_K:
      read_super_scales(p + 4, b);
      read_super_nibbles(p + 48, b.codes);
      for (int i = 0; i < 256; i++) b.codes[i] |= uint8_t((p[16 + i % 32] >> i / 32 & 1) << 4);
      return;
    case LF_Q6_K:
      for (int i = 0; i < 256; i++) {
        const int run = i / 128, j = i % 128;
        const int low = p[64 * run + j % 64] >> (j / 64 * 4) & 15, high = p[128 + 32 * run + j % 32] >> (j / 32 * 2) & 3;
        b.codes[i] = uint8_t(low | high << 4);
      }
      __builtin_memcpy(b.scales, p + 192, 16);
      b.scale = half_bits(p + 208);
      return;
    default: return;
  }
}

void store_half(uint8_t* p, int64_t i, uint16_t bits) { __builtin_memcpy(p + 2 * i, &bits, 2); }

// The codes of one group of one column, eight neighbours at a time.
void put_codes(const PackedFormat& f, const uint8_t* codes, const PackedPanel& p, int64_t group, int column) {
  constexpr int kVector = kPackedColumns * 4;
  uint8_t* words = p.codes + group * f.code_bytes() + column * 4;
  uint32_t high[2] = {};
  for (int w = 0; w < kGroupWords; w += 2) {
    uint64_t eight;
    __builtin_memcpy(&eight, codes + 4 * w, 8);
    if (f.bits == 8) {
      __builtin_memcpy(words + w * kVector, &eight, 4);
      __builtin_memcpy(words + (w + 1) * kVector, reinterpret_cast<const uint8_t*>(&eight) + 4, 4);
      continue;
    }
    const uint64_t low = eight & 0x0f0f0f0f0f0f0f0fu, top = eight >> 4 & 0x0f0f0f0f0f0f0f0fu;
    const uint32_t word = uint32_t(low) | uint32_t(low >> 32) << 4;
    __builtin_memcpy(words + w / 2 * kVector, &word, 4);
    if (f.bits == 5) high[0] |= uint32_t(top) << w | uint32_t(top >> 32) << (w + 1);
    if (f.bits == 6) high[w / 4] |= uint32_t(top) << w % 4 * 2 | uint32_t(top >> 32) << (w % 4 + 1) * 2;
  }
  uint8_t* out = p.high + group * f.high_bytes() + column * 4;
  if (f.bits == 5) __builtin_memcpy(out, high, 4);
  if (f.bits == 6) __builtin_memcpy(out, high, 4), __builtin_memcpy(out + kVector, high + 1, 4);
}

void put_scales(const PackedFormat& f, const Block& b, const PackedPanel& p, int64_t group, int column) {
  const int64_t at = group * kPackedColumns + column, super = group / kSuperGroups * kPackedColumns + column;
  const int within = int(group % kSuperGroups);
  switch (f.scales) {
    case Scales::kZero:
      if (group % f.span) break;
      store_half(p.scales, group / f.span * kPackedColumns + column, b.scale);
      p.minima[group / f.span * kPackedColumns + column] = uint8_t(b.minimum & 255);
      break;
    case Scales::kHalfMinimum: store_half(p.minima, at, b.minimum); [[fallthrough]];
    case Scales::kHalf: store_half(p.scales, at, b.scale); break;
    case Scales::kSuper:
      p.scales[at] = b.scales[within], p.minima[at] = b.minima[within];
      store_half(p.super_scales, super, b.scale), store_half(p.super_minima, super, b.minimum);
      break;
    case Scales::kSuperSigned:
      for (int half = 0; half < 2; half++)
        p.scales[(2 * group + half) * kPackedColumns + column] = b.scales[2 * within + half];
      store_half(p.super_scales, super, b.scale);
      break;
  }
}

template <lf_dtype kType>
void unpack(const PackedPanel& p, int lane, int64_t k0, int64_t depth, float* dst, int64_t stride) {
  constexpr PackedFormat f = packed_format(kType);
  for (int64_t i = 0; i < depth / 16; i++) {
    const int64_t group = k0 / kGroup + i / 2;
    const int half = int(i % 2);
    u32v words[4];
    packed_codes<kType>(p, group, half, lane, words);
    const f32v scale = packed_scale<kType>(p, group, half, lane);
    f32v minimum{};
    if constexpr (f.has_minimum()) minimum = packed_minimum<kType>(p, group, lane);
    for (int e = 0; e < 16; e++) {
      const i32v code = (i32v)(words[e / 4] >> (e % 4 * 8) & 255u) - f.offset;
      store(dst + (16 * i + e) * stride, f.has_minimum() ? fma(to_f32(code), scale, minimum) : to_f32(code) * scale);
    }
  }
}

}  // namespace

uint64_t packed_format_bytes(lf_dtype dtype, int64_t n, int64_t k, uint32_t group) {
  const PackedFormat f = packed_format(dtype, group);
  if (!f.bits || k % block_elements(dtype) || group % kGroup) return 0;
  return uint64_t(ceil_div(n, kPackedColumns)) * packed_panel_bytes(f, k);
}

void pack_format_panel(lf_dtype dtype, uint32_t group, const uint8_t* src, int64_t n, int64_t k, int64_t panel,
                       uint8_t* packed) {
  const PackedFormat f = packed_format(dtype, group);
  const PackedPanel p = packed_panel(f, packed, panel, k);
  __builtin_memset(p.codes, 0, packed_panel_bytes(f, k));
  const int64_t elements = block_elements(dtype), blocks = k / elements, groups = elements / kGroup;
  const int64_t first = panel * kPackedColumns;
  for (int c = 0; c < kPackedColumns && first + c < n; c++)
    for (int64_t i = 0; i < blocks; i++) {
      Block block;
      read_block(dtype, src + ((first + c) * blocks + i) * block_bytes(dtype), block);
      for (int64_t g = 0; g < groups; g++) {
        put_codes(f, block.codes + g * kGroup, p, i * groups + g, c);
        put_scales(f, block, p, i * groups + g, c);
      }
    }
}

void unpack_format(lf_dtype dtype, uint32_t group, const uint8_t* packed, int64_t k, int64_t column, int64_t count,
                   int64_t k0, int64_t depth, float* dst) {
  with_packed_format(dtype, [&](auto type) {
    constexpr lf_dtype kType = decltype(type)::value;
    for (int64_t c = 0; c < count; c += kLanes) {
      const PackedPanel p = packed_panel(packed_format(kType, group), packed, (column + c) / kPackedColumns, k);
      unpack<kType>(p, int((column + c) % kPackedColumns), k0, depth, dst + c, count);
    }
  });
}

}  // namespace LF_ISA
}  // namespace lf_cpu
