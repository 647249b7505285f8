// Arguments of DEQUANTIZE, QUANTIZE_TABLE, BLOCKS_OF_CODES and ENCODE_BLOCKS.
#pragma once
#include "arguments.h"

namespace lf_gpu {

constexpr int kCodeThreads = 128;
constexpr int kTableCodes = 16;
// ENCODE_BLOCKS: for each thread's sub-block of 32 (or 16) elements they, their weights and codes, padded; two multiples; and bytes of
// blocks.
constexpr int kEncodeThreads = 64, kEncodeStride = 33;
constexpr uint32_t kEncodeShared = kEncodeThreads * (3 * kEncodeStride * 4 + 2 + 34);

struct DequantizeArgs {
  Head head;
  const uint8_t *codes, *scale, *zero;  // scale: of a table f32 or, nested, u8 a block; else of scale_dtype [rows, groups]
  const float *table, *nested_map, *nested_scale;
  const int32_t* index;  // of columns' groups, or null
  Operand out;           // contiguous [rows, columns]
  int64_t n, columns, groups, block, nested_block;
  uint32_t bits, scale_dtype;
  float offset;
};
struct TableArgs {
  Head head;
  const float *x, *table;
  uint8_t* codes;
  float* absmax;
  int64_t n, block;
};
struct CodeBlocksArgs {
  Head head;
  const uint32_t* codes;
  const uint8_t *scales, *zeros;
  uint8_t* out;
  int64_t code_stride[2], scale_stride[2], zero_stride[2];
  int64_t rows, columns, group;
  uint32_t awq, scale_dtype;
};
struct EncodeArgs {
  Head head;
  Operand source;           // [rows, columns]
  const float* importance;  // null: 1
  int64_t importance_stride, rows, columns;
  uint8_t* out;
  uint32_t dtype;
};

}  // namespace lf_gpu
