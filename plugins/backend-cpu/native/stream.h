// Reading and checking a command stream. Nothing in it is trusted.
#pragma once
#include <cstdint>

#include "buffers.h"
#include "kernel.h"

namespace lf_cpu {

// Operands and parameters that kernels may look at beyond those given: absent and 0.
constexpr int kMaxOperands = 24;
constexpr uint32_t kParamPadding = 16;

// Checks that [at, bytes) starts with a whole command and returns it; null and a message in `reason` otherwise.
const lf_command* check_command(const uint8_t* stream, uint64_t bytes, uint64_t at, char* reason, size_t reason_size);

inline const uint32_t* command_params(const lf_command* command) {
  return reinterpret_cast<const uint32_t*>(command + 1);
}
const lf_tensor* command_tensors(const lf_command* command);

// Bytes that a tensor spans from its offset; UINT64_MAX when dtype, rank, shape or layout make no sense.
uint64_t tensor_span(const lf_tensor& tensor, const KernelTable& kernels);
// Bit i is set when the op writes operand i.
uint32_t written_operands(uint32_t op);
// Fills a view without memory (for `supports`).
void describe(const lf_tensor& tensor, View* view);

}  // namespace lf_cpu
