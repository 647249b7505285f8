// Where the panels of a product's second factor come from: packed memory as it is, or converted or decoded block by block.
#pragma once
#include "gemm.h"
#include "gemm_micro.h"
#include "gemm_pack.h"
#include "packed_format.h"

namespace lf_cpu {
namespace LF_ISA {

// Packed weights are panels of kPanel columns, the last one padded with zeros: f32 as [panel][k][kPanel], bf16 as
// [panel][ceil(k / kStoredPair)][kPanel][kStoredPair]. These are FloatWords and Bf16Words where the latter are pairs.
constexpr int kStoredPair = Bf16Words::kUnit;

LF_INLINE int64_t stored_rows(lf_dtype dtype, int64_t k) { return dtype == LF_BF16 ? ceil_div(k, kStoredPair) : k; }
LF_INLINE int64_t stored_row_bytes(lf_dtype dtype) { return kPanel * (dtype == LF_BF16 ? 2 * kStoredPair : 4); }

// Whether packed memory of this dtype already consists of such words.
template <typename Words>
LF_INLINE bool holds_words(lf_dtype dtype) {
  if (dtype == LF_F32) return Words::kUnit == 1 && __is_same(Words, FloatWords);
  return dtype == LF_BF16 && Words::kUnit == 2;
}

// Words of bf16 pairs, split into the words of single elements.
template <typename Words>
static void split_pairs(const uint32_t* src, int64_t depth, uint32_t* dst) {
  for (int64_t k = 0; k < depth; k += 2, src += kPanel, dst += 2 * kPanel)
    for (int v = 0; v < kPanel; v += kLanes) {
      u32v pair = load_words(src + v);
      store_words(dst + v, pair << 16);
      if (k + 1 < depth) store_words(dst + kPanel + v, pair & 0xffff0000u);
    }
}

// Elements of k that a call of `fill_panel` may start at and be long, but at the end of k: whole blocks and pairs.
constexpr int64_t kFillAlignment = 256;
// Floats of scratch that it needs for a block format.
LF_INLINE int64_t fill_scratch(int64_t depth) { return kPanel * depth; }

// Writes columns [column, column + kPanel), limited to `columns`, of elements [k0, k0 + depth) as words [..][kPanel].
// `column` is a multiple of kPanel.
template <typename Words>
static void fill_panel(const Columns& source, const uint8_t* data, int64_t columns, int64_t k, int64_t column,
                       int64_t k0, int64_t depth, uint32_t* words, float* scratch) {
  const WordTarget target = {words, 1, kPanel};
  const int64_t count = smaller<int64_t>(kPanel, columns - column);
  if (source.packed && is_block_format(source.dtype)) {
    unpack_format(source.dtype, source.group, data, k, column, kPanel, k0, depth, scratch);
    pack_words<Words>(static_cast<const float*>(scratch), 1, kPanel, kPanel, depth, target, kPanel);
  } else if (source.packed) {
    const uint8_t* panel = data + column / kPanel * stored_rows(source.dtype, k) * stored_row_bytes(source.dtype);
    if (source.dtype == LF_BF16 && kStoredPair == 2) {
      split_pairs<Words>(reinterpret_cast<const uint32_t*>(panel) + k0 / 2 * kPanel, depth, words);
    } else {
      const int64_t offset = k0 * stored_row_bytes(source.dtype);
      pack_words<Words>(source.dtype, panel + offset, 1, kPanel, kPanel, depth, target, kPanel);
    }
  } else if (is_block_format(source.dtype)) {
    const int64_t block = block_elements(source.dtype), bytes = block_bytes(source.dtype);
    for (int64_t c = 0; c < count; c++)
      dequantize_row(source.dtype, data + ((column + c) * (k / block) + k0 / block) * bytes, depth, scratch + c * depth);
    pack_words<Words>(static_cast<const float*>(scratch), depth, 1, count, depth, target, kPanel);
  } else {
    const int64_t offset = (column * source.column_stride + k0 * source.k_stride) * element_bytes(source.dtype);
    pack_words<Words>(source.dtype, data + offset, source.column_stride, source.k_stride, count, depth, target, kPanel);
  }
}

}  // namespace LF_ISA
}  // namespace lf_cpu
