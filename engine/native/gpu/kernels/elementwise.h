// Arguments of the elementwise kernels.
#pragma once
#include "arguments.h"

namespace lf_gpu {

constexpr int kMapThreads = 256;

struct FillArgs {
  Head head;
  Operand out;
  int64_t n;
  float value;
};
struct MapArgs {
  Head head;
  Operand in[3];
  Operand out[2];
  int64_t n;
  uint32_t kind;
  float alpha, beta;
};
struct RandomArgs {
  Head head;
  Operand x, out;
  int64_t n;
  uint32_t kind, seed_lo, seed_hi, stream, accumulate;
  float a, b;
};
// Moves elements of 1, 2, 4 or 8 bytes as they are, or converts integers to other numbers.
struct MoveArgs {
  Head head;
  Operand in, out;
  int64_t n;
  uint32_t bytes;
};

}  // namespace lf_gpu
