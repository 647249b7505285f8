// ROPE, ATTENTION and its gradient, and attention over a paged cache.
#include <algorithm>
#include <cmath>

#include "reference.h"

namespace conformance {
namespace {

double dot(const double* a, const double* b, int64_t n, double* size) {
  double sum = 0.0;
  *size = 0.0;
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i], *size += std::fabs(a[i] * b[i]);
  return sum;
}

struct Rules {
  double scale, softcap;
  bool causal;
  int64_t window;

  bool sees(int64_t query, int64_t key) const {
    return (!causal || key <= query) && (window == 0 || query - key < window);
  }
};

// The scores of one query and the softmax of them.
struct Weights {
  std::vector<int64_t> key;  // positions that the query sees
  std::vector<double> p, slope;  // probability, and d(score) / d(scaled product)
  double lse = -INFINITY;
  double size = 0.0;  // the largest of the sums of |q k|, with whose errors the scores are afflicted
};

template <typename KeyAt>
Weights attend(const Rules& rules, const double* q, int64_t n, int64_t position, int64_t keys, KeyAt&& key_at) {
  Weights w;
  std::vector<double> scores;
  double largest = -INFINITY;
  for (int64_t j = 0; j < keys; j++) {
    if (!rules.sees(position, j)) continue;
    double size;
    double score = rules.scale * dot(q, key_at(j), n, &size), slope = 1.0;
    if (rules.softcap > 0.0) {
      const double t = std::tanh(score / rules.softcap);
      score = rules.softcap * t;
      slope = 1.0 - t * t;
    }
    w.key.push_back(j);
    w.slope.push_back(slope);
    scores.push_back(score);
    w.size = std::max(w.size, std::fabs(rules.scale) * size);
    largest = std::max(largest, score);
  }
  double total = 0.0;
  for (double score : scores) total += std::exp(score - largest);
  if (!scores.empty()) w.lse = largest + std::log(total);
  for (double score : scores) w.p.push_back(std::exp(score - w.lse));
  return w;
}

// Probabilities may be rounded to bf16 for their product with the values, and queries after they were scaled, when the
// operands are bf16.
double product_rounding(const Array& q, const Array& k, const Array& v) {
  return q.dtype == LF_BF16 && k.dtype == LF_BF16 && v.dtype == LF_BF16 ? kBrainRounding : 1.0;
}

template <typename ValueAt>
void store_output(const Weights& w, int64_t n, double rounding, ValueAt&& value_at, Array& out, int64_t at) {
  for (int64_t i = 0; i < n; i++) {
    double sum = 0.0, size = 0.0;
    for (size_t j = 0; j < w.key.size(); j++) {
      const double term = w.p[j] * value_at(w.key[j])[i];
      sum += term, size += std::fabs(term);
    }
    out.set(at + i, sum, size * rounding * (1.0 + w.size));
  }
}

}  // namespace

void reference_rope(const Params& p, Array* o) {
  const Array& x = o[0];
  const int64_t n = x.extent(2), half = o[2].columns();
  const bool own = o[2].shape.size() == 2;
  o[3].value = x.value;
  for (int64_t row = 0; row < x.rows(); row++) {
    const int64_t token = row / x.extent(1), frequencies = own ? token * half : 0;
    const double position = o[1].at(token);
    for (int64_t i = 0; i < half; i++) {
      const int64_t a = row * n + (p.u(1) ? 2 * i : i), b = row * n + (p.u(1) ? 2 * i + 1 : i + half);
      const double angle = position * o[2].at(frequencies + i), cosine = std::cos(angle) * p.f(2), sine = p.i(0) * std::sin(angle) * p.f(2);
      const double size = (std::fabs(x.at(a)) + std::fabs(x.at(b))) * std::fabs(p.f(2));
      o[3].set(a, x.at(a) * cosine - x.at(b) * sine, size);
      o[3].set(b, x.at(b) * cosine + x.at(a) * sine, size);
    }
  }
}

