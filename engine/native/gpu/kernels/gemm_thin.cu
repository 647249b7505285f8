// What goes with the matrix products: those of a few rows (decoding), rows in 8 bits, low-rank updates of rows with an
// adapter each, sums of columns, and the packing of weights.
#include "gemm.h"

#include "gemm_parts.h"

namespace lf_gpu {

LF_ON_DEVICE float in_brain(float v) { return widen(narrow<bf16>(v)); }

// Up to kThinRows rows: a warp walks along the depth of its columns, eight elements a lane, so that the weight is read once
// and in whole lines. The rows lie in shared memory, spread so that the lanes' reads fall into different banks.
LF_KERNEL(gemm_thin, GemmArgs, kThinWarps* kWarp) {
  const Shared<float> x = shared_at<float>(0);
  constexpr int kSpread = kThinDepth / 8;
  const Span span = span_of(a, kThinRows);
  if (span.first_row >= span.end_row) return;
  const int rows = int(smaller(kThinRows, span.end_row - span.first_row));
  const int64_t first_column = (int64_t(block_x()) * kThinWarps + thread_id() / kWarp) * kThinColumns;
  const MatrixSource b = a.group_kind == kGroupedRows ? of_group(a.b, span.group) : a.b;
  float sums[kThinColumns][kThinRows] = {};
#pragma unroll 1
  for (int phase = 0; phase < 2; phase++) {
    const MatrixSource xs = choose(phase, a.a2, a.a), w = choose(phase, a.b2, b);
    const int64_t depth = phase ? a.depth2 : a.depth;
    for (int64_t k0 = 0; k0 < depth; k0 += kThinDepth) {
      const int64_t end = smaller(depth, k0 + kThinDepth);
      sync_block();
      for (int c = thread_id(); c < rows * kSpread; c += block_threads()) {
        const int r = c / kSpread, j = c % kSpread;
        float v[8];
        read_depth8<false>(xs, source_row(xs, span.first_row + r), k0 + j * 8, end, v);
        for (int i = 0; i < 8; i++) x[r * kThinDepth + i * kSpread + j] = a.round_operands ? in_brain(v[i]) : v[i];
      }
      sync_block();
#pragma unroll
      for (int column = 0; column < kThinColumns; column++) {
        // No branch leaves a loop that is unrolled: the sums stay in registers.
        for (int j = lane_id(); first_column + column < a.n && k0 + j * 8 < end; j += kWarp) {
          float v[8];
          read_depth8<false>(w, first_column + column, k0 + j * 8, end, v);
#pragma unroll
          for (int i = 0; i < 8; i++) v[i] = a.round_operands ? in_brain(v[i]) : v[i];
#pragma unroll
          for (int r = 0; r < kThinRows; r++) {
            if (r < rows) {
#pragma unroll
              for (int i = 0; i < 8; i++) sums[column][r] += v[i] * float(x[r * kThinDepth + i * kSpread + j]);
            }
          }
        }
      }
    }
  }
#pragma unroll
  for (int column = 0; column < kThinColumns; column++) {
#pragma unroll
    for (int r = 0; r < kThinRows; r++) {
      const float sum = warp_sum(sums[column][r]);
      if (r < rows && lane_id() == 0 && first_column + column < a.n) finish_sum(a, span.group, span.first_row + r, first_column + column, sum);
    }
  }
}

// Rows in groups of 32 along k, as LF_MATH_INT8 says. One thread for each group.
LF_KERNEL(quantise_rows, QuantiseArgs, kPackThreads) {
  const int64_t groups = a.k / 32, g = int64_t(block_x()) * block_threads() + thread_id();
  if (g >= a.rows * groups) return;
  const int64_t row = g / groups, first = g % groups * 32;
  float v[32], largest = 0.0f;
  for (int i = 0; i < 32; i += 8) {
    float part[8];
    row_of(a.x, row).read(first + i, a.k, part);
    for (int j = 0; j < 8; j++) {
      v[i + j] = part[j];
      const float size = abs_of(part[j]);
      largest = size > largest ? size : largest;
    }
  }
  const bool zero = largest < 7.888609052210118e-31f;  // 2^-100
  const float inverse = zero ? 0.0f : 127.0f / largest, scale = zero ? 0.0f : largest / 127.0f;
  for (int i = 0; i < 32; i++) store(a.out + row * a.k + first + i, scale * round_of(v[i] * inverse));
}

// Sums of columns in two steps, each in the order of the rows.
LF_KERNEL(column_partials, ColumnSumArgs, kColumnSumThreads) {
  const int64_t i = int64_t(block_x()) * block_threads() + thread_id(), piece = block_y();
  if (i >= a.n) return;
  float sum = 0.0f;
  for (int64_t r = piece * kColumnSumRows; r < smaller(a.rows, (piece + 1) * kColumnSumRows); r++) sum += row_of(a.x, r).at(i);
  store(a.partial + piece * a.n + i, sum);
}
LF_KERNEL(column_sums, ColumnSumArgs, kColumnSumThreads) {
  const int64_t i = int64_t(block_x()) * block_threads() + thread_id();
  if (i >= a.n) return;
  float sum = 0.0f;
  for (int64_t piece = 0; piece < a.pieces; piece++) sum += load(a.partial + piece * a.n + i);
  float* out = a.out + i * a.out_stride;
  store(out, a.alpha * sum + (a.beta != 0.0f ? a.beta * load(out) : 0.0f));
}

// Eight elements of a packed row; what pads it is 0.
LF_KERNEL(pack_rows, PackArgs, kPackThreads) {
  const int64_t chunks = a.stride / 8, c = int64_t(block_x()) * block_threads() + thread_id();
  if (c >= a.rows * chunks) return;
  const int64_t row = c / chunks, first = c % chunks * 8;
  float v[8];
  if (a.backward) {
    for (int i = 0; i < 8; i++) {
      float part[8];
      const bool inside = first + i < a.columns;
      if (is_block_format(a.source.dtype)) {
        if (inside) decode8(a.source.dtype, a.source.data, (first + i) * a.source.row_stride + row / 8 * 8, part);
        v[i] = inside ? part[row % 8] : 0.0f;
      } else {
        v[i] = inside ? read_float(a.source.data, a.source.dtype, (first + i) * a.source.row_stride + row * a.source.depth_stride) : 0.0f;
      }
    }
  } else {
    read_depth8(a.source, row, first, a.columns, v);
  }
  write_words8(a.out, a.out_dtype, row * a.stride + first, v);
}
// Blocks of LF_Q4_Z and LF_Q4_0 to planes of codes and of groups: a thread for each eight codes.
LF_KERNEL(pack_codes, PackArgs, kPackThreads) {
  const uint32_t dtype = a.source.dtype;
  const int64_t units = (a.rows + kUnit - 1) / kUnit * (a.columns / kUnit), groups = (a.columns + a.group_depth - 1) / a.group_depth;
  for (int64_t i = int64_t(block_x()) * block_threads() + thread_id(); i < units * kUnitWords; i += int64_t(grid_x()) * block_threads()) {
    const int64_t unit = i / kUnitWords, block_row = unit / (a.columns / kUnit);
    const int within = row_of_word(int(i % kUnitWords));
    const int64_t row = block_row * kUnit + within, k = unit % (a.columns / kUnit) * kUnit + depth_of_word(int(i % kUnitWords));
    const bool inside = row < a.rows;
    uint32_t word = 0;
    if (inside) {
      const Codes8 c = codes8(dtype, a.source.data, row * a.columns + k);
      for (int e = 0; e < 8; e++) word |= uint32_t(c.q[e]) << code_shift(e);
    }
    store(reinterpret_cast<uint32_t*>(a.out) + i, word);
    if (k % a.group_depth) continue;
    const int64_t entry = (block_row * groups + k / a.group_depth) * kUnit + within;
    const uint16_t* block = reinterpret_cast<const uint16_t*>(a.source.data + (row * a.columns + k) / kUnit * block_bytes(dtype));
    const uint32_t scale = inside ? load(block) : 0u;
    if (dtype == LF_Q4_0) store(reinterpret_cast<uint16_t*>(a.groups) + entry, uint16_t(scale));
    else store(reinterpret_cast<uint32_t*>(a.groups) + entry, scale | (inside ? load(block + 1) & 255u : 0u) << 16);
  }
}
LF_KERNEL(pack_blocks, PackArgs, kPackThreads) {
  const int64_t count = a.rows * (a.columns / block_elements(a.source.dtype)) * block_bytes(a.source.dtype) / 2;
  for (int64_t i = int64_t(block_x()) * block_threads() + thread_id(); i < count; i += int64_t(grid_x()) * block_threads())
    store(reinterpret_cast<uint16_t*>(a.out) + i, load(reinterpret_cast<const uint16_t*>(a.source.data) + i));
}

// lora_x lora_a^T, one warp for each number.
LF_KERNEL(adapter_down, AdapterArgs, kPackThreads) {
  const int64_t i = (int64_t(block_x()) * block_threads() + thread_id()) / kWarp, row = i / a.rank, r = i % a.rank;
  if (i >= a.m * a.rank) return;
  const int32_t which = index_at(a.adapter, row, a.adapter_stride);
  float sum = 0.0f;
  if (which >= 0) {
    const int64_t from = which * a.down_stride[0] + r * a.down_stride[1];
    const Row x = row_of(a.x, row);
    for (int64_t k = lane_id(); k < a.k; k += kWarp) {
      const float u = x.at(k), v = read_float(a.down, a.down_dtype, from + k * a.down_stride[2]);
      sum += a.round_operands ? in_brain(u) * in_brain(v) : u * v;
    }
  }
  sum = warp_sum(sum);
  if (lane_id() != 0) return;
  store(a.low + row * a.rank + r, sum);
  if (a.low_out.data) row_of(a.low_out, row).set(r, sum);
}
// scale * (lora_x lora_a^T) lora_b^T, one thread for each number.
LF_KERNEL(adapter_up, AdapterArgs, kPackThreads) {
  const int64_t i = int64_t(block_x()) * block_threads() + thread_id(), row = i / a.n, column = i % a.n;
  if (i >= a.m * a.n) return;
  const int32_t which = index_at(a.adapter, row, a.adapter_stride);
  float sum = 0.0f;
  for (int64_t r = 0; r < a.rank && which >= 0; r++) {
    const float v = read_float(a.up, a.up_dtype, which * a.up_stride[0] + column * a.up_stride[1] + r * a.up_stride[2]);
    sum += load(a.low + row * a.rank + r) * (a.round_operands ? in_brain(v) : v);
  }
  store(a.start + i, a.scale * sum);
}

}  // namespace lf_gpu
