// Checks the backward references: for an arbitrary loss, the sum of outputs times given numbers, their results must be
// the central differences of the forward references.
#include <cmath>
#include <cstdio>

#include "cases/cases.h"
#include "checks.h"

namespace conformance {
namespace {

Array array(Random& random, Shape shape, double deviation = 1.0) {
  Array a;
  a.present = true;
  a.value.resize(static_cast<size_t>(element_count(shape)));
  a.shape = std::move(shape);
  for (double& v : a.value) v = deviation * random.normal();
  return a;
}

Array given(std::vector<double> values) {
  Array a;
  a.present = true;
  a.shape = {static_cast<int64_t>(values.size())};
  a.value = std::move(values);
  return a;
}

double weighted_sum(const Array& outputs, const Array& weights) {
  double sum = 0.0;
  for (int64_t i = 0; i < outputs.elements(); i++) sum += outputs.at(i) * weights.at(i);
  return sum;
}

using Operands = std::vector<Array>;
using Loss = double (*)(const Params&, Operands, const Array& weights, Reference, size_t output);

// The loss: run the forward reference on a copy and weigh one of its outputs.
double loss_of(const Params& p, Operands operands, const Array& weights, Reference forward, size_t output) {
  forward(p, operands.data());
  return weighted_sum(operands[output], weights);
}

class Checker {
 public:
  explicit Checker(const char* name) : name_(name) {}
  ~Checker() { printf("%-32s largest difference %.1e  %s\n", name_, worst_, good() ? "ok" : "FAILED"); }

  // Compares `gradient` with the differences of the loss along operand `index`.
  void compare(const Params& p, const Operands& operands, const Array& weights, Reference forward, size_t output,
               size_t index, const Array& gradient) {
    for (int64_t i = 0; i < operands[index].elements(); i++) {
      const double step = 1e-5;
      Operands moved = operands;
      moved[index].at(i) += step;
      const double above = loss_of(p, moved, weights, forward, output);
      moved[index].at(i) -= 2.0 * step;
      const double below = loss_of(p, moved, weights, forward, output);
      note(gradient.at(i), (above - below) / (2.0 * step));
    }
  }
  void note(double got, double want) { worst_ = std::fmax(worst_, std::fabs(got - want) / (1.0 + std::fabs(want))); }
  // Central differences with a step of 1e-5 are good to about 1e-10 of third derivatives and 1e-11 / 1e-5 of rounding.
  bool good() const { return worst_ < 1e-6; }

