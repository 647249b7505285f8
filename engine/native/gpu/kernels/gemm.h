// Arguments of the matrix products: out[m, n] = sum over k of a[m, k] b[n, k], continued by a second pair of operands.
#pragma once
#include "arguments.h"

namespace lf_gpu {

// An operand [rows, depth], of floats or of a block format (whose rows are contiguous).
struct MatrixSource {
  const uint8_t* data;
  uint32_t dtype;
  uint32_t vector;  // eight elements along the dense direction may move as words
  int64_t row_stride, depth_stride, group_stride;  // in elements
  const int32_t* index;  // row i lies at index[i], unless null
  const uint8_t* groups;  // of packed LF_Q4_Z and LF_Q4_0: the plane of groups, each of group_depth elements; else null
  int64_t groups_of_row, group_depth;
};

enum GroupKind : uint32_t {
  kNoGroups = 0,
  kGroupedRows = 1,   // rows offsets[e] to offsets[e + 1] are multiplied with matrix e of b
  kGroupedDepth = 2,  // output e sums over offsets[e] to offsets[e + 1]
};

struct GemmArgs {
  Head head;
  MatrixSource a, b, a2, b2;
  int64_t m, n, depth, depth2;
  // out = activation(alpha * sum + bias) + beta * out
  uint8_t* out;
  uint32_t out_dtype, activation;
  int64_t out_row_stride, out_column_stride, out_group_stride;
  const int32_t* out_index;
  float alpha, beta;
  const uint8_t* bias;
  int64_t bias_stride;
  uint32_t bias_dtype;
  // A dense copy of the sums [m, copy_stride], times copy_scale.
  uint32_t copy_dtype;
  uint8_t* copy;
  int64_t copy_stride;
  float copy_scale;
  uint32_t group_kind, groups;
  uint32_t round_operands;  // of products by plain arithmetic: to bf16
  const float* start;        // dense [m, n], added to the sums
  const int32_t* offsets;
  int64_t offset_stride;
  const uint32_t* row_limit;  // rows that there are, counted from -first_row; null: m
  int64_t first_row;
};

// Tiles of the general kernel, which converts operands on their way to shared memory.
constexpr int kGemmRows = 64, kGemmColumns = 64, kGemmDepth = 32, kGemmWarps = 4;
constexpr uint32_t general_gemm_shared(uint32_t bytes) {  // bytes of an element in shared memory; two stages
  return 2 * (kGemmRows + kGemmColumns) * (kGemmDepth * bytes + 16);
}
// Tiles of the kernel that copies operands as they are, asynchronously.
constexpr int kAsyncRows = 128, kAsyncColumns = 128, kAsyncDepth = 32, kAsyncStages = 3, kAsyncThreads = 256;
// A tile lies as its memory does: [rows][depth], or transposed [depth][rows].
template <bool kTransposed>
constexpr int kAsyncTile = kTransposed ? kAsyncDepth * (kAsyncRows + 8) : kAsyncRows * (kAsyncDepth + 8);
constexpr uint32_t async_gemm_shared(bool transposed_a, bool transposed_b) {
  return kAsyncStages * 2 *
         ((transposed_a ? kAsyncTile<true> : kAsyncTile<false>) + (transposed_b ? kAsyncTile<true> : kAsyncTile<false>));
}
// A few rows: a warp for each column or two, all of the depth.
constexpr int kThinRows = 4, kThinWarps = 8, kThinColumns = 2, kThinDepth = 1024;
constexpr uint32_t kThinShared = kThinRows * kThinDepth * 4;

// Weights packed in 4 bits. Slices are as deep as their units; a row of x takes 64 bytes of a slice, a unit of codes 512, its
// entries of a group up to 128.
constexpr int kPackedRows = 64, kPackedColumns = 128, kPackedDepth = 32, kPackedStages = 4, kPackedWarps = 4;
constexpr int kPackedRowBytes = 2 * kPackedDepth, kPackedUnitBytes = 512, kPackedGroupBytes = 128;
constexpr uint32_t kPackedShared =
    kPackedStages * (kPackedRows * kPackedRowBytes + kPackedWarps * (kPackedUnitBytes + kPackedGroupBytes));
// Up to 16 rows: a block has 32 columns, and its warps share the depth.
constexpr int kPackedThinRows = 16, kPackedThinColumns = 32, kPackedThinWarps = 8;
constexpr int kPackedThinStage = kPackedThinRows * kPackedRowBytes + kPackedUnitBytes + kPackedGroupBytes;
constexpr uint32_t kPackedThinShared = kPackedThinWarps * kPackedStages * kPackedThinStage;
// The same by plain arithmetic, for up to kThinRows rows: 32 threads for each of eight parts of the depth.
constexpr int kPackedPlainParts = 8, kPackedPlainThreads = 32 * kPackedPlainParts;
constexpr uint32_t kPackedPlainShared = kPackedPlainParts * kPackedThinColumns * kThinRows * 4;

struct ColumnSumArgs {
  Head head;
  Operand x;       // [rows, n]
  float* partial;  // [pieces][n]
  float* out;
  int64_t out_stride, rows, n, pieces;
  float alpha, beta;
};
constexpr int64_t kColumnSumRows = 64;
constexpr int kColumnSumThreads = 256;

struct QuantiseArgs {
  Head head;
  Operand x;
  float* out;  // dense [rows, k]: scale * code
  int64_t rows, k;
};
struct PackArgs {
  Head head;
  MatrixSource source;
  uint8_t* out;
  uint8_t* groups;  // the plane of groups of packed LF_Q4_Z and LF_Q4_0
  int64_t group_depth;
  uint32_t out_dtype, backward;
  int64_t rows, columns, stride;  // of what is written
};
// Low-rank updates of rows with an adapter each.
struct AdapterArgs {
  Head head;
  Operand x;  // [m, k]
  const uint8_t *down, *up;  // [adapters, rank, k], [adapters, n, rank]
  uint32_t down_dtype, up_dtype;
  int64_t down_stride[3], up_stride[3];
  const int32_t* adapter;
  int64_t adapter_stride;
  float* low;      // dense [m, rank]
  Operand low_out;  // lora_xa, unless it has no data
  float* start;    // dense [m, n]
  int64_t m, n, k, rank;
  float scale;
  uint32_t round_operands;
};
constexpr int kPackThreads = 256;

}  // namespace lf_gpu
