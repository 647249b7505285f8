// The block formats, decoded element by element from the description of their layout (ggml's block_q* structures).
#include "../tensor.h"

namespace conformance {
namespace {

double half(const uint8_t* p) { return load_number(LF_F16, p); }

// The low or high nibble of element i, where a run of `run` bytes holds elements [0, run) low and [run, 2 run) high.
int nibble(const uint8_t* bytes, int i, int run) { return i < run ? bytes[i] & 15 : bytes[i - run] >> 4; }

bool bit(const uint8_t* bytes, int i) { return bytes[i / 8] >> (i % 8) & 1; }

// Scale (which = 0) or minimum (which = 1) of sub-block j of a K format: 16 numbers of 6 bits in 12 bytes. Those of
// sub-blocks 0 to 3 are the low six bits of bytes 0-3 and 4-7. Of those of 4 to 7, the low four bits are the nibbles of
// bytes 8-11 and the high two the top bits of bytes 0-3 and 4-7.
int six_bits(const uint8_t* packed, int j, int which) {
  if (j < 4) return packed[4 * which + j] & 63;
  const int low = which == 0 ? packed[8 + j - 4] & 15 : packed[8 + j - 4] >> 4;
  return low + 16 * (packed[4 * which + j - 4] >> 6);
}

double element(lf_dtype dtype, const uint8_t* b, int i) {
  switch (dtype) {
    case LF_Q4_0: return half(b) * (nibble(b + 2, i, 16) - 8);
    case LF_Q4_1: return half(b) * nibble(b + 4, i, 16) + half(b + 2);
    case LF_Q4_Z: return half(b) * (nibble(b + 4, i, 16) - b[2]);
    case LF_Q5_0: return half(b) * (nibble(b + 6, i, 16) + 16 * bit(b + 2, i) - 16);
    case LF_Q5_1: return half(b) * (nibble(b + 8, i, 16) + 16 * bit(b + 4, i)) + half(b + 2);
    case LF_Q8_0: return half(b) * static_cast<int8_t>(b[2 + i]);
    case LF_Q4_K: {
      const int code = nibble(b + 16 + i / 64 * 32, i % 64, 32), j = i / 32;
      return half(b) * six_bits(b + 4, j, 0) * code - half(b + 2) * six_bits(b + 4, j, 1);
    }
    case LF_Q5_K: {
      const int j = i / 32, high = b[16 + i % 32] >> j & 1, code = nibble(b + 48 + i / 64 * 32, i % 64, 32) + 16 * high;
      return half(b) * six_bits(b + 4, j, 0) * code - half(b + 2) * six_bits(b + 4, j, 1);
    }
    case LF_Q6_K: {
      // Per run of 128 elements: 64 bytes of nibbles, whose low halves come first, and 32 bytes of two high bits each.
      const int run = i / 128, r = i % 128;
      const int low = nibble(b + 64 * run, r, 64), high = b[128 + 32 * run + r % 32] >> (2 * (r / 32)) & 3;
      return half(b + 208) * static_cast<int8_t>(b[192 + i / 16]) * (low + 16 * high - 32);
    }
    default: return 0.0;
  }
}

}  // namespace

std::vector<double> decode_blocks(lf_dtype dtype, const uint8_t* blocks, int64_t count) {
  std::vector<double> out;
  const int elements = static_cast<int>(block_elements(dtype));
  for (int64_t i = 0; i < count; i++) out.push_back(element(dtype, blocks + i / elements * block_bytes(dtype), static_cast<int>(i % elements)));
  return out;
}

}  // namespace conformance