 private:
  const char* name_;
  double worst_ = 0.0;
};

bool check_unary(Random& random) {
  Checker checker("UNARY_BACKWARD");
  for (uint32_t kind = LF_IDENTITY; kind <= LF_ABS; kind++) {
    const Params p{{kind}};
    Operands o{array(random, {40}), array(random, {40})};
    // Away from the corner of RELU and ABS, and within the domain of LOG and SQRT.
    for (double& x : o[0].value) x = kind == LF_LOG || kind == LF_SQRT ? std::fabs(x) + 0.1 : x + (x < 0 ? -0.01 : 0.01);
    const Array dy = array(random, {40});
    Operands back{o[0], dy, array(random, {40})};
    reference_unary_backward(p, back.data());
    checker.compare(p, o, dy, reference_unary, 1, 0, back[2]);
  }
  return checker.good();
}

bool check_glu(Random& random) {
  Checker checker("GLU_BACKWARD");
  for (uint32_t kind : {LF_SILU, LF_GELU, LF_GELU_TANH}) {
    const Params p{{kind}};
    const Operands o{array(random, {3, 7}), array(random, {3, 7}), array(random, {3, 7})};
    const Array dout = array(random, {3, 7});
    Operands back{o[0], o[1], dout, array(random, {3, 7}), array(random, {3, 7})};
    reference_glu_backward(p, back.data());
    checker.compare(p, o, dout, reference_glu, 2, 0, back[3]);
    checker.compare(p, o, dout, reference_glu, 2, 1, back[4]);
  }
  return checker.good();
}

bool check_embedding(Random& random) {
  Checker checker("EMBEDDING_BACKWARD");
  const Params p{{word(1.7), 0}};
  const Array ids = given({2, 0, 2, 4});
  const Operands o{ids, array(random, {5, 3}), array(random, {4, 3})};
  const Array dout = array(random, {4, 3});
  Operands back{ids, dout, array(random, {5, 3}, 0.0)};
  reference_embedding_backward(p, back.data());
  checker.compare(p, o, dout, reference_embedding, 2, 1, back[2]);
  return checker.good();
}

bool check_rms_norm(Random& random) {
  Checker checker("RMS_NORM_BACKWARD");
  const Params p{{word(1e-5), word(1.0)}};
  const Array none;
  Operands o{array(random, {3, 9}), array(random, {3, 9}), array(random, {9}), array(random, {3, 9}), array(random, {3, 9}), array(random, {3})};
  const Array dy = array(random, {3, 9});
  reference_rms_norm(p, o.data());
  Operands back{dy, o[4], o[2], o[5], none, array(random, {3, 9}), array(random, {9}, 0.0)};
  reference_rms_norm_backward({{word(1.0)}}, back.data());
  checker.compare(p, o, dy, reference_rms_norm, 3, 0, back[5]);
  checker.compare(p, o, dy, reference_rms_norm, 3, 1, back[5]);
  checker.compare(p, o, dy, reference_rms_norm, 3, 2, back[6]);
  return checker.good();
}

bool check_layer_norm(Random& random) {
  Checker checker("LAYER_NORM_BACKWARD");
  const Params p{{word(1e-5)}};
  const Array none;
  Operands o{array(random, {3, 9}), array(random, {3, 9}), array(random, {9}), array(random, {9}),
             array(random, {3, 9}), array(random, {3, 9}), array(random, {3}), array(random, {3})};
  const Array dy = array(random, {3, 9});
  reference_layer_norm(p, o.data());
  Operands back{dy, o[5], o[2], o[6], o[7], none, array(random, {3, 9}), array(random, {9}, 0.0), array(random, {9}, 0.0)};
  reference_layer_norm_backward({}, back.data());
  checker.compare(p, o, dy, reference_layer_norm, 4, 0, back[6]);
  checker.compare(p, o, dy, reference_layer_norm, 4, 2, back[7]);
  checker.compare(p, o, dy, reference_layer_norm, 4, 3, back[8]);
  return checker.good();
}

bool check_linear(Random& random) {
  Checker checker("LINEAR_BACKWARD_*");
  const int64_t m = 4, n = 5, k = 6, r = 3;
  const float scale = 0.7f;
  const Params p{{word(scale), 0, LF_MATH_F32, 0}};
  const Array none;
  Operands o{array(random, {m, k}), array(random, {n, k}), array(random, {n}), array(random, {m, n}), array(random, {m, k}),
             array(random, {r, k}), array(random, {n, r}), array(random, {m, r}), none};
  const Array dy = array(random, {m, n});
  Operands back{dy, o[1], array(random, {m, k}), o[5], o[6], array(random, {m, r}), array(random, {m, k})};
  reference_linear_backward_input(p, back.data());
  checker.compare(p, o, dy, reference_linear, 3, 0, back[2]);
  checker.compare(p, o, dy, reference_linear, 3, 4, back[6]);
  // Without a separate input of the low-rank part, both gradients join.
  Operands joined = o;
  joined[4] = none;
  Operands joined_back = back;
  joined_back[6] = none;
  reference_linear_backward_input(p, joined_back.data());
  checker.compare(p, joined, dy, reference_linear, 3, 0, joined_back[2]);
  // dW = dy^T x, dA = dxa^T lora_x, dB = scale * dy^T xa: how a trainer forms them.
  auto weight = [&](const Array& x, const Array& d, double alpha) {
    Operands w{x, d, array(random, {d.columns(), x.columns()}), array(random, {d.columns()})};
    reference_linear_backward_weight({{word(alpha), 0, LF_MATH_F32}}, w.data());
    return w;
  };
  const Operands dw = weight(o[0], dy, 1.0);
  checker.compare(p, o, dy, reference_linear, 3, 1, dw[2]);
  checker.compare(p, o, dy, reference_linear, 3, 2, dw[3]);
  checker.compare(p, o, dy, reference_linear, 3, 5, weight(o[4], back[5], 1.0)[2]);
  Operands forward = o;
  reference_linear(p, forward.data());
  checker.compare(p, o, dy, reference_linear, 3, 6, weight(forward[7], dy, scale)[2]);
  return checker.good();
}

bool check_rope(Random& random) {
  Checker checker("ROPE (sign -1)");
  for (uint32_t interleaved : {0u, 1u}) {
    const Params p{{1, interleaved, word(1.1)}}, back_p{{0xffffffffu, interleaved, word(1.1)}};
    const Operands o{array(random, {3, 2, 10}), given({0, 5, 17}), given({1.0, 0.3, 0.1}), array(random, {3, 2, 10})};
    const Array dout = array(random, {3, 2, 10});
    Operands back{dout, o[1], o[2], array(random, {3, 2, 10})};
    reference_rope(back_p, back.data());
    checker.compare(p, o, dout, reference_rope, 3, 0, back[3]);
  }
  return checker.good();
}

bool check_attention(Random& random) {
  Checker checker("ATTENTION_BACKWARD");
  for (int variant = 0; variant < 4; variant++) {
    const uint32_t causal = variant != 1, window = variant == 2 ? 3 : 0;
    const Params p{{word(0.4), causal, window, word(variant == 3 ? 2.5 : 0.0), 5, 7}};
    const Array cu_q = given({0, 5, 7}), cu_k = given({0, 7, 9});
    Operands o{array(random, {7, 4, 3}), array(random, {9, 2, 3}), array(random, {9, 2, 3}), cu_q, cu_k,
               array(random, {7, 4, 3}), array(random, {4, 7})};
    const Array dout = array(random, {7, 4, 3});
    reference_attention(p, o.data());
    Operands back = o;
    for (const Array& a : {dout, o[0], o[1], o[2]}) back.push_back(a);
    reference_attention_backward(p, back.data());
    for (size_t i = 0; i < 3; i++) checker.compare(p, o, dout, reference_attention, 5, i, back[8 + i]);
  }
  return checker.good();
}

bool check_cross_entropy(Random& random) {
  Checker checker("CROSS_ENTROPY");
  for (int variant = 0; variant < 3; variant++) {
    const float scale = 0.3f, smoothing = variant == 2 ? 0.2f : 0.0f;
    const Params p{{static_cast<uint32_t>(-100), word(scale), word(variant == 1 ? 2.0 : 0.0), word(smoothing), word(variant ? 1.3 : 1.0), LF_MATH_F32}};
    const Array none;
    const Array row_weight = array(random, {4});
    Operands o{array(random, {4, 3}), array(random, {6, 3}), array(random, {6}), given({2, -100, 5, 0}), row_weight, array(random, {4}),
               array(random, {4, 3}), array(random, {6, 3}, 0.0), array(random, {6}, 0.0)};
    o.resize(13);
    Operands back = o;
    reference_cross_entropy(p, back.data());
    // The loss is (1 - s) nll + s (the mean of -log p over the vocabulary). The latter is the mean of nll with each label
    // in turn, so that it takes one run of the reference for each.
    auto loss = [&](const Operands& at) {
      double sum = 0.0;
      for (int label = -1; label < 6; label++) {
        Operands copy = at;
        if (label >= 0) copy[3] = given({static_cast<double>(label), -100, static_cast<double>(label), static_cast<double>(label)});
        reference_cross_entropy(p, copy.data());
        const double share = label < 0 ? 1.0 - smoothing : smoothing / 6.0;
        for (int64_t t = 0; t < 4; t++) sum += share * scale * row_weight.at(t) * copy[5].at(t);
      }
      return sum;
    };
    for (size_t which : {0, 1, 2}) {
      for (int64_t i = 0; i < o[which].elements(); i++) {
        Operands moved = o;
        moved[which].at(i) += 1e-5;
        const double above = loss(moved);
        moved[which].at(i) -= 2e-5;
        checker.note(back[6 + which].at(i), (above - loss(moved)) / 2e-5);
      }
    }
  }
  return checker.good();
}

// The reference leaves the gradient where the logits were: here it is asked for the loss alone.
void divergence_loss(const Params& p, Array* o) {
  Operands copy{o[0], o[1], o[2], o[3]};
  reference_divergence(p, copy.data());
  o[3] = copy[3];
}

bool check_divergence(Random& random) {
  Checker checker("DIVERGENCE");
  for (const double beta : {0.0, 1.0, 0.5, 0.2}) {
    const Array weights = array(random, {3});
    const Params p{{word(1.5), word(beta), word(1.0)}};
    const Operands o{array(random, {3, 6}), array(random, {3, 6}), weights, array(random, {3})};
    Operands back = o;
    reference_divergence(p, back.data());
    checker.compare(p, o, weights, divergence_loss, 3, 0, back[0]);
  }
  return checker.good();
}

bool check_grouped_linear(Random& random) {
  Checker checker("GROUPED_LINEAR_BACKWARD_*");
  const Params p{{LF_MATH_F32}};
  // The second group is empty.
  const Array offsets = given({0, 2, 2, 5});
  const Operands o{array(random, {5, 4}), offsets, array(random, {3, 6, 4}), array(random, {5, 6})};
  const Array dy = array(random, {5, 6});
  Operands input{dy, offsets, o[2], array(random, {5, 4})};
  reference_grouped_linear_backward_input(p, input.data());
  checker.compare(p, o, dy, reference_grouped_linear, 3, 0, input[3]);
  Operands weight{o[0], dy, offsets, array(random, {3, 6, 4})};
  reference_grouped_linear_backward_weight(Params{{word(0.0), LF_MATH_F32}}, weight.data());
  checker.compare(p, o, dy, reference_grouped_linear, 3, 2, weight[3]);
  return checker.good();
}

// From logits [3, 5] to the weights of the chosen pairs: o[0] logits, o[1] weights.
void softmax_route(const Params& p, Array* o) {
  Array probs = o[0];
  for (int64_t t = 0; t < probs.rows(); t++) {
    double sum = 0.0;
    for (int64_t e = 0; e < probs.columns(); e++) sum += std::exp(o[0].at(t * probs.columns() + e));
    for (int64_t e = 0; e < probs.columns(); e++) probs.at(t * probs.columns() + e) = std::exp(o[0].at(t * probs.columns() + e)) / sum;
  }
  Operands routed{probs, o[1], given(std::vector<double>(static_cast<size_t>(probs.columns()) + 1)), o[1]};
  reference_route(p, routed.data());
  o[1].value = routed[3].value;
  if (o[2].present) o[2] = probs, o[3] = routed[1], o[4] = routed[2];
}

bool check_route(Random& random) {
  Checker checker("ROUTE_BACKWARD");
  for (uint32_t normalize : {0u, 1u}) {
    const Params p{{2, normalize}};
    const Array pairs = given(std::vector<double>(6)), none;
    const Operands o{array(random, {3, 5}), pairs, none, none, none};
    const Array dweights = array(random, {6});
    Operands forward = o;
    forward[2].present = true;
    softmax_route(p, forward.data());
    Operands back{forward[2], forward[3], forward[4], forward[1], dweights, array(random, {3, 5})};
    reference_route_backward(Params{{normalize}}, back.data());
    checker.compare(p, o, dweights, softmax_route, 1, 0, back[5]);
  }
  return checker.good();
}

// The generator's known answers, of the authors' own test vectors.
bool check_philox() {
  const PhiloxBlock zero = philox(0, 0, 0, 0, 0, 0);
  const PhiloxBlock pi = philox(0xa4093822u, 0x299f31d0u, 0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u);
  const bool good = zero.word[0] == 0x6627e8d5u && zero.word[1] == 0xe169c58du && zero.word[2] == 0xbc57ac4cu &&
                    zero.word[3] == 0x9b00dbd8u && pi.word[0] == 0xd16cfe09u && pi.word[1] == 0x94fdccebu &&
                    pi.word[2] == 0x5001e420u && pi.word[3] == 0x24126ea1u;
  printf("%-32s known answers  %s\n", "Philox4x32-10", good ? "ok" : "FAILED");
  return good;
}

}  // namespace

bool check_gradients(uint64_t seed) {
  Random random(seed);
  bool good = check_philox();
  for (auto check : {check_unary, check_glu, check_embedding, check_rms_norm, check_layer_norm, check_linear, check_rope,
                     check_attention, check_cross_entropy, check_divergence, check_grouped_linear, check_route}) {
    good &= check(random);
  }
  return good;
}

}  // namespace conformance
