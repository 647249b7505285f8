#include <algorithm>
#include <cmath>

#include "cases.h"

namespace conformance {

Case make_reduce(Random& random) {
  Case c{LF_OP_REDUCE};
  const uint32_t kind = static_cast<uint32_t>(random.integer(LF_SUM, LF_COUNT_NONFINITE));
  c.params.words = {kind, random.chance(0.3) ? 1u : 0u};
  // Now and then more elements than one run of any implementation holds.
  Shape shape = any_shape(random, 1, random.chance(0.1) ? 60000 : 4000);
  // The mean and the largest of nothing are not said.
  for (int64_t& extent : shape) extent = std::max<int64_t>(extent, 1);
  Tensor x = normal(random, any_float(random), shape, Strides::kBroadcast);
  if (kind >= LF_MAXIMUM && kind != LF_SUM_SQUARES && random.chance(0.4)) {
    std::vector<double> values = x.values();
    for (double& v : values) {
      if (random.chance(0.01)) v = random.pick<double>({INFINITY, -INFINITY, NAN});
    }
    x.set_values(values);
  }
  c.add(Role::kRead, x);
  const bool everything = random.chance(0.4);
  Shape out(shape.begin(), shape.end() - 1);
  if (everything) out.assign(static_cast<size_t>(random.integer(0, 2)), 1);
  c.add(Role::kUpdated, normal(random, LF_F32, out, Strides::kAny));
  return c;
}

Case make_random(Random& random) {
  Case c{LF_OP_RANDOM};
  const uint32_t kind = random.chance(0.5) ? LF_UNIFORM : LF_NORMAL;
  const double a = random.normal();
  const uint32_t stream = static_cast<uint32_t>(random.bits());
  c.params.words = {kind, word(a), word(a + random.uniform(0.1, 3.0)), static_cast<uint32_t>(random.bits()),
                    static_cast<uint32_t>(random.bits()), stream, random.chance(0.3) ? 1u : 0u};
  if (kind == LF_NORMAL) c.params.words[2] = word(random.uniform(0.1, 3.0));
  c.add(Role::kUpdated, normal(random, any_float(random), any_shape(random, 0, 3000), Strides::kAny));
  return c;
}

Case make_dropout(Random& random) {
  Case c{LF_OP_DROPOUT};
  c.params.words = {word(random.chance(0.1) ? 0.0 : random.uniform(0.0, 0.95)), static_cast<uint32_t>(random.bits()),
                    static_cast<uint32_t>(random.bits()), static_cast<uint32_t>(random.bits())};
  const Shape shape = any_shape(random, 0, 3000);
  c.add(Role::kRead, normal(random, any_float(random), shape, Strides::kBroadcast));
  c.add(Role::kWritten, Tensor::make(random, any_float(random), shape, Strides::kAny));
  return c;
}

Case make_softmax(Random& random) {
  Case c{LF_OP_SOFTMAX};
  const Shape shape{random.extent(30), random.extent(2000)};
  Tensor x = normal(random, any_float(random), shape, Strides::kBroadcast, random.pick({1.0, 8.0}));
  if (random.chance(0.3)) {
    std::vector<double> values = x.values();
    for (size_t i = 0; i < values.size(); i++) {
      if (i % static_cast<size_t>(shape[1]) != 0 && random.chance(0.2)) values[i] = -INFINITY;
    }
    x.set_values(values);
  }
  c.add(Role::kRead, x);
  c.add(Role::kWritten, Tensor::make(random, any_float(random), shape, Strides::kAny));
  return c;
}

Case make_divergence(Random& random) {
  Case c{LF_OP_DIVERGENCE};
  const double beta = random.pick({0.0, 1.0, 0.5, 0.1});
  c.params.words = {word(random.pick({1.0, 2.0, 0.7})), word(beta), word(random.uniform(-1.0, 1.0))};
  const Shape shape{random.extent(20), std::max<int64_t>(1, random.extent(3000))};
  const double deviation = random.pick({1.0, 4.0});
  Tensor student = normal(random, LF_F32, shape, Strides::kContiguous, deviation);
  Tensor teacher = normal(random, any_float(random), shape, Strides::kContiguous, deviation);
  if (random.chance(0.4)) {
    // Tokens that neither has, or the teacher alone does not.
    const double both = beta == 1.0 ? 1.0 : random.pick({0.0, 0.5, 1.0});
    std::vector<double> values = teacher.values(), own = student.values();
    for (size_t i = 0; i < values.size(); i++) {
      if (i % static_cast<size_t>(shape[1]) == 0 || random.chance(0.5)) continue;
      values[i] = -INFINITY;
      if (random.chance(both)) own[i] = -INFINITY;
    }
    teacher.set_values(values);
    student.set_values(own);
  }
  c.add(Role::kUpdated, student);
  c.add(Role::kRead, teacher);
  if (random.chance(0.5)) c.add(Role::kRead, normal(random, LF_F32, {shape[0]}, Strides::kAny));
  else c.add_absent();
  c.add(Role::kWritten, Tensor::make(random, LF_F32, {shape[0]}, Strides::kAny));
  return c;
}

Case make_mean_pool(Random& random) {
  Case c{LF_OP_MEAN_POOL};
  c.params.words = {random.chance(0.5) ? 1u : 0u};
  const int64_t rows = random.extent(60), sequences = random.integer(1, 5), n = random.extent(400);
  c.add(Role::kRead, normal(random, any_float(random), {rows, n}, Strides::kAny));
  std::vector<double> cu = cumulative(random, sequences, rows);
  c.add(Role::kRead, numbers(random, LF_I32, {sequences + 1}, cu));
  c.add(Role::kWritten, Tensor::make(random, LF_F32, {sequences, n}, Strides::kAny));
  return c;
}

// Of a group of one, which every backend has: what several devices make of it needs several queues.
Case make_all_reduce(Random& random) {
  Case c{LF_OP_ALL_REDUCE};
  c.params.words = {static_cast<uint32_t>(random.bits()), 0u, 1u};
  c.add(Role::kUpdated, normal(random, any_float(random), any_shape(random, 0, 3000), Strides::kContiguous));
  return c;
}
Case make_all_gather(Random& random) {
  Case c{LF_OP_ALL_GATHER};
  c.params.words = {static_cast<uint32_t>(random.bits()), 0u, 1u};
  const lf_dtype dtype = any_float(random);
  const Shape shape{random.extent(40), random.extent(80)};
  c.add(Role::kRead, normal(random, dtype, shape, Strides::kContiguous));
  c.add(Role::kWritten, Tensor::make(random, dtype, {1, shape[0], shape[1]}, Strides::kContiguous));
  return c;
}

Case make_clip_scale(Random& random) {
  Case c{LF_OP_CLIP_SCALE};
  c.params.words = {word(random.chance(0.2) ? 0.0 : random.uniform(0.1, 3.0)), word(random.uniform(0.01, 2.0))};
  c.add(Role::kRead, numbers(random, LF_F32, {1}, {random.uniform(0.0, 10.0)}));
  c.add(Role::kWritten, Tensor::make(random, LF_F32, {2}, Strides::kAny));
  return c;
}

}  // namespace conformance
