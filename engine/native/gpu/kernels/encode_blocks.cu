// ENCODE_BLOCKS: weights in the GGUF block formats.
#include "block_formats.h"
#include "codes.h"

#define LF_ENCODER LF_DEVICE_FUNCTION
#include "../../formats/encode_blocks.h"

namespace lf_gpu {

struct EncoderNumbers {
  LF_ON_DEVICE static float abs(float v) { return abs_of(v); }
  LF_ON_DEVICE static float floor(float v) { return floor_of(v); }
  LF_ON_DEVICE static float round(float v) { return round_away_of(v); }
  LF_ON_DEVICE static float from_half(uint16_t bits) { return half_bits_to_float(bits); }
  LF_ON_DEVICE static uint16_t half(float v) { return float_to_half_bits(v); }
};

// One thread for each block: it holds the block's numbers in its own memory.
LF_KERNEL(encode_blocks, EncodeArgs, kCodeThreads) {
  const int elements = block_elements(a.dtype), bytes = block_bytes(a.dtype);
  const int64_t blocks = a.columns / elements, i = int64_t(block_x()) * block_threads() + thread_id();
  if (i >= a.rows * blocks) return;
  const int64_t first = i % blocks * elements;
  const Row row = row_of(a.source, i / blocks);
  float x[256], weights[256];
  uint8_t block[210];
  for (int e = 0; e < elements; e++) {
    x[e] = row.at(first + e);
    weights[e] = a.importance ? load(a.importance + (first + e) * a.importance_stride) : 1.0f;
  }
  lf::BlockEncoder<EncoderNumbers>::encode(a.dtype, x, weights, block);
  // Blocks are aligned to two bytes, of which every format has an even number.
  uint16_t* out = reinterpret_cast<uint16_t*>(a.out + i * bytes);
  for (int b = 0; b < bytes; b += 2) store(out + b / 2, uint16_t(block[b] | block[b + 1] << 8));
}

}  // namespace lf_gpu
