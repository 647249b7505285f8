// Operands on the host: memory with a shape and strides, and the numbers in it.
#pragma once
#include <string>
#include <vector>

#include "numbers.h"
#include "random.h"

namespace conformance {

using Shape = std::vector<int64_t>;
int64_t element_count(const Shape& shape);

// How an operand may lie in memory.
enum class Strides {
  kContiguous,
  kDenseRows,  // the last dimension is dense; gaps elsewhere
  kAny,        // gaps and exchanged dimensions too
  kBroadcast,  // also dimensions that repeat (stride 0); for operands that are only read
};

struct Tensor {
  lf_dtype dtype = LF_F32;
  Shape shape;
  std::vector<uint32_t> stride;  // in elements
  uint64_t offset = 0;           // in bytes
  std::vector<uint8_t> memory;   // of the whole buffer; what is no element of the tensor must not be touched

  // Memory for a tensor laid out at random within what `strides` allows, filled with garbage that is no number to use.
  static Tensor make(Random& random, lf_dtype dtype, Shape shape, Strides strides);

  int64_t elements() const { return element_count(shape); }
  // Byte positions of the elements, the last dimension first. Not for block formats.
  std::vector<uint64_t> positions() const;
  std::vector<double> values() const;
  void set_values(const std::vector<double>& values);
  std::string describe() const;
};

// Decodes blocks of a GGUF format; `count` is a whole number of blocks.
std::vector<double> decode_blocks(lf_dtype dtype, const uint8_t* blocks, int64_t count);

}  // namespace conformance
