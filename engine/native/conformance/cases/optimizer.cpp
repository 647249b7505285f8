// Optimisers, and the codes of frozen weights.
#include <algorithm>
#include <cmath>

#include "cases.h"

namespace conformance {
namespace {

// A parameter without elements is none.
Shape parameter_shape(Random& random) {
  Shape shape = any_shape(random, 1, 3000);
  for (int64_t& extent : shape) extent = std::max<int64_t>(extent, 1);
  return shape;
}

void add_parameter(Case& c, Random& random, const Shape& shape) {
  c.add(Role::kUpdated, normal(random, LF_F32, shape, Strides::kContiguous));
  c.add(Role::kRead, normal(random, random.pick({LF_F32, LF_BF16}), shape, Strides::kContiguous));
}

void add_scale_and_copy(Case& c, Random& random, const Shape& shape) {
  if (random.chance(0.5)) c.add(Role::kRead, numbers(random, LF_F32, {2}, {random.normal(), random.uniform(0.1, 1.0)}));
  else c.add_absent();
  if (random.chance(0.5)) c.add(Role::kWritten, Tensor::make(random, random.pick({LF_BF16, LF_F16}), shape, Strides::kContiguous));
  else c.add_absent();
}

Tensor positive(Random& random, const Shape& shape, double size) {
  Tensor tensor = normal(random, LF_F32, shape, Strides::kContiguous);
  std::vector<double> values = tensor.values();
  for (double& x : values) x = (x * x + 0.01) * size;
  tensor.set_values(values);
  return tensor;
}

std::vector<uint32_t> adamw_params(Random& random) {
  const double step = static_cast<double>(random.integer(1, 1000)), beta1 = 0.9, beta2 = random.pick({0.999, 0.95});
  return {word(random.uniform(1e-5, 1e-2)), word(beta1), word(beta2), word(1e-8), word(random.pick({0.0, 0.01, 0.1})),
          word(1.0 - std::pow(beta1, step)), word(1.0 - std::pow(beta2, step))};
}

Tensor contiguous(Random& random, lf_dtype dtype, const Shape& shape, const std::vector<double>& values) {
  Tensor tensor = Tensor::make(random, dtype, shape, Strides::kContiguous);
  tensor.set_values(values);
  return tensor;
}

int64_t product(const Shape& shape) {
  int64_t n = 1;
  for (int64_t extent : shape) n *= extent;
  return n;
}

Tensor codes(Random& random, lf_dtype dtype, const Shape& shape, int64_t low, int64_t high) {
  std::vector<double> values(static_cast<size_t>(product(shape)));
  for (double& x : values) x = static_cast<double>(random.integer(low, high));
  return contiguous(random, dtype, shape, values);
}

}  // namespace

Case make_adamw(Random& random) {
  Case c{LF_OP_ADAMW};
  c.params.words = adamw_params(random);
  const Shape shape = parameter_shape(random);
  add_parameter(c, random, shape);
  c.add(Role::kUpdated, normal(random, LF_F32, shape, Strides::kContiguous, 0.1));
  c.add(Role::kUpdated, positive(random, shape, 0.1));
  add_scale_and_copy(c, random, shape);
  return c;
}

Case make_lion(Random& random) {
  Case c{LF_OP_LION};
  c.required = false;
  c.params.words = {word(random.uniform(1e-5, 1e-2)), word(0.9), word(random.pick({0.99, 0.98})), word(random.pick({0.0, 0.1}))};
  const Shape shape = parameter_shape(random);
  add_parameter(c, random, shape);
  c.add(Role::kUpdated, normal(random, LF_F32, shape, Strides::kContiguous, 0.1));
  add_scale_and_copy(c, random, shape);
  return c;
}

Case make_adamw_8bit(Random& random) {
  Case c{LF_OP_ADAMW_8BIT};
  c.required = false;
  c.params.words = adamw_params(random);
  const Shape shape = parameter_shape(random);
  const int64_t blocks = (product(shape) + 255) / 256;
  add_parameter(c, random, shape);
  c.add(Role::kUpdated, codes(random, LF_U8, shape, 0, 255));
  c.add(Role::kUpdated, codes(random, LF_U8, shape, 0, 255));
  c.add(Role::kUpdated, positive(random, {blocks}, 0.1));
  c.add(Role::kUpdated, positive(random, {blocks}, 0.1));
  std::vector<double> m_map(256), v_map(256);
  for (int i = 0; i < 256; i++) {
    const double x = (i - 127) / 128.0;
    m_map[static_cast<size_t>(i)] = x * std::fabs(x);
    v_map[static_cast<size_t>(i)] = i / 255.0 * i / 255.0;
  }
  c.add(Role::kRead, contiguous(random, LF_F32, {256}, m_map));
  c.add(Role::kRead, contiguous(random, LF_F32, {256}, v_map));
  add_scale_and_copy(c, random, shape);
  return c;
}

Case make_adafactor(Random& random) {
  Case c{LF_OP_ADAFACTOR};
  c.required = false;
  c.params.words = {word(random.uniform(1e-5, 1e-2)), word(1.0 - std::pow(static_cast<double>(random.integer(1, 50)), -0.8)),
                    word(1e-30), word(1.0), word(random.pick({0.0, 0.1}))};
  Shape shape = parameter_shape(random);
  const bool factored = random.chance(0.7);
  if (factored) shape = {random.integer(1, 90), random.integer(1, 90)};
  add_parameter(c, random, shape);
  if (factored) {
    c.add(Role::kUpdated, positive(random, {shape[0]}, 0.5));
    c.add(Role::kUpdated, positive(random, {shape[1]}, 0.5));
  } else {
    c.add(Role::kUpdated, positive(random, shape, 0.5));
    c.add_absent();
  }
  add_scale_and_copy(c, random, shape);
  return c;
}

Case make_dequantize(Random& random) {
  Case c{LF_OP_DEQUANTIZE};
  c.required = false;
  const bool four = random.chance(0.7), table = random.chance(0.5);
  const int64_t groups = random.integer(1, 5), rows = random.integer(1, 40), columns = groups * random.integer(1, 40);
  const int64_t n = rows * columns, block = random.pick({16, 64, 128}), blocks = (n + block - 1) / block;
  const int64_t nested = 4, nested_blocks = (blocks + nested - 1) / nested;
  const bool doubled = table && random.chance(0.5);
  c.params.words = {four ? 4u : 8u, static_cast<uint32_t>(block), static_cast<uint32_t>(nested),
                    word(doubled ? random.uniform(0.1, 1.0) : 0.0)};
  c.add(Role::kRead, codes(random, LF_U8, {four ? (n + 1) / 2 : n}, 0, 255));
  if (!table) {
    const lf_dtype type = random.pick({LF_F32, LF_F16});
    c.add(Role::kRead, normal(random, type, {rows, groups}, Strides::kContiguous));
    c.add_absent();
    c.add(Role::kRead, codes(random, LF_U8, {rows, groups}, 0, four ? 15 : 255));
    if (random.chance(0.4)) c.add(Role::kRead, codes(random, LF_I32, {columns}, 0, groups - 1));
    else c.add_absent();
  } else {
    if (doubled) c.add(Role::kRead, codes(random, LF_U8, {blocks}, 0, 255));
    else c.add(Role::kRead, normal(random, LF_F32, {blocks}, Strides::kContiguous));
    c.add(Role::kRead, normal(random, LF_F32, {four ? 16 : 256}, Strides::kContiguous));
    c.add_absent();
    c.add_absent();
  }
  c.add(Role::kWritten, Tensor::make(random, any_float(random), {rows, columns}, Strides::kContiguous));
  if (!doubled) return c;
  c.add(Role::kRead, normal(random, LF_F32, {256}, Strides::kContiguous));
  c.add(Role::kRead, normal(random, LF_F32, {nested_blocks}, Strides::kContiguous));
  return c;
}

Case make_quantize_table(Random& random) {
  Case c{LF_OP_QUANTIZE_TABLE};
  c.required = false;
  const int64_t rows = random.integer(1, 40), columns = random.integer(1, 90), n = rows * columns;
  const int64_t block = random.pick({16, 64, 128});
  c.params.words = {static_cast<uint32_t>(block)};
  c.add(Role::kRead, normal(random, LF_F32, {rows, columns}, Strides::kContiguous));
  std::vector<double> table(16);
  for (int i = 0; i < 16; i++) table[static_cast<size_t>(i)] = (i - 7) / 8.0 * std::fabs((i - 7) / 8.0);
  c.add(Role::kRead, contiguous(random, LF_F32, {16}, table));
  c.add(Role::kWritten, Tensor::make(random, LF_U8, {(n + 1) / 2}, Strides::kContiguous));
  c.add(Role::kWritten, Tensor::make(random, LF_F32, {(n + block - 1) / block}, Strides::kContiguous));
  return c;
}

}  // namespace conformance
