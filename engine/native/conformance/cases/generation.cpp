#include <algorithm>
#include <cmath>

#include "cases.h"

namespace conformance {

Case make_cross_entropy(Random& random) {
  Case c{LF_OP_CROSS_ENTROPY};
  const int32_t ignore = random.pick({-100, -1});
  const uint32_t math = random.chance(0.5) ? LF_MATH_F32 : LF_MATH_BF16;
  c.params.words = {static_cast<uint32_t>(ignore), word(random.uniform(0.01, 1.0)),
                    word(random.chance(0.2) ? random.uniform(5.0, 30.0) : 0.0),
                    word(random.chance(0.3) ? random.uniform(0.0, 0.3) : 0.0),
                    word(random.chance(0.2) ? random.uniform(0.1, 2.0) : 1.0), math};
  // Backends may take a vocabulary piece by piece: some are long enough for several.
  const bool large = random.chance(0.15);
  const int64_t rows = random.chance(0.05) ? 0 : random.extent(large ? 20 : 70);
  const int64_t vocabulary = large ? 3000 + random.extent(7000) : random.extent(random.chance(0.2) ? 2000 : 300);
  int64_t n = random.extent(large ? 40 : 130);
  Operand w;
  w.present = true;
  const bool format = random.chance(0.25);
  if (format) {
    const lf_dtype dtype = any_block_format(random);
    const int64_t block = static_cast<int64_t>(block_elements(dtype));
    n = (n + block - 1) / block * block;
    w.tensor = blocks(random, dtype, {vocabulary, n}, 0.2);
  } else {
    w.tensor = normal(random, any_float(random), {vocabulary, n}, Strides::kAny, 0.2);
  }
  Operand backward;
  if (random.chance(0.5)) {
    backward = w;
    backward.layout = LF_LAYOUT_PACKED_BACKWARD;
    w.layout = LF_LAYOUT_PACKED_FORWARD;
    w.packed_dtype = backward.packed_dtype = random.pick({LF_BF16, LF_F32});
  }
  c.add(Role::kRead, normal(random, any_float(random), {rows, n}, Strides::kAny));
  c.operands.push_back(w);
  const bool bias = random.chance(0.3);
  if (bias) c.add(Role::kRead, normal(random, any_float(random), {vocabulary}, Strides::kAny));
  else c.add_absent();
  std::vector<double> labels(static_cast<size_t>(rows));
  const double ignored = random.pick({0.0, 0.3, 1.0});
  for (double& label : labels) label = random.chance(ignored) ? ignore : static_cast<double>(random.integer(0, vocabulary - 1));
  c.add(Role::kRead, numbers(random, LF_I32, {rows}, labels));
  auto optional = [&](double probability, Role role, Tensor tensor) {
    if (random.chance(probability)) c.add(role, std::move(tensor));
    else c.add_absent();
  };
  auto written = [&](lf_dtype dtype, const Shape& shape) { return Tensor::make(random, dtype, shape, Strides::kAny); };
  optional(0.3, Role::kRead, normal(random, LF_F32, {rows}, Strides::kAny));
  c.add(Role::kWritten, written(LF_F32, {rows}));
  optional(0.7, Role::kWritten, written(any_float(random), {rows, n}));
  optional(0.4, Role::kUpdated, normal(random, LF_F32, {vocabulary, n}, Strides::kAny));
  optional(0.3, Role::kUpdated, normal(random, LF_F32, {vocabulary}, Strides::kAny));
  // It serves dx alone.
  if (c.operands[6].present) c.operands.push_back(backward);
  else c.add_absent();
  optional(0.4, Role::kWritten, written(LF_F32, {rows}));
  optional(0.4, Role::kWritten, written(LF_F32, {rows}));
  optional(0.4, Role::kWritten, written(LF_I32, {rows}));
  return c;
}

Case make_sample(Random& random) {
  Case c{LF_OP_SAMPLE};
  const int64_t rows = random.integer(1, 5), vocabulary = random.extent(random.chance(0.1) ? 6000 : 700);
  const uint32_t top_n = random.chance(0.4) ? static_cast<uint32_t>(random.integer(0, std::min<int64_t>(vocabulary, 10))) : 0;
  c.params.words = {top_n};
  Tensor logits = normal(random, LF_F32, {rows, vocabulary}, Strides::kDenseRows, 3.0);
  std::vector<double> values = logits.values();
  const bool holes = random.chance(0.3), coarse = random.chance(0.2);
  for (size_t i = 0; i < values.size(); i++) {
    // Ties, so that the lower id must win.
    if (coarse) values[i] = std::nearbyint(values[i]);
    if (holes && i % static_cast<size_t>(vocabulary) != 0 && random.chance(0.3)) values[i] = -INFINITY;
  }
  logits.set_values(values);
  c.add(Role::kRead, logits);
  std::vector<double> words, history;
  for (int64_t b = 0; b < rows; b++) {
    uint32_t row[LF_SAMPLE_WORDS] = {};
    row[LF_SAMPLE_TEMPERATURE] = word(random.chance(0.2) ? 0.0 : random.uniform(0.2, 2.0));
    row[LF_SAMPLE_TOP_K] = random.chance(0.4) ? static_cast<uint32_t>(random.integer(1, vocabulary + 3)) : 0;
    row[LF_SAMPLE_TOP_P] = word(random.chance(0.4) ? random.uniform(0.05, 0.99) : 1.0);
    row[LF_SAMPLE_MIN_P] = word(random.chance(0.3) ? random.uniform(0.001, 0.5) : 0.0);
    const bool penalized = random.chance(0.5);
    row[LF_SAMPLE_REPETITION] = word(penalized ? random.uniform(0.8, 1.5) : 1.0);
    row[LF_SAMPLE_PRESENCE] = word(penalized ? random.uniform(-1.0, 1.0) : 0.0);
    row[LF_SAMPLE_FREQUENCY] = word(penalized ? random.uniform(-0.5, 0.5) : 0.0);
    row[LF_SAMPLE_SEED_LO] = static_cast<uint32_t>(random.bits());
    row[LF_SAMPLE_SEED_HI] = static_cast<uint32_t>(random.bits());
    row[LF_SAMPLE_POSITION] = static_cast<uint32_t>(random.integer(0, 5000));
    row[LF_SAMPLE_HISTORY_START] = static_cast<uint32_t>(history.size());
    row[LF_SAMPLE_PROMPT_LENGTH] = static_cast<uint32_t>(random.integer(0, 20));
    row[LF_SAMPLE_OUTPUT_LENGTH] = static_cast<uint32_t>(random.integer(0, 20));
    for (uint32_t i = 0; i < row[LF_SAMPLE_PROMPT_LENGTH] + row[LF_SAMPLE_OUTPUT_LENGTH]; i++) {
      history.push_back(static_cast<double>(random.integer(0, vocabulary - 1)));
    }
    row[LF_SAMPLE_FLAGS] = static_cast<uint32_t>(random.integer(0, 3));
    words.insert(words.end(), row, row + LF_SAMPLE_WORDS);
  }
  history.push_back(0.0);
  c.add(Role::kRead, numbers(random, LF_U32, {rows, LF_SAMPLE_WORDS}, words)).named_dtype = LF_F32;
  c.add(Role::kRead, numbers(random, LF_I32, {static_cast<int64_t>(history.size())}, history));
  if (random.chance(0.5)) {
    const int64_t width = (vocabulary + 31) / 32;
    std::vector<double> mask(static_cast<size_t>(rows * width));
    for (size_t i = 0; i < mask.size(); i++) {
      mask[i] = static_cast<uint32_t>(random.bits() & random.bits());
      // Something stays possible: the first token always is.
      if (i % static_cast<size_t>(width) == 0) mask[i] = static_cast<uint32_t>(mask[i]) | 1u;
    }
    c.add(Role::kRead, numbers(random, LF_U32, {rows, width}, mask));
  } else {
    c.add_absent();
  }
  if (random.chance(0.4)) c.add(Role::kRead, normal(random, LF_F32, {rows, vocabulary}, Strides::kAny));
  else c.add_absent();
  c.add(Role::kWritten, Tensor::make(random, LF_I32, {rows}, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, LF_F32, {rows}, Strides::kAny));
  if (top_n > 0) {
    c.add(Role::kWritten, Tensor::make(random, LF_I32, {rows, top_n}, Strides::kAny));
    c.add(Role::kWritten, Tensor::make(random, LF_F32, {rows, top_n}, Strides::kAny));
  }
  return c;
}

}  // namespace conformance
