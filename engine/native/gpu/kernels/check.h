// Arguments of the kernels that the runtime itself launches.
#pragma once
#include "arguments.h"

namespace lf_gpu {

constexpr int kCheckThreads = 256;

// Elements must lie within [low, high], or be `exception` where there is one. With `rising`, the first is `low`, the last `high`, none is less than the one
// before, nor, where `longest` is not 0, more than `longest` larger.
struct CheckArgs {
  Head head;
  const int32_t* data;
  uint32_t shape[4], stride[4];
  int64_t count;
  uint32_t operand;
  int32_t low, high;
  uint32_t rising;
  int32_t longest;
  uint32_t excepts;
  int32_t exception;
};

// Data that travels with the launch; arguments may have 4 KiB.
constexpr uint32_t kWriteBytes = 3072;
struct WriteArgs {
  Head head;
  uint8_t* to;
  uint32_t bytes;
  uint32_t reserved;
  uint8_t data[kWriteBytes];
};

}  // namespace lf_gpu
