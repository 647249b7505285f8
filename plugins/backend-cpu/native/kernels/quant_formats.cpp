// Decoding of the block formats. Layouts of GGUF's are those of ggml's block_q* structures: scales are f16, the low nibbles
// of a run of bytes come before the high ones.
#include "quant_formats.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

float half_at(const uint8_t* p) {
  f16 h;
  __builtin_memcpy(&h, p, 2);
  return widen(h);
}
uint32_t word_at(const uint8_t* p) {
  uint32_t u;
  __builtin_memcpy(&u, p, 4);
  return u;
}

// f16 scale | 16 bytes of nibbles; value = (q - 8) * scale.
void decode_q4_0(const uint8_t* block, float* y) {
  const float scale = half_at(block);
  const uint8_t* q = block + 2;
  for (int i = 0; i < 16; i++) {
    y[i] = float((q[i] & 15) - 8) * scale;
    y[i + 16] = float((q[i] >> 4) - 8) * scale;
  }
}

// f16 scale | f16 minimum | 16 bytes of nibbles; value = q * scale + minimum.
void decode_q4_1(const uint8_t* block, float* y) {
  const float scale = half_at(block), minimum = half_at(block + 2);
  const uint8_t* q = block + 4;
  for (int i = 0; i < 16; i++) {
    y[i] = float(q[i] & 15) * scale + minimum;
    y[i + 16] = float(q[i] >> 4) * scale + minimum;
  }
}

// f16 scale | u8 zero | u8 unused | 16 bytes of nibbles; value = (q - zero) * scale.
void decode_q4_z(const uint8_t* block, float* y) {
  const float scale = half_at(block);
  const int zero = block[2];
  const uint8_t* q = block + 4;
  for (int i = 0; i < 16; i++) {
    y[i] = float((q[i] & 15) - zero) * scale;
    y[i + 16] = float((q[i] >> 4) - zero) * scale;
  }
}

// f16 scale | 32 fifth bits | 16 bytes of nibbles; value = (q - 16) * scale.
void decode_q5_0(const uint8_t* block, float* y) {
  const float scale = half_at(block);
  const uint32_t high = word_at(block + 2);
  const uint8_t* q = block + 6;
  for (int i = 0; i < 16; i++) {
    y[i] = float(int((q[i] & 15) | (high >> i & 1) << 4) - 16) * scale;
    y[i + 16] = float(int((q[i] >> 4) | (high >> (i + 16) & 1) << 4) - 16) * scale;
  }
}

// f16 scale | f16 minimum | 32 fifth bits | 16 bytes of nibbles; value = q * scale + minimum.
void decode_q5_1(const uint8_t* block, float* y) {
  const float scale = half_at(block), minimum = half_at(block + 2);
  const uint32_t high = word_at(block + 4);
  const uint8_t* q = block + 8;
  for (int i = 0; i < 16; i++) {
    y[i] = float((q[i] & 15) | (high >> i & 1) << 4) * scale + minimum;
    y[i + 16] = float((q[i] >> 4) | (high >> (i + 16) & 1) << 4) * scale + minimum;
  }
}

// f16 scale | 32 signed bytes.
void decode_q8_0(const uint8_t* block, float* y) {
  const float scale = half_at(block);
  for (int i = 0; i < 32; i++) y[i] = float(int8_t(block[2 + i])) * scale;
}

// Scale and minimum, 6 bits each, of sub-block `i` of the 8 in a Q4_K or Q5_K block: the first four lie in the low bits
// of bytes 0..7, the others are split between bytes 8..11 and the top bits of bytes 0..7.
void sub_block_scale(const uint8_t* packed, int i, float& scale, float& minimum) {
  if (i < 4) {
    scale = float(packed[i] & 63);
    minimum = float(packed[i + 4] & 63);
  } else {
    scale = float((packed[i + 4] & 15) | (packed[i - 4] >> 6) << 4);
    minimum = float((packed[i + 4] >> 4) | (packed[i] >> 6) << 4);
  }
}

