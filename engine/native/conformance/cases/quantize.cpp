#include <algorithm>

#include "cases.h"

namespace conformance {
namespace {

std::vector<uint32_t> grid_params(Random& random, int64_t group) {
  const uint32_t bits = random.pick<uint32_t>({2, 3, 4, 4, 8});
  const uint32_t dtype = random.pick<uint32_t>({LF_F32, LF_F32, LF_F16, LF_BF16});
  return {bits, static_cast<uint32_t>(group), random.chance(0.5) ? 1u : 0u, random.pick<uint32_t>({1, 1, 25}),
          random.pick<uint32_t>({0, 0, 2}), dtype};
}

Tensor positive(Random& random, Shape shape) {
  Tensor t = normal(random, LF_F32, shape, Strides::kAny);
  std::vector<double> values = t.values();
  for (double& v : values) v = v * v + 0.1;
  t.set_values(values);
  return t;
}

}  // namespace

Case make_quantize_groups(Random& random) {
  Case c{LF_OP_QUANTIZE_GROUPS};
  const int64_t group = random.pick<int64_t>({8, 16, 32, 48, 64, 128}), groups = random.integer(1, 3), n = random.extent(40);
  c.params.words = grid_params(random, group);
  Tensor w = normal(random, LF_F32, {n, group * groups}, Strides::kAny);
  if (random.chance(0.2)) {
    std::vector<double> values = w.values();
    std::fill(values.begin(), values.begin() + group, 0.0);
    w.set_values(values);
  }
  c.add(Role::kRead, w);
  if (random.chance(0.5)) c.add(Role::kRead, positive(random, {group * groups}));
  else c.add_absent();
  c.add(Role::kWritten, Tensor::make(random, LF_U8, {n, group * groups}, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, LF_F32, {n, groups}, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, LF_F32, {n, groups}, Strides::kAny));
  if (random.chance(0.5)) c.add(Role::kWritten, Tensor::make(random, LF_F32, {n, group * groups}, Strides::kAny));
  else c.add_absent();
  return c;
}

Case make_quantize_block(Random& random) {
  Case c{LF_OP_QUANTIZE_BLOCK};
  const int64_t group = random.pick<int64_t>({8, 16, 32}), groups = random.integer(1, 2), width = group * groups;
  const int64_t n = random.extent(40);
  c.params.words = grid_params(random, group);
  c.add(Role::kRead, normal(random, LF_F32, {n, width}, Strides::kAny));
  if (random.chance(0.5)) c.add(Role::kRead, normal(random, LF_F32, {n, width}, Strides::kAny, 0.1));
  else c.add_absent();
  Tensor upper = normal(random, LF_F32, {width, width}, Strides::kAny, 0.1);
  std::vector<double> values = upper.values();
  for (int64_t i = 0; i < width; i++) values[static_cast<size_t>(i * width + i)] = random.uniform(0.7, 1.5);
  upper.set_values(values);
  c.add(Role::kRead, upper);
  const bool fixed = random.chance(0.4);
  const int64_t all = fixed ? random.integer(1, 4) : groups;
  if (fixed) c.add(Role::kRead, integers(random, LF_I32, {width}, 0, all - 1));
  else c.add_absent();
  Tensor scales = positive(random, {n, all});
  c.add(Role::kUpdated, scales);
  c.add(Role::kUpdated, integers(random, LF_F32, {n, all}, 0, (1 << c.params.words[0]) - 1));
  c.add(Role::kWritten, Tensor::make(random, LF_U8, {n, width}, Strides::kAny));
  c.add(Role::kWritten, Tensor::make(random, LF_F32, {n, width}, Strides::kAny));
  return c;
}

Case make_quantize_sweep(Random& random) {
  Case c{LF_OP_QUANTIZE_SWEEP};
  const int64_t group = random.pick<int64_t>({4, 8, 16}), groups = random.integer(1, 3), width = group * groups;
  const int64_t n = random.extent(40);
  c.params.words = grid_params(random, group);
  // With scales of a short type what follows hangs on how they are rounded, and little can be compared.
  if (random.integer(0, 3) > 0) c.params.words[5] = LF_F32;
  const double levels = (1 << c.params.words[0]) - 1;
  // Errors, slopes and scales of the size that they have beside each other.
  c.add(Role::kRead, normal(random, LF_F32, {n, width}, Strides::kAny));
  c.add(Role::kRead, normal(random, LF_F32, {n, width}, Strides::kAny, 1.0 / levels));
  Tensor square = normal(random, LF_F32, {width, width}, Strides::kAny, 0.2);
  std::vector<double> values = square.values();
  const size_t side = static_cast<size_t>(width);
  for (size_t i = 0; i < side; i++) {
    for (size_t j = 0; j < i; j++) values[i * side + j] = values[j * side + i];
    values[i * side + i] = random.uniform(1.5, 3.0);
  }
  square.set_values(values);
  c.add(Role::kRead, square);
  Tensor scales = positive(random, {n, groups});
  values = scales.values();
  for (double& v : values) v = random.uniform(2.0, 4.0) / levels;
  scales.set_values(values);
  c.add(Role::kUpdated, scales);
  c.add(Role::kRead, integers(random, LF_F32, {n, groups}, 0, static_cast<int64_t>(levels)));
  c.add(Role::kUpdated, integers(random, LF_U8, {n, width}, 0, static_cast<int64_t>(levels)));
  c.add(Role::kUpdated, normal(random, LF_F32, {n, width}, Strides::kAny, 1.0 / levels));
  return c;
}

Case make_encode_blocks(Random& random) {
  Case c{LF_OP_ENCODE_BLOCKS};
  // Half of the cases are of the finest format: in coarse ones a small fault hides behind their own error.
  const lf_dtype dtype = random.integer(0, 1) ? any_block_format(random) : LF_Q8_0;
  const Shape shape{random.extent(20), static_cast<int64_t>(block_elements(dtype)) * random.integer(1, 3)};
  c.add(Role::kRead, normal(random, any_float(random), shape, Strides::kAny));
  c.add_absent();
  c.add(Role::kWritten, blocks(random, dtype, shape, 1.0));
  return c;
}

}  // namespace conformance
