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
using Encoder = lf::BlockEncoder<EncoderNumbers>;

// The codes of a block of 256 elements: those of each sub-block lie at its thread's place.
struct SpreadCodes {
  Shared<float> first;
  int extent;  // of a sub-block
  LF_ON_DEVICE float operator[](int i) const { return first[i / extent * kEncodeStride + i % extent]; }
};

// The K formats: the threads of a block's sub-blocks agree on its scale; then the first of them writes it.
template <int bits>
LF_ON_DEVICE void encode_super(Shared<float> x, Shared<float> w, Shared<float> codes, Shared<uint8_t> multiples, Shared<uint8_t> block) {
  const int j = thread_id() % 8;
  const auto own = Encoder::fit_super<bits>(x, w);
  float scale = own.scale > 0.0f ? own.scale : 0.0f, minimum = -own.minimum > 0.0f ? -own.minimum : 0.0f;
  for (int d = 1; d < 8; d *= 2) {
    const float other = shuffle_xor(scale, d), lower = shuffle_xor(minimum, d);
    scale = other > scale ? other : scale, minimum = lower > minimum ? lower : minimum;
  }
  const float d = Encoder::stored(scale / 63.0f), d_min = Encoder::stored(minimum / 63.0f);
  const auto chosen = Encoder::choose_super<bits>(x, w, own, d, d_min, codes);
  multiples[j] = chosen.scale, multiples[8 + j] = chosen.minimum;
  sync_warp();
  if (j == 0) Encoder::put_super<bits>(d, d_min, multiples, multiples + 8, SpreadCodes{codes, 32}, block);
}
LF_ON_DEVICE void encode_q6_k(Shared<float> x, Shared<float> w, Shared<float> codes, Shared<uint8_t> block) {
  const int j = thread_id() % 16;
  const float own = Encoder::fit_q6_k(x, w);
  // The first of those that are largest in magnitude.
  float extreme = own;
  int from = j;
  for (int d = 1; d < 16; d *= 2) {
    const float other = shuffle_xor(extreme, d), size = abs_of(other), most = abs_of(extreme);
    const int where = shuffle_xor(from, d);
    if (size > most || (size == most && where < from)) extreme = other, from = where;
  }
  const float d = Encoder::stored(extreme / -128.0f);
  block[192 + j] = uint8_t(Encoder::choose_q6_k(x, w, own, d, codes));
  sync_warp();
  if (j == 0) Encoder::put_q6_k(d, SpreadCodes{codes, 16}, block);
}

// A thread for each sub-block, all in shared memory, where neighbouring threads' numbers lie in different banks.
LF_KERNEL(encode_blocks, EncodeArgs, kEncodeThreads) {
  const int elements = block_elements(a.dtype), bytes = block_bytes(a.dtype), extent = a.dtype == LF_Q6_K ? 16 : 32;
  const int threads = block_threads(), thread = thread_id();
  const int64_t all = a.rows * a.columns, start = int64_t(block_x()) * threads * extent;
  const Shared<float> x = shared_at<float>(0), weights = x + threads * kEncodeStride, codes = weights + threads * kEncodeStride;
  const Shared<uint8_t> multiples = shared_at<uint8_t>(uint32_t(3 * threads * kEncodeStride * 4)), out = multiples + 2 * threads;
  for (int i = thread; i < threads * extent; i += threads) {
    const int at = i / extent * kEncodeStride + i % extent;
    const int64_t from = start + i, column = from % a.columns;
    x[at] = from < all ? row_of(a.source, from / a.columns).at(column) : 0.0f;
    weights[at] = a.importance && from < all ? load(a.importance + column * a.importance_stride) : 1.0f;
  }
  sync_block();
  // Threads without a sub-block encode zeros along with the others.
  const int own = thread * kEncodeStride, first = thread * extent / elements;
  const Shared<uint8_t> block = out + first * bytes;
  switch (a.dtype) {
    case LF_Q4_K: encode_super<4>(x + own, weights + own, codes + own, multiples + first * 16, block); break;
    case LF_Q5_K: encode_super<5>(x + own, weights + own, codes + own, multiples + first * 16, block); break;
    case LF_Q6_K: encode_q6_k(x + own, weights + own, codes + own, block); break;
    default: Encoder::encode_32(a.dtype, x + own, weights + own, codes + own, block);
  }
  sync_block();
  // Blocks are aligned to two bytes, of which every format has an even number.
  const int64_t first_byte = start / elements * bytes, last_byte = all / elements * bytes;
  for (int b = 2 * thread; b < threads * extent / elements * bytes; b += 2 * threads) {
    const uint32_t low = uint8_t(out[b]), high = uint8_t(out[b + 1]);
    if (first_byte + b < last_byte) store(reinterpret_cast<uint16_t*>(a.out + first_byte + b), uint16_t(low | high << 8));
  }
}

}  // namespace lf_gpu
