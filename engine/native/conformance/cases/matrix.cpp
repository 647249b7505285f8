#include <algorithm>

#include "cases.h"

namespace conformance {
namespace {

uint32_t any_math(Random& random) { return random.chance(0.5) ? LF_MATH_F32 : LF_MATH_BF16; }

// beta is 0 half of the time: the output's former content, garbage then, must not be read.
double any_beta(Random& random) { return random.chance(0.5) ? 0.0 : random.pick({1.0, 0.5, -1.0}); }

Role output_role(double beta) { return beta == 0.0 ? Role::kWritten : Role::kUpdated; }

Tensor output(Random& random, lf_dtype dtype, const Shape& shape, double beta) {
  return beta == 0.0 ? Tensor::make(random, dtype, shape, Strides::kAny) : normal(random, dtype, shape, Strides::kAny);
}

// Gives the blocks of LF_Q4_Z in each group of a row the scale and the zero of its first.
void share_scales(Tensor& w, int64_t group) {
  const size_t bytes = block_bytes(LF_Q4_Z), blocks = static_cast<size_t>(w.shape[1]) / 32, together = static_cast<size_t>(group) / 32;
  uint8_t* const first = w.memory.data() + w.offset;
  for (size_t row = 0; row < static_cast<size_t>(w.shape[0]); row++) {
    for (size_t b = 0; b < blocks; b++) {
      const uint8_t* leader = first + (row * blocks + b / together * together) * bytes;
      std::copy(leader, leader + 4, first + (row * blocks + b) * bytes);
    }
  }
}

// A weight [n, k]: strided, of a block format where `formats` allows it (k is rounded up to whole blocks), or packed.
Operand& add_weight(Case& c, Random& random, int64_t n, int64_t& k, lf_layout layout, bool formats) {
  const double deviation = 0.3;
  if (formats && random.chance(0.35)) {
    const lf_dtype format = random.chance(0.1) ? LF_Q4_Z : any_block_format(random);
    if (format == LF_Q4_Z) c.required = false;
    const int64_t block = static_cast<int64_t>(block_elements(format));
    k = (k + block - 1) / block * block;
    c.add(Role::kRead, blocks(random, format, {n, k}, deviation));
  } else {
    c.add(Role::kRead, normal(random, any_float(random), {n, k}, Strides::kAny, deviation));
  }
  Operand& w = c.operands.back();
  if (random.chance(0.5)) {
    w.layout = layout;
    w.packed_dtype = random.pick({LF_BF16, LF_F32});
    // A block format may keep its own bits.
    const bool own = is_block_format(w.tensor.dtype) && layout == LF_LAYOUT_PACKED_FORWARD && random.chance(0.8);
    if (own) w.packed_dtype = w.tensor.dtype;
    if (own && w.packed_dtype == LF_Q4_Z) {
      w.packed_group = random.pick<uint32_t>({0, 32, 64, 128});
      if (w.packed_group > 32) share_scales(w.tensor, w.packed_group);
    }
  }
  return w;
}

// A weight of 4 bits with scales and zeros for groups, packed in its own bits.
Operand& add_codes(Case& c, Random& random, int64_t n, int64_t& k) {
  const lf_dtype format = random.pick({LF_Q4_0, LF_Q4_Z});
  if (format == LF_Q4_Z) c.required = false;
  k = (k + 31) / 32 * 32;
  Operand& w = c.add(Role::kRead, blocks(random, format, {n, k}, 0.3));
  w.layout = LF_LAYOUT_PACKED_FORWARD;
  w.packed_dtype = format;
  if (format == LF_Q4_Z) {
    w.packed_group = random.pick<uint32_t>({0, 32, 96, 128});
    if (w.packed_group > 32) share_scales(w.tensor, w.packed_group);
  }
  return w;
}

int64_t any_rows(Random& random) {
  // One row is decoding, a few are small batches; then several tiles.
  return random.chance(0.4) ? random.integer(1, 5) : random.extent(140);
}

}  // namespace

Case make_matmul(Random& random) {
  Case c{LF_OP_MATMUL};
  const bool trans_a = random.chance(0.5), trans_b = random.chance(0.5);
  const double beta = any_beta(random);
  c.params.words = {trans_a, trans_b, word(random.chance(0.5) ? 1.0 : random.uniform(-2.0, 2.0)), word(beta), any_math(random)};
  const int64_t m = any_rows(random), n = random.extent(130), k = random.chance(0.03) ? 0 : random.extent(300);
  c.add(Role::kRead, normal(random, any_float(random), trans_a ? Shape{k, m} : Shape{m, k}, Strides::kAny));
  c.add(Role::kRead, normal(random, any_float(random), trans_b ? Shape{n, k} : Shape{k, n}, Strides::kAny));
  c.add(output_role(beta), output(random, any_float(random), {m, n}, beta));
  return c;
}

Case make_linear(Random& random) {
  Case c{LF_OP_LINEAR};
  const double beta = any_beta(random);
  const uint32_t activation = random.chance(0.7) ? 0u : static_cast<uint32_t>(random.integer(LF_SILU, LF_SIGMOID));
  c.params.words = {word(random.uniform(0.1, 2.0)), word(beta), any_math(random), activation};
  const int64_t m = random.chance(0.03) ? 0 : any_rows(random), n = random.extent(260);
  int64_t k = random.extent(random.chance(0.2) ? 1200 : 300);
  Case weight;
  // Weights of 4 bits in their own bits, which backends have kernels of their own for, come more often than chance has them.
  const Operand& w = random.chance(0.2) ? add_codes(weight, random, n, k) : add_weight(weight, random, n, k, LF_LAYOUT_PACKED_FORWARD, true);
  const bool own_bits = w.layout == LF_LAYOUT_PACKED_FORWARD && is_block_format(w.packed_dtype);
  if (own_bits && random.chance(0.6)) c.params.words[2] = LF_MATH_INT8;
  c.add(Role::kRead, normal(random, any_float(random), {m, k}, Strides::kAny));
  c.operands.push_back(weight.operands[0]);
  if (random.chance(0.4)) c.add(Role::kRead, normal(random, any_float(random), {n}, Strides::kAny));
  else c.add_absent();
  c.add(output_role(beta), output(random, any_float(random), {m, n}, beta));
  if (random.chance(0.5)) return c;
  const bool several = random.chance(0.4);
  const int64_t rank = random.pick<int64_t>({1, 4, 8, 16, 17, 64}), adapters = random.integer(1, 4);
  const lf_dtype dtype = any_float(random);
  if (random.chance(0.3)) c.add(Role::kRead, normal(random, any_float(random), {m, k}, Strides::kAny));
  else c.add_absent();
  c.add(Role::kRead, normal(random, dtype, several ? Shape{adapters, rank, k} : Shape{rank, k}, Strides::kAny, 0.3));
  c.add(Role::kRead, normal(random, dtype, several ? Shape{adapters, n, rank} : Shape{n, rank}, Strides::kAny, 0.3));
  if (random.chance(0.5)) c.add(Role::kWritten, Tensor::make(random, any_float(random), {m, rank}, Strides::kAny));
  else c.add_absent();
  if (several) c.add(Role::kRead, integers(random, LF_I32, {m}, -1, adapters - 1));
  return c;
}

Case make_linear_backward_input(Random& random) {
  Case c{LF_OP_LINEAR_BACKWARD_INPUT};
  const double beta = any_beta(random);
  c.params.words = {word(random.uniform(0.1, 2.0)), word(beta), any_math(random)};
  const int64_t m = any_rows(random), n = random.extent(300);
  int64_t k = random.extent(260);
  Case weight;
  // A block format reaches the backward pass packed.
  Operand& w = add_weight(weight, random, n, k, LF_LAYOUT_PACKED_BACKWARD, random.chance(0.5));
  if (is_block_format(w.tensor.dtype)) w.layout = LF_LAYOUT_PACKED_BACKWARD;
  c.add(Role::kRead, normal(random, any_float(random), {m, n}, Strides::kAny));
  c.operands.push_back(w);
  c.add(output_role(beta), output(random, any_float(random), {m, k}, beta));
  if (random.chance(0.5)) return c;
  const int64_t rank = random.pick<int64_t>({1, 4, 8, 16, 17, 64});
  c.add(Role::kRead, normal(random, any_float(random), {rank, k}, Strides::kAny, 0.3));
  c.add(Role::kRead, normal(random, any_float(random), {n, rank}, Strides::kAny, 0.3));
  if (random.chance(0.6)) c.add(Role::kWritten, Tensor::make(random, any_float(random), {m, rank}, Strides::kAny));
  else c.add_absent();
  if (random.chance(0.4)) c.add(Role::kWritten, Tensor::make(random, any_float(random), {m, k}, Strides::kAny));
  return c;
}

Case make_linear_backward_weight(Random& random) {
  Case c{LF_OP_LINEAR_BACKWARD_WEIGHT};
  const double beta = any_beta(random);
  c.params.words = {word(random.uniform(0.1, 2.0)), word(beta), any_math(random)};
  const int64_t m = random.chance(0.05) ? random.integer(2000, 2500) : random.extent(300);
  const int64_t n = random.extent(m > 1000 ? 20 : 150), k = random.extent(m > 1000 ? 20 : 150);
  const bool weight = random.chance(0.8), bias = !weight || random.chance(0.5);
  if (weight || random.chance(0.5)) c.add(Role::kRead, normal(random, any_float(random), {m, k}, Strides::kAny));
  else c.add_absent();
  c.add(Role::kRead, normal(random, any_float(random), {m, n}, Strides::kAny));
  if (weight) c.add(output_role(beta), output(random, LF_F32, {n, k}, beta));
  else c.add_absent();
  if (bias) c.add(output_role(beta), output(random, LF_F32, {n}, beta));
  return c;
}

Case make_blocks_of_codes(Random& random) {
  Case c{LF_OP_BLOCKS_OF_CODES};
  c.required = false;
  const bool awq = random.chance(0.5);
  const int64_t group = 32 * random.integer(1, 4), k = 32 * random.integer(1, 9);
  const int64_t n = awq ? 8 * random.integer(1, 6) : random.extent(50), groups = (k + group - 1) / group;
  c.params.words = {awq ? LF_CODES_AWQ : LF_CODES_ALONG_K, static_cast<uint32_t>(group)};
  c.add(Role::kRead, integers(random, LF_I32, awq ? Shape{n / 8, k} : Shape{n, k / 8}, INT32_MIN, INT32_MAX));
  c.add(Role::kRead, normal(random, any_float(random), {n, groups}, Strides::kAny, 0.1));
  if (random.chance(0.7)) c.add(Role::kRead, integers(random, LF_U8, {n, groups}, 0, 16));
  else c.add_absent();
  c.add(Role::kWritten, Tensor::make(random, LF_Q4_Z, {n, k}, Strides::kContiguous));
  return c;
}

}  // namespace conformance
