// Arguments of QUANTIZE_GROUPS, QUANTIZE_BLOCK and QUANTIZE_SWEEP.
#pragma once
#include "arguments.h"

namespace lf_gpu {

constexpr int kQuantizeThreads = 128;

// A matrix of f32 or u8, of any strides.
struct Strided {
  uint8_t* data;
  int64_t row, column;
};
// The parameters that the three ops share.
struct QuantizeGrid {
  int64_t group;
  float levels, half;  // codes are 0 to levels; half is the zero of a symmetric grid
  uint32_t symmetric, dtype;
  int32_t shares, refits;
};
struct QuantizeArgs {
  Head head;
  QuantizeGrid grid;
  Strided w, codes, scales, zeros;
  Strided values;            // GROUPS: absent where it has no data
  Strided carried, errors;   // BLOCK
  Strided matrix;            // BLOCK: upper; SWEEP: square
  Strided slope;             // SWEEP
  const float* importance;   // GROUPS: null is 1
  const int32_t* columns;    // BLOCK: groups of columns, or null
  int64_t importance_stride, column_stride, rows, width;
  int64_t shared_numbers;    // of a row: block_numbers or sweep_numbers
};
// Numbers of shared memory that a warp's row takes: targets, inverse diagonal, and what a group would best be; or slopes,
// changes, and the steps and pulls of a group.
constexpr int64_t block_numbers(int64_t width, int64_t group) { return 2 * width + group; }
constexpr int64_t sweep_numbers(int64_t width, int64_t group) { return 2 * width + 2 * group; }

}  // namespace lf_gpu
