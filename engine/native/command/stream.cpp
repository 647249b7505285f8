#include "stream.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace lf {
namespace {

// Limits that keep products of extents, and of bytes of scratch, within 64 bits.
constexpr uint64_t kMostElements = uint64_t{1} << 40;
constexpr uint32_t kLargestExtent = (1u << 30) - 1;   // of a tensor of several dimensions
constexpr uint32_t kLargestFreeExtent = 1u << 24;     // of a dimension that no memory stands behind

uint64_t element_bytes(uint8_t dtype) {
  switch (dtype) {
    case LF_F32: case LF_I32: case LF_U32: return 4;
    case LF_BF16: case LF_F16: return 2;
    case LF_F64: case LF_I64: return 8;
    case LF_U8: case LF_I8: case LF_I4: return 1;
    default: return 0;
  }
}

struct Block { uint32_t elements, bytes; };

Block block_format(uint8_t dtype) {
  switch (dtype) {
    case LF_Q4_0: return {32, 18};
    case LF_Q4_1: case LF_Q4_Z: return {32, 20};
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

__attribute__((format(printf, 3, 4))) bool refuse(char* reason, size_t size, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, size, format, arguments);
  va_end(arguments);
  return false;
}

}  // namespace

const lf_command* check_command(const uint8_t* stream, uint64_t bytes, uint64_t at, char* reason, size_t reason_size) {
  if (bytes - at < sizeof(lf_command)) {
    refuse(reason, reason_size, "the stream ends in the middle of a command header");
    return nullptr;
  }
  const lf_command* command = reinterpret_cast<const lf_command*>(stream + at);
  if (command->bytes % 16 != 0 || command->bytes < sizeof(lf_command) || command->bytes > bytes - at) {
    refuse(reason, reason_size, "command length %u is not a multiple of 16 within the %llu bytes that are left",
           command->bytes, (unsigned long long)(bytes - at));
    return nullptr;
  }
  if (command->tensor_count > kMaxOperands) {
    refuse(reason, reason_size, "%u operands; at most %d are possible", command->tensor_count, kMaxOperands);
    return nullptr;
  }
  const uint64_t expected = sizeof(lf_command) + param_bytes(command) + uint64_t{command->tensor_count} * sizeof(lf_tensor);
  if (expected != command->bytes) {
    refuse(reason, reason_size, "command length %u does not agree with %u parameters and %u operands", command->bytes,
           command->param_words, command->tensor_count);
    return nullptr;
  }
  return command;
}

const lf_tensor* command_tensors(const lf_command* command) {
  return reinterpret_cast<const lf_tensor*>(reinterpret_cast<const uint8_t*>(command + 1) + param_bytes(command));
}

bool check_operand(const lf_command* command, uint32_t index, PackedSize packed_size, uint64_t* span, char* reason,
                   size_t reason_size) {
  const lf_tensor& t = command_tensors(command)[index];
  const bool written = written_operands(command->op) >> index & 1;
  if (t.rank > LF_MAX_RANK) return refuse(reason, reason_size, "operand %u has %u dimensions", index, t.rank);
  if (t.scale_operand > command->tensor_count || t.zero_operand > command->tensor_count) {
    return refuse(reason, reason_size, "operand %u names scales or zeros that the command does not have", index);
  }
  const Block block = block_format(t.dtype);
  const uint64_t size = element_bytes(t.dtype);
  if (!block.elements && !size) return refuse(reason, reason_size, "operand %u has unknown data type %u", index, t.dtype);
  uint64_t elements = 1;
  for (int i = 0; i < t.rank; i++) {
    if (t.rank > 1 && t.shape[i] > kLargestExtent) {
      return refuse(reason, reason_size, "operand %u has extent %u in dimension %d; at most %u is possible", index,
                    t.shape[i], i, kLargestExtent);
    }
    elements *= std::max(t.shape[i], 1u);
    if (elements > kMostElements) return refuse(reason, reason_size, "operand %u has too many elements", index);
  }
  const bool empty = std::any_of(t.shape, t.shape + t.rank, [](uint32_t n) { return n == 0; });
  const bool strided = t.layout == LF_LAYOUT_STRIDED && !block.elements;
  for (int i = 0; i < t.rank; i++) {
    const bool broadcast = strided && t.stride[i] == 0 && t.shape[i] > 1;
    if ((broadcast || empty) && t.shape[i] > kLargestFreeExtent) {
      return refuse(reason, reason_size, "operand %u repeats dimension %d %u times; at most %u is possible", index, i,
                    t.shape[i], kLargestFreeExtent);
    }
    if (broadcast && written && !empty) {
      return refuse(reason, reason_size, "operand %u is written, but has stride 0 in dimension %d", index, i);
    }
  }
  if (t.layout != LF_LAYOUT_STRIDED) {
    if (t.layout > LF_LAYOUT_PACKED_BACKWARD) {
      return refuse(reason, reason_size, "operand %u has unknown layout %u", index, t.layout);
    }
    if (t.rank != 2) return refuse(reason, reason_size, "operand %u is packed, but has %u dimensions", index, t.rank);
    const uint64_t bytes =
        packed_size ? packed_size(t.dtype, t.layout, t.shape[0], t.shape[1], t.group) : 0;
    if (!bytes && !empty) {
      return refuse(reason, reason_size, "operand %u: this backend packs no weight of data type %u and layout %u", index,
                    t.dtype, t.layout);
    }
    *span = bytes;
    return true;
  }
  if (block.elements) {
    if (t.rank == 0 || t.shape[t.rank - 1] % block.elements) {
      return refuse(reason, reason_size, "operand %u: rows of data type %u are whole blocks of %u elements", index, t.dtype,
                    block.elements);
    }
    *span = empty ? 0 : elements / block.elements * block.bytes;
    return true;
  }
  uint64_t last = 0;  // index of the furthest element: four products below 2^64 / 4, since extents are below 2^30
  for (int i = 0; i < t.rank; i++) last += uint64_t{std::max(t.shape[i], 1u) - 1} * t.stride[i];
  *span = empty ? 0 : (last + 1) * size;
  if (last < kMostElements * 8) return true;
  return refuse(reason, reason_size, "operand %u reaches beyond any memory", index);
}

uint64_t storage_bits(uint8_t dtype) {
  const Block block = block_format(dtype);
  return block.elements ? block.bytes * 8 / block.elements : element_bytes(dtype) * 8;
}

uint64_t operand_alignment(const lf_tensor& t) {
  if (t.layout != LF_LAYOUT_STRIDED) return 64;
  // Blocks hold 16-bit scales.
  return block_format(t.dtype).elements ? 2 : element_bytes(t.dtype);
}

uint32_t written_operands(uint32_t op) {
  switch (op) {
    case LF_OP_WRITE: case LF_OP_FILL: case LF_OP_RANDOM: case LF_OP_ALL_REDUCE: return 1u << 0;
    case LF_OP_COPY: case LF_OP_UNARY: case LF_OP_REDUCE: case LF_OP_DROPOUT: case LF_OP_SOFTMAX: case LF_OP_PACK:
    case LF_OP_CLIP_SCALE: case LF_OP_ALL_GATHER: return 1u << 1;
    case LF_OP_BINARY: case LF_OP_UNARY_BACKWARD: case LF_OP_EMBEDDING: case LF_OP_EMBEDDING_BACKWARD: case LF_OP_MATMUL:
    case LF_OP_GLU: case LF_OP_MEAN_POOL: case LF_OP_GATHER_COLUMNS: return 1u << 2;
    case LF_OP_RMS_NORM: return 7u << 3;
    case LF_OP_RMS_NORM_BACKWARD: return 3u << 5;
    case LF_OP_LAYER_NORM: return 15u << 4;
    case LF_OP_LAYER_NORM_BACKWARD: return 7u << 6;
    case LF_OP_LINEAR: return 1u << 3 | 1u << 7;
    case LF_OP_LINEAR_BACKWARD_INPUT: return 1u << 2 | 3u << 5;
    case LF_OP_LINEAR_BACKWARD_WEIGHT: return 3u << 2;
    case LF_OP_GROUPED_LINEAR: case LF_OP_GROUPED_LINEAR_BACKWARD_INPUT: case LF_OP_GROUPED_LINEAR_BACKWARD_WEIGHT:
    case LF_OP_ROPE: case LF_OP_BLOCKS_OF_CODES: return 1u << 3;
    case LF_OP_ATTENTION: return 3u << 5;
    case LF_OP_ATTENTION_BACKWARD: return 7u << 8;
    case LF_OP_KV_WRITE: return 15u << 3;
    case LF_OP_ATTENTION_PAGED: return 1u << 6;
    case LF_OP_KV_COPY_BLOCKS: return 3u << 0 | 3u << 3;
    case LF_OP_GLU_BACKWARD: return 3u << 3;
    case LF_OP_ROUTE: return 7u << 1;
    case LF_OP_ROUTE_BACKWARD: return 1u << 5;
    case LF_OP_CROSS_ENTROPY: return 15u << 5 | 7u << 10;
    case LF_OP_DIVERGENCE: return 1u << 0 | 1u << 3;
    case LF_OP_ADAMW: return 1u << 0 | 3u << 2 | 1u << 5;
    case LF_OP_SAMPLE: return 15u << 5;
    case LF_OP_LION: return 1u << 0 | 1u << 2 | 1u << 4;
    case LF_OP_ADAMW_8BIT: return 1u << 0 | 15u << 2 | 1u << 9;
    case LF_OP_ADAFACTOR: return 1u << 0 | 3u << 2 | 1u << 5;
    case LF_OP_DEQUANTIZE: return 1u << 5;
    case LF_OP_QUANTIZE_TABLE: return 3u << 2;
    case LF_OP_QUANTIZE_GROUPS: return 15u << 2;
    case LF_OP_QUANTIZE_BLOCK: return 15u << 4;
    case LF_OP_QUANTIZE_SWEEP: return 1u << 3 | 3u << 5;
    case LF_OP_ENCODE_BLOCKS: return 1u << 2;
    default: return 0;
  }
}

uint32_t index_operands(uint32_t op) {
  switch (op) {
    case LF_OP_PACK: case LF_OP_DEQUANTIZE: return 1u << 4;
    case LF_OP_EMBEDDING: case LF_OP_EMBEDDING_BACKWARD: return 1u << 0;
    case LF_OP_LINEAR: return 1u << 8;
    case LF_OP_ATTENTION: case LF_OP_ATTENTION_BACKWARD: return 3u << 3;
    case LF_OP_KV_WRITE: case LF_OP_KV_COPY_BLOCKS: case LF_OP_GROUPED_LINEAR_BACKWARD_WEIGHT: return 1u << 2;
    case LF_OP_GROUPED_LINEAR: case LF_OP_GROUPED_LINEAR_BACKWARD_INPUT: return 1u << 1;
    case LF_OP_ROUTE_BACKWARD: return 3u << 1;
    case LF_OP_ATTENTION_PAGED: return 7u << 3;
    case LF_OP_CROSS_ENTROPY: return 1u << 3;
    case LF_OP_SAMPLE: return 3u << 1;
    case LF_OP_MEAN_POOL: case LF_OP_GATHER_COLUMNS: return 1u << 1;
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

}  // namespace lf
