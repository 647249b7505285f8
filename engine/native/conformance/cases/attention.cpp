#include <algorithm>
#include <cmath>
#include <numeric>

#include "cases.h"

namespace conformance {
namespace {

// A packed batch: heads, and how long each sequence is.
struct Batch {
  int64_t heads, kv_heads, n;
  std::vector<double> cu_q, cu_k;
  int64_t queries() const { return static_cast<int64_t>(cu_q.back()); }
  int64_t keys() const { return static_cast<int64_t>(cu_k.back()); }
  int64_t longest(const std::vector<double>& cu) const {
    double most = 0.0;
    for (size_t b = 1; b < cu.size(); b++) most = std::max(most, cu[b] - cu[b - 1]);
    return static_cast<int64_t>(most);
  }
};

Batch any_batch(Random& random, bool causal) {
  Batch b;
  b.kv_heads = random.integer(1, 3);
  b.heads = b.kv_heads * random.integer(1, 3);
  b.n = random.pick<int64_t>({8, 16, 32, 64, 64, 128, 1, 5, 40, 80, 96});
  b.cu_q = b.cu_k = {0.0};
  const int64_t sequences = random.integer(1, 4);
  for (int64_t s = 0; s < sequences; s++) {
    const int64_t q = random.chance(0.1) ? 0 : random.extent(sequences == 1 ? 200 : 80);
    // Queries may have earlier keys before them (a cache), or, without a mask, any number of keys.
    int64_t k = q;
    if (random.chance(0.4)) k = causal ? q + random.integer(0, 60) : random.extent(100);
    if (random.chance(0.05)) k = q / 2;
    b.cu_q.push_back(b.cu_q.back() + static_cast<double>(q));
    b.cu_k.push_back(b.cu_k.back() + static_cast<double>(k));
  }
  return b;
}

std::vector<uint32_t> any_rules(Random& random, const Batch& batch, bool causal) {
  const uint32_t window = random.chance(0.25) ? static_cast<uint32_t>(random.integer(1, 70)) : 0;
  const double softcap = random.chance(0.2) ? random.uniform(2.0, 30.0) : 0.0;
  return {word(1.0 / std::sqrt(static_cast<double>(batch.n))), causal, window, word(softcap),
          static_cast<uint32_t>(batch.longest(batch.cu_q)), static_cast<uint32_t>(batch.longest(batch.cu_k))};
}

lf_dtype attention_dtype(Random& random) { return random.pick({LF_F32, LF_BF16, LF_BF16, LF_F16}); }

// Two caches [blocks, Hkv, block, D].
void add_caches(Random& random, Case& c, Role role, lf_dtype dtype, const Shape& shape) {
  for (int i = 0; i < 2; i++) {
    if (dtype != LF_I8) {
      c.add(role, normal(random, dtype, shape, Strides::kDenseRows));
      continue;
    }
    Tensor codes = Tensor::make(random, LF_I8, shape, Strides::kDenseRows);
    std::vector<double> values(static_cast<size_t>(codes.elements()));
    for (double& v : values) v = static_cast<double>(random.integer(-127, 127));
    codes.set_values(values);
    c.add(role, codes);
  }
}
// The scales of caches in 8 bits, for numbers of about the size of 1. Not every backend has such caches.
void add_scales(Random& random, Case& c, Role role, const Shape& shape) {
  c.required = false;
  for (int i = 0; i < 2; i++) {
    Tensor scale = Tensor::make(random, LF_F32, {shape[0], shape[1], shape[2]}, Strides::kDenseRows);
    std::vector<double> values(static_cast<size_t>(scale.elements()));
    for (double& v : values) v = random.uniform(0.0, 0.03);
    scale.set_values(values);
    c.add(role, scale);
  }
}

}  // namespace

Case make_rope(Random& random) {
  Case c{LF_OP_ROPE};
  const int64_t tokens = random.extent(40), heads = random.integer(1, 5), n = 2 * random.extent(64);
  const int64_t half = random.chance(0.7) ? n / 2 : random.integer(1, n / 2);
  c.params.words = {random.chance(0.5) ? 1u : 0xffffffffu, random.chance(0.3) ? 1u : 0u, word(random.chance(0.7) ? 1.0 : 1.2)};
  const lf_dtype dtype = any_float(random);
  const bool in_place = random.chance(0.3);
  c.add(in_place ? Role::kUpdated : Role::kRead, normal(random, dtype, {tokens, heads, n}, Strides::kAny));
  c.add(Role::kRead, integers(random, LF_I32, {tokens}, 0, random.pick({100, 100, 100000})));
  std::vector<double> frequencies;
  // One set of frequencies for all tokens, or one for each.
  const bool own = random.chance(0.3);
  for (int64_t t = 0; t < (own ? tokens : 1); t++) {
    const double base = own ? random.uniform(100.0, 1e6) : 10000.0;
    for (int64_t i = 0; i < half; i++) frequencies.push_back(std::pow(base, -static_cast<double>(i) / static_cast<double>(half)));
  }
  c.add(Role::kRead, numbers(random, LF_F32, own ? Shape{tokens, half} : Shape{half}, frequencies));
  if (in_place) {
    // The result is checked as the last operand; the first only lends its memory.
    c.operands[0].role = Role::kRead;
    c.add(Role::kWritten, c.operands[0].tensor).shares = 0;
  } else {
    c.add(Role::kWritten, Tensor::make(random, any_float(random), {tokens, heads, n}, Strides::kAny));
  }
  return c;
}

Case make_attention(Random& random) {
  Case c{LF_OP_ATTENTION};
  const bool causal = random.chance(0.6);
  const Batch b = any_batch(random, causal);
  c.params.words = any_rules(random, b, causal);
  const lf_dtype dtype = attention_dtype(random);
  const int64_t sequences = static_cast<int64_t>(b.cu_q.size());
  c.add(Role::kRead, normal(random, dtype, {b.queries(), b.heads, b.n}, Strides::kDenseRows));
  c.add(Role::kRead, normal(random, dtype, {b.keys(), b.kv_heads, b.n}, Strides::kDenseRows));
  c.add(Role::kRead, normal(random, dtype, {b.keys(), b.kv_heads, b.n}, Strides::kDenseRows));
  c.add(Role::kRead, numbers(random, LF_I32, {sequences}, b.cu_q));
  c.add(Role::kRead, numbers(random, LF_I32, {sequences}, b.cu_k));
  c.add(Role::kWritten, Tensor::make(random, dtype, {b.queries(), b.heads, b.n}, Strides::kDenseRows));
  if (random.chance(0.6)) c.add(Role::kWritten, Tensor::make(random, LF_F32, {b.heads, b.queries()}, Strides::kDenseRows));
  return c;
}

Case make_attention_backward(Random& random) {
  // What the forward pass gives goes into it: the reference computes that.
  Case forward = make_attention(random);
  const Shape query = forward.operands[0].tensor.shape, key = forward.operands[1].tensor.shape;
  forward.operands.resize(6);
  forward.add(Role::kWritten, Tensor::make(random, LF_F32, {query[1], query[0]}, Strides::kDenseRows));
  std::vector<Array> arrays;
  for (const Operand& operand : forward.operands) {
    Array a;
    a.present = true;
    a.dtype = operand.tensor.dtype;
    a.shape = operand.tensor.shape;
    if (operand.role == Role::kRead) a.value = operand.tensor.values();
    else a.value.assign(static_cast<size_t>(operand.tensor.elements()), 0.0);
    arrays.push_back(std::move(a));
  }
  reference_attention(forward.params, arrays.data());
  Case c{LF_OP_ATTENTION_BACKWARD};
  c.params = forward.params;
  for (size_t i = 0; i < 7; i++) {
    if (i >= 5) {
      // A query that sees nothing has no gradient, whatever its statistic is.
      for (double& v : arrays[i].value) v = std::isfinite(v) ? v : 0.0;
      forward.operands[i].tensor.set_values(arrays[i].value);
      forward.operands[i].role = Role::kRead;
    }
    c.operands.push_back(forward.operands[i]);
  }
  const lf_dtype dtype = forward.operands[0].tensor.dtype;
  c.add(Role::kRead, normal(random, dtype, query, Strides::kDenseRows));
  c.add(Role::kWritten, Tensor::make(random, dtype, query, Strides::kDenseRows));
  c.add(Role::kWritten, Tensor::make(random, dtype, key, Strides::kDenseRows));
  c.add(Role::kWritten, Tensor::make(random, dtype, key, Strides::kDenseRows));
  return c;
}

Case make_kv_write(Random& random) {
  Case c{LF_OP_KV_WRITE};
  const int64_t tokens = random.extent(40), heads = random.integer(1, 4), n = random.extent(130);
  const int64_t count = random.integer(2, 8), block = random.pick<int64_t>({1, 8, 16, 32});
  // Each position at most once: two writes to one have no order.
  std::vector<double> slots(static_cast<size_t>(count * block));
  std::iota(slots.begin(), slots.end(), 0.0);
  for (size_t i = slots.size(); i-- > 1;) std::swap(slots[i], slots[static_cast<size_t>(random.integer(0, static_cast<int64_t>(i)))]);
  slots.resize(static_cast<size_t>(tokens), -1.0);
  for (double& slot : slots) slot = random.chance(0.1) ? -1.0 : slot;
  const lf_dtype cache = random.chance(0.3) ? LF_I8 : attention_dtype(random);
  const double deviation = random.pick({1.0, 1.0, 30.0, 1e-32});
  for (int i = 0; i < 2; i++)
    c.add(Role::kRead, normal(random, any_float(random), {tokens, heads, n}, Strides::kAny, deviation));
  c.add(Role::kRead, numbers(random, LF_I32, {tokens}, slots));
  add_caches(random, c, Role::kUpdated, cache, {count, heads, block, n});
  if (cache == LF_I8) add_scales(random, c, Role::kUpdated, {count, heads, block, n});
  return c;
}

Case make_attention_paged(Random& random) {
  Case c{LF_OP_ATTENTION_PAGED};
  const int64_t kv_heads = random.integer(1, 3), heads = kv_heads * random.integer(1, 4);
  const int64_t n = random.pick<int64_t>({8, 16, 64, 64, 128, 5, 40}), block = random.pick<int64_t>({1, 8, 16, 32, 32});
  const int64_t sequences = random.integer(1, 5);
  std::vector<double> cu{0.0}, contexts;
  int64_t most_blocks = 1, most_queries = 0, longest = 0;
  for (int64_t b = 0; b < sequences; b++) {
    // Decoding, a few tokens (speculation), or a part of a prompt; now and then none.
    const int64_t q = random.chance(0.5) ? 1 : random.chance(0.1) ? 0 : random.integer(1, 40);
    const int64_t context = q + (random.chance(0.2) ? 0 : random.integer(0, random.chance(0.1) ? 1100 : 150));
    cu.push_back(cu.back() + static_cast<double>(q));
    contexts.push_back(static_cast<double>(context));
    most_blocks = std::max(most_blocks, (context + block - 1) / block);
    most_queries = std::max(most_queries, q);
    longest = std::max(longest, context);
  }
  const int64_t queries = static_cast<int64_t>(cu.back());
  // Blocks in no order, shared by sequences here and there.
  const int64_t count = std::max<int64_t>(2, most_blocks);
  const uint32_t window = random.chance(0.2) ? static_cast<uint32_t>(random.integer(1, 70)) : 0;
  const double softcap = random.chance(0.2) ? random.uniform(2.0, 30.0) : 0.0;
  c.params.words = {word(1.0 / std::sqrt(static_cast<double>(n))), window, word(softcap), static_cast<uint32_t>(most_queries),
                    static_cast<uint32_t>(longest), random.chance(0.3) ? 1u : 0u};
  const lf_dtype dtype = attention_dtype(random);
  c.add(Role::kRead, normal(random, dtype, {queries, heads, n}, Strides::kDenseRows));
  const lf_dtype cache = random.chance(0.3) ? LF_I8 : dtype;
  add_caches(random, c, Role::kRead, cache, {count, kv_heads, block, n});
  c.add(Role::kRead, integers(random, LF_I32, {sequences, most_blocks + random.integer(0, 2)}, 0, count - 1));
  c.add(Role::kRead, numbers(random, LF_I32, {sequences + 1}, cu));
  c.add(Role::kRead, numbers(random, LF_I32, {sequences}, contexts));
  c.add(Role::kWritten, Tensor::make(random, dtype, {queries, heads, n}, Strides::kDenseRows));
  if (cache == LF_I8) add_scales(random, c, Role::kRead, {count, kv_heads, block, n});
  return c;
}

Case make_kv_copy_blocks(Random& random) {
  Case c{LF_OP_KV_COPY_BLOCKS};
  const int64_t count = random.integer(2, 9), heads = random.integer(1, 4), block = random.pick<int64_t>({1, 8, 16, 32});
  const Shape shape{count, heads, block, random.extent(130)};
  const lf_dtype dtype = random.chance(0.3) ? LF_I8 : attention_dtype(random);
  add_caches(random, c, Role::kUpdated, dtype, shape);
  // Sources and targets are different blocks: whether a copy sees an earlier one is not said.
  std::vector<double> pairs;
  for (int64_t target = count / 2; target < count; target++) {
    if (random.chance(0.3)) continue;
    pairs.push_back(static_cast<double>(random.integer(0, count / 2 - 1)));
    pairs.push_back(static_cast<double>(target));
  }
  c.add(Role::kRead, numbers(random, LF_I32, {static_cast<int64_t>(pairs.size()) / 2, 2}, pairs));
  if (dtype == LF_I8) add_scales(random, c, Role::kUpdated, shape);
  return c;
}

}  // namespace conformance
