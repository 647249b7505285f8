// Reading and checking a command stream. Nothing in it is trusted: what passes here cannot make a kernel that keeps to
// its operands' shapes and strides leave their buffers.
#pragma once
#include <cstdint>

#include "view.h"

namespace lf {

// Operands and parameters that kernels may look at beyond those given: absent and 0.
constexpr int kMaxOperands = 24;
constexpr uint32_t kParamPadding = 16;

// Checks that [at, bytes) starts with a whole command and returns it; null and a message in `reason` otherwise.
const lf_command* check_command(const uint8_t* stream, uint64_t bytes, uint64_t at, char* reason, size_t reason_size);

inline const uint32_t* command_params(const lf_command* command) {
  return reinterpret_cast<const uint32_t*>(command + 1);
}
const lf_tensor* command_tensors(const lf_command* command);

// Bytes of a packed weight; 0 when the backend does not pack the combination.
using PackedSize = uint64_t (*)(uint32_t dtype, uint32_t layout, uint32_t n, uint32_t k, uint32_t group);

// Checks operand `index` of a command by itself (not against its buffer) and gives the bytes that it spans from its
// offset. False, with a message in `reason`, when it makes no sense. `packed_size` may be null.
bool check_operand(const lf_command* command, uint32_t index, PackedSize packed_size, uint64_t* span, char* reason,
                   size_t reason_size);
// Bits of memory for one element, scales of blocks included and rounded down.
uint64_t storage_bits(uint8_t dtype);
// What the operand's address must be a multiple of.
uint64_t operand_alignment(const lf_tensor& tensor);
// Bit i is set when the op writes operand i.
uint32_t written_operands(uint32_t op);
// Bit i is set when operand i decides where the op reads or writes: it must not change while the op runs.
uint32_t index_operands(uint32_t op);
// Fills a view without memory (for `supports`).
void describe(const lf_tensor& tensor, View* view);

}  // namespace lf
