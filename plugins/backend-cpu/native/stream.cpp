#include "stream.h"

#include <cstdio>

namespace lf_cpu {
namespace {

uint64_t element_bytes(uint8_t dtype) {
  switch (dtype) {
    case LF_F32: case LF_I32: case LF_U32: return 4;
    case LF_BF16: case LF_F16: return 2;
    case LF_F64: case LF_I64: return 8;
    case LF_U8: case LF_I8: return 1;
    default: return 0;
  }
}

struct Block { uint32_t elements, bytes; };

Block block_format(uint8_t dtype) {
  switch (dtype) {
    case LF_Q4_0: return {32, 18};
    case LF_Q4_1: return {32, 20};
    case LF_Q5_0: return {32, 22};
    case LF_Q5_1: return {32, 24};
    case LF_Q8_0: return {32, 34};
    case LF_Q4_K: return {256, 144};
    case LF_Q5_K: return {256, 176};
    case LF_Q6_K: return {256, 210};
    default: return {0, 0};
  }
}

uint64_t param_bytes(const lf_command* command) { return ((uint64_t{command->param_words} + 3) / 4) * 16; }

}  // namespace

const lf_command* check_command(const uint8_t* stream, uint64_t bytes, uint64_t at, char* reason, size_t reason_size) {
  if (bytes - at < sizeof(lf_command)) {
    snprintf(reason, reason_size, "the stream ends in the middle of a command header");
    return nullptr;
  }
  const lf_command* command = reinterpret_cast<const lf_command*>(stream + at);
  if (command->bytes % 16 != 0 || command->bytes < sizeof(lf_command) || command->bytes > bytes - at) {
    snprintf(reason, reason_size, "command length %u is not a multiple of 16 within the stream", command->bytes);
    return nullptr;
  }
  if (command->tensor_count > kMaxOperands) {
    snprintf(reason, reason_size, "%u operands; at most %d are possible", command->tensor_count, kMaxOperands);
    return nullptr;
  }
  const uint64_t expected = sizeof(lf_command) + param_bytes(command) + uint64_t{command->tensor_count} * sizeof(lf_tensor);
  if (expected != command->bytes) {
    snprintf(reason, reason_size, "command length %u does not agree with %u parameters and %u operands", command->bytes,
             command->param_words, command->tensor_count);
    return nullptr;
  }
  return command;
}

const lf_tensor* command_tensors(const lf_command* command) {
  return reinterpret_cast<const lf_tensor*>(reinterpret_cast<const uint8_t*>(command + 1) + param_bytes(command));
}

uint64_t tensor_span(const lf_tensor& t, const KernelTable& kernels) {
  if (t.rank > LF_MAX_RANK) return UINT64_MAX;
  if (t.layout != LF_LAYOUT_STRIDED) {
    if (t.rank != 2 || t.layout > LF_LAYOUT_PACKED_BACKWARD) return UINT64_MAX;
    const uint64_t bytes = kernels.packed_size(t.dtype, t.layout, t.shape[0], t.shape[1], t.group);
    return bytes ? bytes : UINT64_MAX;
  }
  if (const Block block = block_format(t.dtype); block.elements) {
    if (t.rank == 0) return UINT64_MAX;
    const uint32_t columns = t.shape[t.rank - 1];
    if (columns % block.elements) return UINT64_MAX;
    uint64_t blocks = columns / block.elements;
    for (int i = 0; i + 1 < t.rank; i++) {
      if (__builtin_mul_overflow(blocks, uint64_t{t.shape[i]}, &blocks)) return UINT64_MAX;
    }
    uint64_t bytes;
    return __builtin_mul_overflow(blocks, uint64_t{block.bytes}, &bytes) ? UINT64_MAX : bytes;
  }
  const uint64_t size = t.dtype == LF_I4 ? 1 : element_bytes(t.dtype);
  if (!size) return UINT64_MAX;
  uint64_t last = 0;  // index of the furthest element
  for (int i = 0; i < t.rank; i++) {
    if (t.shape[i] == 0) return 0;
    // Each factor is below 2^32, so a product fits; the sum of four such products may not.
    if (__builtin_add_overflow(last, uint64_t{t.shape[i] - 1} * t.stride[i], &last)) return UINT64_MAX;
  }
  uint64_t bytes;
  if (last == UINT64_MAX || __builtin_mul_overflow(last + 1, size, &bytes)) return UINT64_MAX;
  return bytes;
}

uint32_t written_operands(uint32_t op) {
  switch (op) {
    case LF_OP_WRITE: case LF_OP_FILL: case LF_OP_RANDOM: return 1u << 0;
    case LF_OP_COPY: case LF_OP_UNARY: case LF_OP_REDUCE: case LF_OP_DROPOUT: case LF_OP_SOFTMAX: case LF_OP_PACK:
    case LF_OP_CLIP_SCALE: return 1u << 1;
    case LF_OP_BINARY: case LF_OP_UNARY_BACKWARD: case LF_OP_EMBEDDING: case LF_OP_EMBEDDING_BACKWARD: case LF_OP_MATMUL:
    case LF_OP_GLU: case LF_OP_MEAN_POOL: return 1u << 2;
    case LF_OP_RMS_NORM: return 7u << 3;
    case LF_OP_RMS_NORM_BACKWARD: return 3u << 5;
    case LF_OP_LAYER_NORM: return 15u << 4;
    case LF_OP_LAYER_NORM_BACKWARD: return 7u << 6;
    case LF_OP_LINEAR: return 1u << 3 | 1u << 7;
    case LF_OP_LINEAR_BACKWARD_INPUT: return 1u << 2 | 3u << 5;
    case LF_OP_LINEAR_BACKWARD_WEIGHT: return 3u << 2;
    case LF_OP_ROPE: return 1u << 3;
    case LF_OP_ATTENTION: return 3u << 5;
    case LF_OP_ATTENTION_BACKWARD: return 7u << 8;
    case LF_OP_KV_WRITE: return 3u << 3;
    case LF_OP_ATTENTION_PAGED: return 1u << 6;
    case LF_OP_KV_COPY_BLOCKS: return 3u << 0;
    case LF_OP_GLU_BACKWARD: return 3u << 3;
    case LF_OP_CROSS_ENTROPY: return 15u << 5 | 7u << 10;
    case LF_OP_ADAMW: return 1u << 0 | 3u << 2 | 1u << 5;
    case LF_OP_SAMPLE: return 15u << 5;
    default: return 0;
  }
}

void describe(const lf_tensor& t, View* view) {
  *view = View{};
  view->dtype = static_cast<lf_dtype>(t.dtype);
  view->layout = static_cast<lf_layout>(t.layout);
  view->rank = t.rank;
  for (int i = 0; i < LF_MAX_RANK; i++) {
    view->shape[i] = t.shape[i];
    view->stride[i] = t.stride[i];
  }
  view->group = t.group;
  view->scale_operand = t.scale_operand;
  view->zero_operand = t.zero_operand;
}

}  // namespace lf_cpu
