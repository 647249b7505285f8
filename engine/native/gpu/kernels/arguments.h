// What host and device share: the arguments of kernels. Every kernel takes one structure by value, which begins with Head.
#pragma once
#include <cstdint>

namespace lf_gpu {

// The first failure of a queue's kernels, in device memory. Kernels do nothing once it is claimed, so that what follows a
// failing command has no effect.
struct Fault {
  uint32_t claimed;  // serial of the command
  uint32_t operand;
  uint32_t element_lo, element_hi;
  int32_t value;
  int32_t low, high;  // what the value must lie within, both included
  uint32_t rule;      // FaultRule
};
enum FaultRule : uint32_t { kFaultRange = 1, kFaultOrder = 2, kFaultLength = 3 };

struct Head {
  Fault* fault;
  uint32_t serial;  // of the command that the launch belongs to; not 0
  uint32_t reserved;
};

enum OperandFlags : uint32_t {
  // The last extent is a multiple of 8 and dense; rows start at multiples of 16 bytes: 8 elements move as words.
  kVector = 1,
};

// An operand with up to four dimensions; fewer are padded in front with 1. Neighbouring dimensions that lie in memory as
// one are joined.
struct Operand {
  uint8_t* data;
  uint32_t dtype;  // lf_dtype
  uint32_t flags;
  uint32_t shape[4];
  uint32_t stride[4];  // in elements
};

constexpr int kLanesOfWork = 8;  // elements that a thread handles at a time

}  // namespace lf_gpu
