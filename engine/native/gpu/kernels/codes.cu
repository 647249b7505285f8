// DEQUANTIZE, QUANTIZE_TABLE and BLOCKS_OF_CODES: codes of 4 and 8 bits, as bitsandbytes, GPTQ and AWQ store them.
#include "codes.h"

#include "block_formats.h"

namespace lf_gpu {

// Of 4 bits, the first of two elements is in the high half.
LF_ON_DEVICE uint32_t code_at(const DequantizeArgs& a, int64_t i) {
  const uint32_t byte = load(a.codes + (a.bits == 8 ? i : i / 2));
  return a.bits == 8 ? byte : i & 1 ? byte & 15u : byte >> 4;
}
LF_ON_DEVICE float scale_of_block(const DequantizeArgs& a, int64_t block) {
  if (!a.nested_map) return load(reinterpret_cast<const float*>(a.scale) + block);
  return load(a.nested_map + load(a.scale + block)) * load(a.nested_scale + block / a.nested_block) + a.offset;
}
LF_ON_DEVICE float dequantized(const DequantizeArgs& a, int64_t i) {
  const uint32_t code = code_at(a, i);
  if (a.table) return load(a.table + code) * scale_of_block(a, i / a.block);
  const int64_t column = i % a.columns, group = a.index ? load(a.index + column) : column / (a.columns / a.groups);
  const int64_t at = i / a.columns * a.groups + group;
  return (float(code) - float(load(a.zero + at))) * read_float(a.scale, a.scale_dtype, at);
}
LF_KERNEL(dequantize, DequantizeArgs, kCodeThreads) {
  const int64_t step = int64_t(grid_x()) * block_threads() * 8;
  for (int64_t first = (int64_t(block_x()) * block_threads() + thread_id()) * 8; first < a.n; first += step) {
    float v[8];
    for (int i = 0; i < 8; i++) v[i] = first + i < a.n ? dequantized(a, first + i) : 0.0f;
    write8(a.out, first, a.n, v);
  }
}

// One warp for each block of elements, which are an even number: no byte has codes of two blocks.
LF_KERNEL(quantize_table, TableArgs, kCodeThreads) {
  const int64_t b = (int64_t(block_x()) * block_threads() + thread_id()) / kWarp, first = b * a.block, end = smaller(a.n, first + a.block);
  if (first >= a.n) return;
  float largest = 0.0f;
  for (int64_t i = first + lane_id(); i < end; i += kWarp) largest = larger_of(largest, abs_of(load(a.x + i)));
  largest = warp_max(largest);
  if (lane_id() == 0) store(a.absmax + b, largest);
  const float divisor = largest > 0.0f ? largest : 1.0f;
  auto code = [&](int64_t i) {
    const float value = i < end ? load(a.x + i) / divisor : 0.0f;
    uint32_t c = 0;
    for (int m = 0; m + 1 < kTableCodes; m++) c += 0.5f * (load(a.table + m) + load(a.table + m + 1)) < value ? 1u : 0u;
    return c;
  };
  for (int64_t i = first + 2 * lane_id(); i < end; i += 2 * kWarp) store(a.codes + i / 2, uint8_t(code(i) << 4 | code(i + 1)));
}

// Where column n % 8 lies in a word of AWQ.
LF_ON_DEVICE int awq_shift(int64_t n) { return 4 * int(n % 2 * 4 + n % 8 / 2); }

// One thread for each block of 32 elements: its scale, its zero, and the codes in the order of Q4_0.
LF_KERNEL(blocks_of_codes, CodeBlocksArgs, kCodeThreads) {
  const int64_t blocks = a.columns / 32, i = int64_t(block_x()) * block_threads() + thread_id();
  if (i >= a.rows * blocks) return;
  const int64_t row = i / blocks, k = i % blocks * 32, group = k / a.group;
  auto code = [&](int e) -> uint32_t {
    if (a.awq) return load(a.codes + row / 8 * a.code_stride[0] + (k + e) * a.code_stride[1]) >> awq_shift(row) & 15u;
    return load(a.codes + row * a.code_stride[0] + (k + e) / 8 * a.code_stride[1]) >> (4 * (e % 8)) & 15u;
  };
  const float scale = read_float(a.scales, a.scale_dtype, row * a.scale_stride[0] + group * a.scale_stride[1]);
  const uint32_t zero = a.zeros ? load(a.zeros + row * a.zero_stride[0] + group * a.zero_stride[1]) : 8u;
  uint16_t* out = reinterpret_cast<uint16_t*>(a.out + i * block_bytes(LF_Q4_Z));
  store(out, float_to_half_bits(scale));
  store(out + 1, uint16_t(zero));
  for (int e = 0; e < 16; e += 2)
    store(out + 2 + e / 2, uint16_t(code(e) | code(e + 16) << 4 | code(e + 1) << 8 | code(e + 17) << 12));
}

}  // namespace lf_gpu
