#include "tensor.h"

#include <algorithm>

namespace conformance {

int64_t element_count(const Shape& shape) {
  int64_t n = 1;
  for (int64_t extent : shape) n *= extent;
  return n;
}

Tensor Tensor::make(Random& random, lf_dtype dtype, Shape shape, Strides strides) {
  Tensor t;
  t.dtype = dtype;
  t.shape = std::move(shape);
  const size_t rank = t.shape.size();
  t.stride.assign(rank, 0);
  uint64_t bytes;
  size_t unit = element_bytes(dtype);
  if (is_block_format(dtype)) {
    unit = 2;
    bytes = static_cast<uint64_t>(t.elements()) / block_elements(dtype) * block_bytes(dtype);
  } else {
    // The dimensions in the order in which they lie in memory, the densest last.
    std::vector<size_t> order(rank);
    for (size_t i = 0; i < rank; i++) order[i] = i;
    const bool any = strides == Strides::kAny || strides == Strides::kBroadcast;
    if (any && rank > 1 && random.chance(0.3)) std::swap(order[rank - 1], order[random.integer(0, rank - 1)]);
    uint64_t next = any && random.chance(0.15) ? 2 : 1;
    for (size_t i = rank; i-- > 0;) {
      const size_t d = order[i];
      if (strides == Strides::kBroadcast && random.chance(0.12)) continue;
      t.stride[d] = static_cast<uint32_t>(next);
      next *= static_cast<uint64_t>(std::max<int64_t>(t.shape[d], 1));
      if (strides != Strides::kContiguous && i > 0 && random.chance(0.3)) next += static_cast<uint64_t>(random.integer(1, 9));
    }
    uint64_t last = 0;
    for (size_t d = 0; d < rank; d++) last += static_cast<uint64_t>(std::max<int64_t>(t.shape[d], 1) - 1) * t.stride[d];
    bytes = t.elements() ? (last + 1) * unit : 0;
  }
  t.offset = random.chance(0.5) ? 0 : static_cast<uint64_t>(random.integer(1, 40)) * unit;
  t.memory.resize(t.offset + bytes + (random.chance(0.5) ? unit * static_cast<size_t>(random.integer(1, 40)) : 0));
  if (t.memory.empty()) t.memory.resize(unit);
  // Bytes of all kinds: as floats, among them infinities and NaNs, which spoil every result they get into.
  for (uint8_t& byte : t.memory) byte = random.chance(0.5) ? 0xff : static_cast<uint8_t>(random.bits());
  return t;
}

std::vector<uint64_t> Tensor::positions() const {
  std::vector<uint64_t> out(static_cast<size_t>(elements()));
  const size_t unit = element_bytes(dtype);
  std::vector<int64_t> index(shape.size(), 0);
  for (uint64_t& position : out) {
    position = offset;
    for (size_t d = 0; d < shape.size(); d++) position += static_cast<uint64_t>(index[d]) * stride[d] * unit;
    for (size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
  return out;
}

std::vector<double> Tensor::values() const {
  if (is_block_format(dtype)) return decode_blocks(dtype, memory.data() + offset, elements());
  std::vector<double> out;
  for (uint64_t position : positions()) out.push_back(load_number(dtype, memory.data() + position));
  return out;
}

void Tensor::set_values(const std::vector<double>& values) {
  size_t i = 0;
  for (uint64_t position : positions()) store_number(dtype, memory.data() + position, values[i++]);
}

std::string Tensor::describe() const {
  std::string text = std::string(dtype_name(dtype)) + "[";
  for (size_t d = 0; d < shape.size(); d++) text += (d ? "," : "") + std::to_string(shape[d]);
  text += "]";
  bool contiguous = true;
  uint64_t expected = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] != 1 && stride[d] != expected) contiguous = false;
    expected *= static_cast<uint64_t>(std::max<int64_t>(shape[d], 1));
  }
  if (contiguous || is_block_format(dtype)) return text;
  text += "/";
  for (size_t d = 0; d < shape.size(); d++) text += (d ? "," : "") + std::to_string(stride[d]);
  return text;
}

}  // namespace conformance