void reference_attention(const Params& p, Array* o) {
  const Array &q = o[0], &k = o[1], &v = o[2];
  const int64_t heads = q.extent(1), kv_heads = k.extent(1), n = q.extent(2), queries = q.extent(0);
  const Rules rules{p.f(0), p.f(3), p.u(1) != 0, p.u(2)};
  for (int64_t b = 0; b + 1 < o[3].elements(); b++) {
    const int64_t q0 = o[3].whole(b), q1 = o[3].whole(b + 1), k0 = o[4].whole(b), k1 = o[4].whole(b + 1);
    for (int64_t i = q0; i < q1; i++) {
      for (int64_t h = 0; h < heads; h++) {
        const int64_t kv = h / (heads / kv_heads), position = (i - q0) + (k1 - k0) - (q1 - q0);
        auto row = [&](const Array& a, int64_t j) { return &a.value[static_cast<size_t>(((k0 + j) * kv_heads + kv) * n)]; };
        const Weights w = attend(rules, &q.value[static_cast<size_t>((i * heads + h) * n)], n, position, k1 - k0,
                                 [&](int64_t j) { return row(k, j); });
        store_output(w, n, product_rounding(q, k, v), [&](int64_t j) { return row(v, j); }, o[5], (i * heads + h) * n);
        // What stands for the logarithm of nothing is not said.
        const double rounding = product_rounding(q, k, v);
        o[6].set(h * queries + i, w.lse, w.key.empty() ? INFINITY : std::fabs(w.lse) + 1.0 + w.size * rounding);
      }
    }
  }
}

void reference_attention_backward(const Params& p, Array* o) {
  const Array &q = o[0], &k = o[1], &v = o[2], &out = o[5], &lse = o[6], &dout = o[7];
  Array &dq = o[8], &dk = o[9], &dv = o[10];
  const int64_t heads = q.extent(1), kv_heads = k.extent(1), n = q.extent(2), queries = q.extent(0);
  const Rules rules{p.f(0), p.f(3), p.u(1) != 0, p.u(2)};
  for (Array* a : {&dq, &dk, &dv}) {
    for (int64_t i = 0; i < a->elements(); i++) a->set(i, 0.0, 0.0);
  }
  auto add = [](Array& a, int64_t i, double term, double size) {
    a.set(i, a.at(i) + term, a.magnitude[static_cast<size_t>(i)] + size);
  };
  const double rounding = product_rounding(q, k, v);
  for (int64_t b = 0; b + 1 < o[3].elements(); b++) {
    const int64_t q0 = o[3].whole(b), q1 = o[3].whole(b + 1), k0 = o[4].whole(b), k1 = o[4].whole(b + 1);
    for (int64_t i = q0; i < q1; i++) {
      for (int64_t h = 0; h < heads; h++) {
        const int64_t kv = h / (heads / kv_heads), position = (i - q0) + (k1 - k0) - (q1 - q0), qi = (i * heads + h) * n;
        auto at = [&](int64_t j) { return ((k0 + j) * kv_heads + kv) * n; };
        const Weights w = attend(rules, &q.value[static_cast<size_t>(qi)], n, position, k1 - k0,
                                 [&](int64_t j) { return &k.value[static_cast<size_t>(at(j))]; });
        double size;
        const double* d = &dout.value[static_cast<size_t>(qi)];
        const double delta = dot(d, &out.value[static_cast<size_t>(qi)], n, &size), delta_size = size;
        for (size_t j = 0; j < w.key.size(); j++) {
          const int64_t kj = at(w.key[j]);
          // From the saved log-sum-exp, as the operation is given it.
          const double prob = w.p[j] * std::exp(w.lse - lse.at(h * queries + i));
          const double dp = dot(d, &v.value[static_cast<size_t>(kj)], n, &size);
          const double ds = prob * (dp - delta) * w.slope[j] * rules.scale;
          const double ds_size = prob * (size + delta_size) * std::fabs(rules.scale) * rounding * (1.0 + w.size);
          for (int64_t c = 0; c < n; c++) {
            add(dq, qi + c, ds * k.at(kj + c), ds_size * std::fabs(k.at(kj + c)));
            add(dk, kj + c, ds * q.at(qi + c), ds_size * std::fabs(q.at(qi + c)));
            add(dv, kj + c, prob * d[c], prob * std::fabs(d[c]) * rounding * (1.0 + w.size));
          }
        }
      }
    }
  }
}

