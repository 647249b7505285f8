// Mixtures of experts: routing, and products of groups of rows with a matrix each.
#include <cmath>

#include "cases.h"

namespace conformance {
namespace {

// Rows of probabilities, some of which are equal: then the lower index comes first.
Tensor probabilities(Random& random, int64_t tokens, int64_t experts) {
  std::vector<double> values;
  for (int64_t t = 0; t < tokens; t++) {
    std::vector<double> row;
    double sum = 0.0;
    for (int64_t e = 0; e < experts; e++) {
      row.push_back(e > 0 && random.chance(0.1) ? row[static_cast<size_t>(random.integer(0, e - 1))] : std::exp(random.normal()));
      sum += row.back();
    }
    for (double p : row) values.push_back(p / sum);
  }
  return numbers(random, LF_F32, {tokens, experts}, values);
}

struct Extents {
  int64_t rows, experts, n, k;
};

Extents any_extents(Random& random) {
  return {random.chance(0.03) ? 0 : random.extent(140), random.integer(1, 9), random.extent(130), random.extent(200)};
}

Tensor groups(Random& random, const Extents& e) {
  return numbers(random, LF_I32, {e.experts + 1}, cumulative(random, e.experts, e.rows));
}

uint32_t any_math(Random& random) { return random.chance(0.5) ? LF_MATH_F32 : LF_MATH_BF16; }

}  // namespace

Case make_route(Random& random) {
  Case c{LF_OP_ROUTE};
  const int64_t tokens = random.extent(140), experts = random.extent(67), top_k = random.integer(1, std::min<int64_t>(experts, 8));
  c.params.words = {static_cast<uint32_t>(top_k), random.chance(0.5)};
  c.add(Role::kRead, probabilities(random, tokens, experts));
  c.add(Role::kWritten, Tensor::make(random, LF_I32, {tokens * top_k}, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, LF_I32, {experts + 1}, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, LF_F32, {tokens * top_k}, Strides::kAny));
  return c;
}

Case make_route_backward(Random& random) {
  const Case forward = make_route(random);
  Array operands[4];
  for (int i = 0; i < 4; i++) {
    const Tensor& tensor = forward.operands[static_cast<size_t>(i)].tensor;
    operands[i].present = true;
    operands[i].dtype = tensor.dtype;
    operands[i].shape = tensor.shape;
    operands[i].value = i == 0 ? tensor.values() : std::vector<double>(static_cast<size_t>(tensor.elements()));
  }
  reference_route(forward.params, operands);
  Case c{LF_OP_ROUTE_BACKWARD};
  c.params.words = {forward.params.u(1)};
  c.add(Role::kRead, forward.operands[0].tensor);
  for (int i = 1; i < 4; i++) c.add(Role::kRead, numbers(random, operands[i].dtype, operands[i].shape, operands[i].value));
  c.add(Role::kRead, normal(random, LF_F32, operands[3].shape, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, LF_F32, operands[0].shape, Strides::kAny));
  return c;
}

Case make_grouped_linear(Random& random) {
  Case c{LF_OP_GROUPED_LINEAR};
  const Extents e = any_extents(random);
  c.params.words = {any_math(random)};
  c.add(Role::kRead, normal(random, any_float(random), {e.rows, e.k}, Strides::kAny));
  c.add(Role::kRead, groups(random, e));
  c.add(Role::kRead, normal(random, any_float(random), {e.experts, e.n, e.k}, Strides::kAny, 0.3));
  c.add(Role::kWritten, Tensor::make(random, any_float(random), {e.rows, e.n}, Strides::kAny));
  return c;
}

Case make_grouped_linear_backward_input(Random& random) {
  Case c{LF_OP_GROUPED_LINEAR_BACKWARD_INPUT};
  const Extents e = any_extents(random);
  c.params.words = {any_math(random)};
  c.add(Role::kRead, normal(random, any_float(random), {e.rows, e.n}, Strides::kAny));
  c.add(Role::kRead, groups(random, e));
  c.add(Role::kRead, normal(random, any_float(random), {e.experts, e.n, e.k}, Strides::kAny, 0.3));
  c.add(Role::kWritten, Tensor::make(random, any_float(random), {e.rows, e.k}, Strides::kAny));
  return c;
}

Case make_grouped_linear_backward_weight(Random& random) {
  Case c{LF_OP_GROUPED_LINEAR_BACKWARD_WEIGHT};
  const Extents e = any_extents(random);
  const double beta = random.chance(0.5) ? 0.0 : random.pick({1.0, 0.5});
  c.params.words = {word(beta), any_math(random)};
  c.add(Role::kRead, normal(random, any_float(random), {e.rows, e.k}, Strides::kAny));
  c.add(Role::kRead, normal(random, any_float(random), {e.rows, e.n}, Strides::kAny));
  c.add(Role::kRead, groups(random, e));
  const Shape shape{e.experts, e.n, e.k};
  if (beta == 0.0) c.add(Role::kWritten, Tensor::make(random, LF_F32, shape, Strides::kAny));
  else c.add(Role::kUpdated, normal(random, LF_F32, shape, Strides::kAny));
  return c;
}

}  // namespace conformance