// f16 scale of scales | f16 scale of minima | 12 bytes of both | 128 bytes of nibbles, in runs of 64 elements.
void decode_q4_k(const uint8_t* block, float* y) {
  const float d = half_at(block), d_min = half_at(block + 2);
  const uint8_t *scales = block + 4, *q = block + 16;
  for (int run = 0; run < 4; run++, q += 32, y += 64) {
    float s0, m0, s1, m1;
    sub_block_scale(scales, 2 * run, s0, m0);
    sub_block_scale(scales, 2 * run + 1, s1, m1);
    s0 *= d, s1 *= d, m0 *= d_min, m1 *= d_min;
    for (int i = 0; i < 32; i++) {
      y[i] = s0 * float(q[i] & 15) - m0;
      y[i + 32] = s1 * float(q[i] >> 4) - m1;
    }
  }
}

// As Q4_K, with 32 bytes of fifth bits before the nibbles: bit 2r and 2r + 1 of byte i belong to run r.
void decode_q5_k(const uint8_t* block, float* y) {
  const float d = half_at(block), d_min = half_at(block + 2);
  const uint8_t *scales = block + 4, *high = block + 16, *q = block + 48;
  for (int run = 0; run < 4; run++, q += 32, y += 64) {
    float s0, m0, s1, m1;
    sub_block_scale(scales, 2 * run, s0, m0);
    sub_block_scale(scales, 2 * run + 1, s1, m1);
    s0 *= d, s1 *= d, m0 *= d_min, m1 *= d_min;
    for (int i = 0; i < 32; i++) {
      y[i] = s0 * float((q[i] & 15) | (high[i] >> (2 * run) & 1) << 4) - m0;
      y[i + 32] = s1 * float((q[i] >> 4) | (high[i] >> (2 * run + 1) & 1) << 4) - m1;
    }
  }
}

// 128 bytes of low nibbles | 64 bytes of the two high bits | 16 signed scales | f16 scale of scales.
void decode_q6_k(const uint8_t* block, float* y) {
  const uint8_t *low = block, *high = block + 128;
  const int8_t* scales = reinterpret_cast<const int8_t*>(block + 192);
  const float d = half_at(block + 208);
  for (int run = 0; run < 2; run++, low += 64, high += 32, scales += 8, y += 128) {
    for (int i = 0; i < 32; i++) {
      const int s = i / 16;
      y[i] = d * float(scales[s]) * float(((low[i] & 15) | (high[i] & 3) << 4) - 32);
      y[i + 32] = d * float(scales[s + 2]) * float(((low[i + 32] & 15) | (high[i] >> 2 & 3) << 4) - 32);
      y[i + 64] = d * float(scales[s + 4]) * float(((low[i] >> 4) | (high[i] >> 4 & 3) << 4) - 32);
      y[i + 96] = d * float(scales[s + 6]) * float(((low[i + 32] >> 4) | (high[i] >> 6) << 4) - 32);
    }
  }
}

}  // namespace

void dequantize_row(lf_dtype dtype, const void* src, int64_t n, float* dst) {
  void (*decode)(const uint8_t*, float*);
  switch (dtype) {
    case LF_Q4_0: decode = decode_q4_0; break;
    case LF_Q4_1: decode = decode_q4_1; break;
    case LF_Q5_0: decode = decode_q5_0; break;
    case LF_Q5_1: decode = decode_q5_1; break;
    case LF_Q8_0: decode = decode_q8_0; break;
    case LF_Q4_K: decode = decode_q4_k; break;
    case LF_Q5_K: decode = decode_q5_k; break;
    case LF_Q6_K: decode = decode_q6_k; break;
    case LF_Q4_Z: decode = decode_q4_z; break;
    default: return;
  }
  const uint8_t* block = static_cast<const uint8_t*>(src);
  const int64_t elements = block_elements(dtype), bytes = block_bytes(dtype);
  for (int64_t i = 0; i < n; i += elements, block += bytes) decode(block, dst + i);
}

}  // namespace LF_ISA
}  // namespace lf_cpu
