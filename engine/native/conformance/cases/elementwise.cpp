#include <algorithm>
#include <cmath>

#include "cases.h"

namespace conformance {
namespace {

constexpr int64_t kElements = 3000;

// Numbers in the domain of a function of lf_unary.
Tensor arguments(Random& random, lf_dtype dtype, const Shape& shape, uint32_t kind) {
  Tensor t = normal(random, dtype, shape, Strides::kBroadcast, 2.0);
  std::vector<double> values = t.values();
  for (double& v : values) {
    if (kind == LF_LOG || kind == LF_SQRT) v = std::fabs(v) + 0.01;
    // Far out, activations are 0 or x itself.
    if (kind != LF_EXP && random.chance(0.02)) v *= 20.0;
  }
  t.set_values(values);
  return t;
}

uint32_t any_kind(Random& random) { return static_cast<uint32_t>(random.integer(LF_IDENTITY, LF_ABS)); }

uint32_t any_activation(Random& random) {
  return static_cast<uint32_t>(random.pick({LF_SILU, LF_GELU, LF_GELU_TANH, LF_RELU, LF_TANH, LF_SIGMOID, LF_IDENTITY}));
}

}  // namespace

Case make_fill(Random& random) {
  Case c{LF_OP_FILL};
  const lf_dtype dtype = random.chance(0.8) ? any_float(random) : random.pick({LF_I32, LF_U8, LF_I64, LF_F64});
  const bool real = is_float(dtype) || dtype == LF_F64;
  c.params.words = {word(real ? random.normal() : static_cast<double>(random.integer(0, 100)))};
  c.required = is_float(dtype) || dtype == LF_I32;
  c.add(Role::kWritten, Tensor::make(random, dtype, any_shape(random, 0, kElements), Strides::kAny));
  return c;
}

Case make_copy(Random& random) {
  Case c{LF_OP_COPY};
  if (random.chance(0.25)) {
    const lf_dtype format = any_block_format(random);
    const int64_t block = static_cast<int64_t>(block_elements(format));
    const Shape shape{random.extent(7), block * random.integer(1, 5)};
    c.add(Role::kRead, blocks(random, format, shape, 1.0));
    c.add(Role::kWritten, Tensor::make(random, any_float(random), shape, Strides::kAny));
    return c;
  }
  const Shape shape = any_shape(random, 0, kElements);
  if (random.chance(0.2)) {
    const lf_dtype from = random.pick({LF_I32, LF_I64, LF_U8, LF_I8, LF_U32}), to = random.pick({LF_I32, LF_I64, LF_F32, LF_BF16});
    c.required = from == to;
    c.add(Role::kRead, integers(random, from, shape, 0, 100));
    c.add(Role::kWritten, Tensor::make(random, to, shape, Strides::kAny));
    return c;
  }
  Tensor source = normal(random, any_float(random), shape, Strides::kBroadcast, random.pick({1.0, 1e-6, 1e5}));
  std::vector<double> values = source.values();
  // Infinities and numbers of all kinds pass through; the sign of zero and the bits of a NaN are not compared.
  for (double& v : values) {
    if (random.chance(0.02)) v = random.pick<double>({0.0, INFINITY, -INFINITY, NAN, 65504.0, 1e38, 1e-7});
  }
  source.set_values(values);
  c.add(Role::kRead, source);
  c.add(Role::kWritten, Tensor::make(random, any_float(random), shape, Strides::kAny));
  return c;
}

Case make_binary(Random& random) {
  Case c{LF_OP_BINARY};
  const uint32_t kind = static_cast<uint32_t>(random.integer(LF_ADD, LF_MIN));
  c.params.words = {kind, word(random.chance(0.5) ? 1.0 : random.normal()), word(random.chance(0.5) ? 1.0 : random.uniform(0.5, 2.0))};
  const Shape shape = any_shape(random, 0, kElements);
  c.add(Role::kRead, normal(random, any_float(random), shape, Strides::kBroadcast));
  Tensor b = normal(random, any_float(random), shape, Strides::kBroadcast);
  if (kind == LF_DIV) {
    std::vector<double> values = b.values();
    for (double& v : values) v = v < 0 ? v - 0.1 : v + 0.1;
    b.set_values(values);
  }
  c.add(Role::kRead, b);
  c.add(Role::kWritten, Tensor::make(random, any_float(random), shape, Strides::kAny));
  return c;
}

Case make_unary(Random& random) {
  Case c{LF_OP_UNARY};
  const uint32_t kind = any_kind(random);
  c.params.words = {kind};
  const Shape shape = any_shape(random, 0, kElements);
  c.add(Role::kRead, arguments(random, any_float(random), shape, kind));
  c.add(Role::kWritten, Tensor::make(random, any_float(random), shape, Strides::kAny));
  return c;
}

Case make_unary_backward(Random& random) {
  Case c{LF_OP_UNARY_BACKWARD};
  const uint32_t kind = any_activation(random);
  c.params.words = {kind};
  const Shape shape = any_shape(random, 0, kElements);
  c.add(Role::kRead, arguments(random, any_float(random), shape, kind));
  c.add(Role::kRead, normal(random, any_float(random), shape, Strides::kBroadcast));
  c.add(Role::kWritten, Tensor::make(random, any_float(random), shape, Strides::kAny));
  return c;
}

Case make_glu(Random& random) {
  Case c{LF_OP_GLU};
  c.params.words = {any_activation(random)};
  const lf_dtype dtype = any_float(random);
  const Shape shape{random.extent(40), random.extent(1600)};
  c.add(Role::kRead, arguments(random, dtype, shape, c.params.u(0)));
  c.add(Role::kRead, normal(random, dtype, shape, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, dtype, shape, Strides::kAny));
  return c;
}

Case make_glu_backward(Random& random) {
  Case c{LF_OP_GLU_BACKWARD};
  c.params.words = {any_activation(random)};
  const lf_dtype dtype = any_float(random);
  const Shape shape{random.extent(40), random.extent(1600)};
  c.add(Role::kRead, arguments(random, dtype, shape, c.params.u(0)));
  c.add(Role::kRead, normal(random, dtype, shape, Strides::kAny));
  c.add(Role::kRead, normal(random, dtype, shape, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, dtype, shape, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, dtype, shape, Strides::kAny));
  return c;
}

}  // namespace conformance
