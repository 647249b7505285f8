#include "cases.h"

namespace conformance {
namespace {

Shape norm_shape(Random& random) {
  const int64_t n = random.extent(random.chance(0.1) ? 2500 : 700);
  if (random.chance(0.3)) return {random.extent(12), random.integer(1, 6), n};
  return {random.extent(40), n};
}

Shape rows_of(const Shape& shape) { return {element_count(Shape(shape.begin(), shape.end() - 1))}; }

// Statistics as the forward pass gives them.
Tensor statistic(Random& random, const Shape& shape, double low, double high) {
  std::vector<double> values(static_cast<size_t>(rows_of(shape)[0]));
  for (double& v : values) v = random.uniform(low, high);
  Tensor t = Tensor::make(random, LF_F32, rows_of(shape), Strides::kContiguous);
  t.set_values(values);
  return t;
}

void add_optional(Case& c, Random& random, Role role, Tensor tensor) {
  if (random.chance(0.5)) c.add(role, std::move(tensor));
  else c.add_absent();
}

}  // namespace

Case make_rms_norm(Random& random) {
  Case c{LF_OP_RMS_NORM};
  c.params.words = {word(random.pick({1e-5, 1e-6})), word(random.pick({0.0, 1.0}))};
  const Shape shape = norm_shape(random);
  const lf_dtype dtype = any_float(random);
  c.add(Role::kRead, normal(random, dtype, shape, Strides::kAny, random.pick({1.0, 30.0, 0.01})));
  add_optional(c, random, Role::kRead, normal(random, dtype, shape, Strides::kAny));
  c.add(Role::kRead, normal(random, any_float(random), {shape.back()}, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, dtype, shape, Strides::kAny));
  add_optional(c, random, Role::kWritten, Tensor::make(random, any_float(random), shape, Strides::kAny));
  add_optional(c, random, Role::kWritten, Tensor::make(random, LF_F32, rows_of(shape), Strides::kContiguous));
  return c;
}

Case make_layer_norm(Random& random) {
  Case c{LF_OP_LAYER_NORM};
  c.params.words = {word(random.pick({1e-5, 1e-12}))};
  Shape shape = norm_shape(random);
  // Of a single number the deviation is 0, and nothing but eps is left.
  if (shape.back() < 2) shape.back() = 2;
  const lf_dtype dtype = any_float(random);
  c.add(Role::kRead, normal(random, dtype, shape, Strides::kAny, random.pick({1.0, 30.0})));
  add_optional(c, random, Role::kRead, normal(random, dtype, shape, Strides::kAny));
  c.add(Role::kRead, normal(random, any_float(random), {shape.back()}, Strides::kAny));
  add_optional(c, random, Role::kRead, normal(random, any_float(random), {shape.back()}, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, dtype, shape, Strides::kAny));
  add_optional(c, random, Role::kWritten, Tensor::make(random, any_float(random), shape, Strides::kAny));
  add_optional(c, random, Role::kWritten, Tensor::make(random, LF_F32, rows_of(shape), Strides::kContiguous));
  add_optional(c, random, Role::kWritten, Tensor::make(random, LF_F32, rows_of(shape), Strides::kContiguous));
  return c;
}

Case make_rms_norm_backward(Random& random) {
  Case c{LF_OP_RMS_NORM_BACKWARD};
  c.params.words = {word(random.pick({0.0, 1.0}))};
  const Shape shape = norm_shape(random);
  const lf_dtype dtype = any_float(random);
  c.add(Role::kRead, normal(random, dtype, shape, Strides::kAny));
  c.add(Role::kRead, normal(random, dtype, shape, Strides::kAny));
  c.add(Role::kRead, normal(random, any_float(random), {shape.back()}, Strides::kAny));
  c.add(Role::kRead, statistic(random, shape, 0.5, 1.5));
  add_optional(c, random, Role::kRead, normal(random, dtype, shape, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, dtype, shape, Strides::kAny));
  add_optional(c, random, Role::kUpdated, normal(random, LF_F32, {shape.back()}, Strides::kAny));
  return c;
}

Case make_layer_norm_backward(Random& random) {
  Case c{LF_OP_LAYER_NORM_BACKWARD};
  const Shape shape = norm_shape(random);
  const lf_dtype dtype = any_float(random);
  c.add(Role::kRead, normal(random, dtype, shape, Strides::kAny));
  c.add(Role::kRead, normal(random, dtype, shape, Strides::kAny));
  c.add(Role::kRead, normal(random, any_float(random), {shape.back()}, Strides::kAny));
  c.add(Role::kRead, statistic(random, shape, -0.3, 0.3));
  c.add(Role::kRead, statistic(random, shape, 0.5, 1.5));
  add_optional(c, random, Role::kRead, normal(random, dtype, shape, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, dtype, shape, Strides::kAny));
  add_optional(c, random, Role::kUpdated, normal(random, LF_F32, {shape.back()}, Strides::kAny));
  add_optional(c, random, Role::kUpdated, normal(random, LF_F32, {shape.back()}, Strides::kAny));
  return c;
}

Case make_embedding(Random& random) {
  Case c{LF_OP_EMBEDDING};
  c.params.words = {word(random.chance(0.5) ? 1.0 : random.uniform(0.1, 30.0)), random.chance(0.3) ? 1u : 0u};
  const int64_t rows = random.extent(50), vocabulary = random.extent(200);
  int64_t n = random.extent(600);
  c.add(Role::kRead, integers(random, LF_I32, {rows}, 0, vocabulary - 1));
  if (random.chance(0.3)) {
    const lf_dtype format = any_block_format(random);
    n = static_cast<int64_t>(block_elements(format)) * random.integer(1, 3);
    c.add(Role::kRead, blocks(random, format, {vocabulary, n}, 1.0));
  } else {
    c.add(Role::kRead, normal(random, any_float(random), {vocabulary, n}, Strides::kAny));
  }
  c.add(Role::kUpdated, normal(random, any_float(random), {rows, n}, Strides::kAny));
  return c;
}

Case make_embedding_backward(Random& random) {
  Case c{LF_OP_EMBEDDING_BACKWARD};
  c.params.words = {word(random.chance(0.5) ? 1.0 : random.uniform(0.1, 30.0))};
  const int64_t rows = random.extent(60), vocabulary = random.extent(50), n = random.extent(600);
  c.add(Role::kRead, integers(random, LF_I32, {rows}, -1, vocabulary - 1));
  c.add(Role::kRead, normal(random, any_float(random), {rows, n}, Strides::kAny));
  c.add(Role::kUpdated, normal(random, LF_F32, {vocabulary, n}, Strides::kAny));
  return c;
}

Case make_gather_columns(Random& random) {
  Case c{LF_OP_GATHER_COLUMNS};
  const int64_t rows = random.extent(60), columns = random.extent(300), n = random.extent(400);
  c.add(Role::kRead, normal(random, any_float(random), {rows, columns}, Strides::kAny));
  c.add(Role::kRead, integers(random, LF_I32, {n}, 0, columns - 1));
  c.add(Role::kWritten, Tensor::make(random, any_float(random), {rows, n}, Strides::kAny));
  return c;
}

}  // namespace conformance
