#include "case.h"

#include <algorithm>

namespace conformance {

std::string Case::describe() const {
  std::string text = "params(";
  for (size_t i = 0; i < params.words.size(); i++) {
    const double f = params.f(i);
    const uint32_t u = params.u(i);
    char word[48];
    // Small numbers and what makes no sense as a float are integers.
    const bool whole = u < 1u << 20 || !(f > 1e-20 || f < -1e-20) || f > 1e20 || f < -1e20;
    snprintf(word, sizeof word, whole ? "%s%.0f" : "%s%g", i ? " " : "", whole ? static_cast<double>(params.i(i)) : f);
    text += word;
  }
  text += ")";
  for (const Operand& operand : operands) {
    text += ' ';
    text += operand.present ? operand.tensor.describe() : "-";
    if (operand.present && operand.layout != LF_LAYOUT_STRIDED) {
      text += std::string(operand.layout == LF_LAYOUT_PACKED_FORWARD ? ":forward-" : ":backward-") + dtype_name(operand.packed_dtype);
    }
    if (operand.shares >= 0) text += "=" + std::to_string(operand.shares);
  }
  return text;
}

lf_dtype any_float(Random& random) { return random.pick({LF_F32, LF_F32, LF_BF16, LF_F16}); }

lf_dtype any_block_format(Random& random) {
  return random.pick({LF_Q4_0, LF_Q4_1, LF_Q5_0, LF_Q5_1, LF_Q8_0, LF_Q4_K, LF_Q5_K, LF_Q6_K});
}

Shape any_shape(Random& random, int lowest_rank, int64_t most_elements) {
  Shape shape(static_cast<size_t>(random.integer(lowest_rank, LF_MAX_RANK)));
  int64_t left = most_elements;
  for (size_t d = shape.size(); d-- > 0;) {
    shape[d] = random.extent(std::max<int64_t>(left, 1));
    left /= shape[d];
  }
  if (random.chance(0.05) && !shape.empty()) shape[static_cast<size_t>(random.integer(0, static_cast<int64_t>(shape.size()) - 1))] = 0;
  return shape;
}

Tensor normal(Random& random, lf_dtype dtype, Shape shape, Strides strides, double deviation) {
  Tensor t = Tensor::make(random, dtype, std::move(shape), strides);
  std::vector<double> values(static_cast<size_t>(t.elements()));
  for (double& v : values) v = deviation * random.normal();
  t.set_values(values);
  return t;
}

Tensor integers(Random& random, lf_dtype dtype, Shape shape, int64_t low, int64_t high) {
  Tensor t = Tensor::make(random, dtype, std::move(shape), Strides::kAny);
  std::vector<double> values(static_cast<size_t>(t.elements()));
  for (double& v : values) v = static_cast<double>(random.integer(low, high));
  t.set_values(values);
  return t;
}

Tensor numbers(Random& random, lf_dtype dtype, Shape shape, const std::vector<double>& values) {
  Tensor t = Tensor::make(random, dtype, std::move(shape), Strides::kAny);
  t.set_values(values);
  return t;
}

Tensor blocks(Random& random, lf_dtype dtype, Shape shape, double deviation) {
  Tensor t = Tensor::make(random, dtype, std::move(shape), Strides::kContiguous);
  const size_t bytes = block_bytes(dtype);
  const size_t count = static_cast<size_t>(t.elements()) / block_elements(dtype);
  for (size_t i = 0; i < count; i++) {
    uint8_t* block = t.memory.data() + t.offset + i * bytes;
    for (size_t j = 0; j < bytes; j++) block[j] = static_cast<uint8_t>(random.bits());
    // Codes have a width of 16 to 256, and 6-bit or 8-bit scales come on top in the K formats.
    double scale = deviation * random.uniform(0.5, 1.5);
    switch (dtype) {
      case LF_Q4_0: case LF_Q4_1: case LF_Q4_Z: scale /= 5; break;
      case LF_Q5_0: case LF_Q5_1: scale /= 10; break;
      case LF_Q8_0: scale /= 70; break;
      case LF_Q4_K: scale /= 5 * 32; break;
      case LF_Q5_K: scale /= 10 * 32; break;
      default: scale /= 18 * 64; break;
    }
    if (dtype == LF_Q6_K) {
      store_number(LF_F16, block + 208, scale);
      continue;
    }
    store_number(LF_F16, block, scale);
    if (dtype == LF_Q4_Z) block[2] %= 17;
    if (dtype == LF_Q4_1 || dtype == LF_Q5_1) store_number(LF_F16, block + 2, -deviation * random.uniform(0.5, 1.5));
    if (dtype == LF_Q4_K || dtype == LF_Q5_K) store_number(LF_F16, block + 2, deviation * random.uniform(0.5, 1.5) / 32);
  }
  return t;
}

std::vector<double> cumulative(Random& random, int64_t sequences, int64_t total) {
  std::vector<double> cu{0.0};
  for (int64_t b = 1; b < sequences; b++) cu.push_back(static_cast<double>(random.integer(0, total)));
  std::sort(cu.begin(), cu.end());
  if (sequences > 0) cu.push_back(static_cast<double>(total));
  return cu;
}

}  // namespace conformance
