// One command with its operands, and what makes such commands.
#pragma once
#include <string>
#include <vector>

#include "reference/reference.h"
#include "tensor.h"

namespace conformance {

enum class Role {
  kRead,
  kWritten,  // its former content is garbage that must not be used
  kUpdated,  // read and written
};

struct Operand {
  bool present = false;
  Role role = Role::kRead;
  Tensor tensor;
  // What the command calls the data type, where that is not how the test reads it (the words of SAMPLE's rows).
  int named_dtype = -1;
  // When not strided: PACK lays the tensor out before the command runs, keeping it as `packed_dtype`.
  lf_layout layout = LF_LAYOUT_STRIDED;
  lf_dtype packed_dtype = LF_F32;
  uint32_t packed_group = 0;  // of LF_Q4_Z: elements that share a scale and a zero
  // Another operand whose buffer this one uses; -1: its own.
  int shares = -1;
};

struct Case {
  explicit Case(uint32_t op = 0) : op(op) {}

  uint32_t op;
  Params params;
  std::vector<Operand> operands;
  // Whether every backend must support it. What is optional is counted when it is refused, and is no failure.
  bool required = true;

  Operand& add(Role role, Tensor tensor) {
    Operand operand;
    operand.present = true;
    operand.role = role;
    operand.tensor = std::move(tensor);
    operands.push_back(std::move(operand));
    return operands.back();
  }
  void add_absent() { operands.emplace_back(); }
  std::string describe() const;
};

struct Suite {
  uint32_t op;
  const char* name;
  Case (*make)(Random& random);
  Reference reference;
};

// Every op of backend.h but WRITE and PACK, which take part in all other cases.
const std::vector<Suite>& suites();

// ---- what makers of cases share ----

inline uint32_t word(double value) { return float_bits(static_cast<float>(value)); }
// One of the float types; f32 half of the time.
lf_dtype any_float(Random& random);
Shape any_shape(Random& random, int lowest_rank, int64_t most_elements);
Tensor normal(Random& random, lf_dtype dtype, Shape shape, Strides strides, double deviation = 1.0);
Tensor integers(Random& random, lf_dtype dtype, Shape shape, int64_t low, int64_t high);
Tensor numbers(Random& random, lf_dtype dtype, Shape shape, const std::vector<double>& values);
// Blocks of a GGUF format with scales such that the numbers are of the size of `deviation`.
Tensor blocks(Random& random, lf_dtype dtype, Shape shape, double deviation);
lf_dtype any_block_format(Random& random);
// Boundaries of `sequences` runs that together have `total` rows; some may be empty.
std::vector<double> cumulative(Random& random, int64_t sequences, int64_t total);

}  // namespace conformance