namespace {

// The codes of n numbers and their scale, in the arithmetic that LF_MATH_INT8 prescribes.
double encode_codes(const double* x, int64_t n, double* codes) {
  float most = 0.0f;
  for (int64_t i = 0; i < n; i++) most = std::fmax(most, std::fabs(static_cast<float>(x[i])));
  const bool zero = most < 0x1p-100f;
  const float inverse = zero ? 0.0f : 127.0f / most;
  for (int64_t i = 0; i < n; i++) codes[i] = std::nearbyint(static_cast<float>(x[i]) * inverse);
  return zero ? 0.0f : most / 127.0f;
}

// The numbers that a cache of codes stands for; a kernel may round them to the type of the queries.
Array decoded(const Array& cache, const Array& scale, lf_dtype queries) {
  Array numbers = cache;
  if (!scale.present) return numbers;
  const int64_t n = cache.extent(3);
  for (int64_t i = 0; i < cache.elements(); i++) numbers.at(i) *= scale.at(i / n);
  if (queries == LF_BF16) numbers.dtype = LF_BF16;
  return numbers;
}

}  // namespace

void reference_kv_write(const Params&, Array* o) {
  const int64_t heads = o[3].extent(1), block = o[3].extent(2), n = o[3].extent(3);
  for (int64_t t = 0; t < o[2].elements(); t++) {
    const int64_t slot = o[2].whole(t);
    if (slot < 0) continue;
    for (int64_t h = 0; h < heads; h++) {
      const int64_t to = ((slot / block * heads + h) * block + slot % block) * n, from = (t * heads + h) * n;
      for (int which = 0; which < 2; which++) {
        const double* row = &o[which].value[static_cast<size_t>(from)];
        double* target = &o[3 + which].value[static_cast<size_t>(to)];
        if (o[5 + which].present) o[5 + which].at(to / n) = encode_codes(row, n, target);
        else std::copy(row, row + n, target);
      }
    }
  }
}

void reference_attention_paged(const Params& p, Array* o) {
  const Array &q = o[0], &table = o[3], k_cache = decoded(o[1], o[7], q.dtype), v_cache = decoded(o[2], o[8], q.dtype);
  const int64_t heads = q.extent(1), kv_heads = k_cache.extent(1), block = k_cache.extent(2), n = q.extent(2);
  const Rules rules{p.f(0), p.f(2), true, p.u(1)};
  for (int64_t b = 0; b < o[5].elements(); b++) {
    const int64_t q0 = o[4].whole(b), q1 = o[4].whole(b + 1), context = o[5].whole(b);
    for (int64_t i = q0; i < q1; i++) {
      for (int64_t h = 0; h < heads; h++) {
        const int64_t kv = h / (heads / kv_heads);
        auto row = [&](const Array& cache, int64_t j) {
          const int64_t at = table.whole(b * table.columns() + j / block);
          return &cache.value[static_cast<size_t>(((at * kv_heads + kv) * block + j % block) * n)];
        };
        const Weights w = attend(rules, &q.value[static_cast<size_t>((i * heads + h) * n)], n, context - (q1 - i), context,
                                 [&](int64_t j) { return row(k_cache, j); });
        store_output(w, n, product_rounding(q, k_cache, v_cache), [&](int64_t j) { return row(v_cache, j); }, o[6],
                     (i * heads + h) * n);
      }
    }
  }
}

void reference_kv_copy_blocks(const Params&, Array* o) {
  for (int64_t i = 0; i < o[2].extent(0); i++) {
    for (Array* cache : {&o[0], &o[1], &o[3], &o[4]}) {
      if (!cache->present) continue;
      const int64_t size = cache->elements() / cache->extent(0);
      const auto from = cache->value.begin() + o[2].whole(2 * i) * size;
      const std::vector<double> copy(from, from + size);
      std::copy(copy.begin(), copy.end(), cache->value.begin() + o[2].whole(2 * i + 1) * size);
    }
  }
}

}  // namespace conformance
