// MATMUL, LINEAR and its gradients.
#include <cmath>

#include "reference.h"

namespace conformance {
namespace {

// A number and the size of what it was summed from.
struct Sum {
  double value = 0.0, size = 0.0;
  void add(double term) { value += term, size += std::fabs(term); }
};

// An operand of a product in the precision that `math` names.
double rounded(uint32_t math, double v) { return math == LF_MATH_F32 ? v : round_to(LF_BF16, v); }

// An intermediate result that is an operand of a second product may be kept in f32, or rounded.
double intermediate(uint32_t math) { return math == LF_MATH_F32 ? 1.0 : 1.0 + kBrainRounding; }

// Rows of x as INT8 rounds them: groups of 32, in f32 as backend.h says.
std::vector<double> in_8_bits(const Array& x) {
  constexpr int64_t kGroup = 32;
  std::vector<double> out(x.value.size());
  for (size_t first = 0; first < out.size(); first += kGroup) {
    float largest = 0.0f;
    for (size_t i = first; i < first + kGroup; i++) largest = std::fmax(largest, std::fabs(static_cast<float>(x.value[i])));
    if (largest < 0x1p-100f) continue;
    const float inverse = 127.0f / largest, scale = largest / 127.0f;
    for (size_t i = first; i < first + kGroup; i++) {
      out[i] = static_cast<double>(scale) * std::nearbyint(static_cast<float>(x.value[i]) * inverse);
    }
  }
  return out;
}

void set_with_beta(Array& out, int64_t i, const Sum& sum, double beta) {
  const double old = beta != 0.0 ? beta * out.at(i) : 0.0;
  out.set(i, sum.value + old, sum.size + std::fabs(old));
}

}  // namespace

void reference_matmul(const Params& p, Array* o) {
  const Array &a = o[0], &b = o[1];
  const bool trans_a = p.u(0), trans_b = p.u(1);
  const int64_t m = o[2].extent(0), n = o[2].extent(1), k = a.extent(trans_a ? 0 : 1);
  for (int64_t i = 0; i < m; i++) {
    for (int64_t j = 0; j < n; j++) {
      Sum sum;
      for (int64_t l = 0; l < k; l++) {
        const double x = a.at(trans_a ? l * m + i : i * k + l), y = b.at(trans_b ? j * k + l : l * n + j);
        sum.add(p.f(2) * rounded(p.u(4), x) * rounded(p.u(4), y));
      }
      set_with_beta(o[2], i * n + j, sum, p.f(3));
    }
  }
}

void reference_linear(const Params& p, Array* o) {
  const Array &x = o[0], &w = o[1], &bias = o[2], &lora_a = o[5], &lora_b = o[6], &adapter = o[8];
  const Array& lora_x = o[4].present ? o[4] : x;
  const int64_t m = x.extent(0), k = x.extent(1), n = w.extent(0);
  const int64_t rank = lora_a.present ? lora_a.shape[lora_a.shape.size() - 2] : 0;
  const uint32_t math = p.u(2);
  const std::vector<double> x8 = math == LF_MATH_INT8 ? in_8_bits(x) : std::vector<double>();
  for (int64_t i = 0; i < m; i++) {
    const int64_t which = adapter.present ? adapter.whole(i) : 0;
    std::vector<Sum> xa(static_cast<size_t>(rank));
    for (int64_t r = 0; r < rank; r++) {
      for (int64_t l = 0; l < k && which >= 0; l++) {
        xa[static_cast<size_t>(r)].add(rounded(math, lora_x.at(i * k + l)) * rounded(math, lora_a.at((which * rank + r) * k + l)));
      }
      o[7].set(i * rank + r, xa[static_cast<size_t>(r)].value, xa[static_cast<size_t>(r)].size);
    }
    for (int64_t j = 0; j < n; j++) {
      Sum sum;
      for (int64_t l = 0; l < k; l++) {
        if (math == LF_MATH_INT8) sum.add(x8[static_cast<size_t>(i * k + l)] * w.at(j * k + l));
        else sum.add(rounded(math, x.at(i * k + l)) * rounded(math, w.at(j * k + l)));
      }
      for (int64_t r = 0; r < rank && which >= 0; r++) {
        const double b = p.f(0) * rounded(math, lora_b.at((which * n + j) * rank + r));
        sum.value += xa[static_cast<size_t>(r)].value * b;
        sum.size += (xa[static_cast<size_t>(r)].size + std::fabs(xa[static_cast<size_t>(r)].value) * intermediate(math)) * std::fabs(b);
      }
      if (bias.present) sum.add(bias.at(j));
      const double z = sum.value, y = unary(p.u(3), z);
      // What the activation makes of an error in its argument, which may lie on either side of a bend.
      const uint32_t kind = p.u(3);
      const double off = kEpsilon * sum.size;
      const double slope = std::fmax(std::fabs(unary_slope(kind, z)),
                                     std::fmax(std::fabs(unary_slope(kind, z - off)), std::fabs(unary_slope(kind, z + off))));
      sum.value = y;
      sum.size = p.u(3) ? sum.size * (slope + 0.01) + std::fabs(y) : sum.size;
      set_with_beta(o[3], i * n + j, sum, p.f(1));
    }
  }
}

void reference_linear_backward_input(const Params& p, Array* o) {
  const Array &dy = o[0], &w = o[1], &lora_a = o[3], &lora_b = o[4];
  const int64_t m = dy.extent(0), n = dy.extent(1), k = w.extent(1), rank = lora_a.present ? lora_a.extent(0) : 0;
  const uint32_t math = p.u(2);
  for (int64_t i = 0; i < m; i++) {
    std::vector<Sum> dxa(static_cast<size_t>(rank));
    for (int64_t r = 0; r < rank; r++) {
      for (int64_t j = 0; j < n; j++) {
        dxa[static_cast<size_t>(r)].add(p.f(0) * rounded(math, dy.at(i * n + j)) * rounded(math, lora_b.at(j * rank + r)));
      }
      o[5].set(i * rank + r, dxa[static_cast<size_t>(r)].value, dxa[static_cast<size_t>(r)].size);
    }
    for (int64_t l = 0; l < k; l++) {
      Sum dx, update;
      for (int64_t j = 0; j < n; j++) dx.add(rounded(math, dy.at(i * n + j)) * rounded(math, w.at(j * k + l)));
      for (int64_t r = 0; r < rank; r++) {
        const double a = rounded(math, lora_a.at(r * k + l));
        const Sum& s = dxa[static_cast<size_t>(r)];
        update.value += s.value * a;
        update.size += (s.size + std::fabs(s.value) * intermediate(math)) * std::fabs(a);
      }
      if (o[6].present) {
        o[6].set(i * k + l, update.value, update.size);
      } else {
        dx.value += update.value;
        dx.size += update.size;
      }
      set_with_beta(o[2], i * k + l, dx, p.f(1));
    }
  }
}

void reference_linear_backward_weight(const Params& p, Array* o) {
  const Array &x = o[0], &dy = o[1];
  const int64_t m = dy.extent(0), n = dy.extent(1), k = x.present ? x.extent(1) : 0;
  const uint32_t math = p.u(2);
  for (int64_t j = 0; j < n; j++) {
    for (int64_t l = 0; l < k && o[2].present; l++) {
      Sum sum;
      for (int64_t i = 0; i < m; i++) sum.add(p.f(0) * rounded(math, dy.at(i * n + j)) * rounded(math, x.at(i * k + l)));
      set_with_beta(o[2], j * k + l, sum, p.f(1));
    }
    Sum sum;
    for (int64_t i = 0; i < m; i++) sum.add(p.f(0) * dy.at(i * n + j));
    if (o[3].present) set_with_beta(o[3], j, sum, p.f(1));
  }
}

void reference_blocks_of_codes(const Params& p, Array* o) {
  const Array &codes = o[0], &scales = o[1], &zeros = o[2];
  const int64_t n = o[3].extent(0), k = o[3].extent(1), group = p.u(1), groups = scales.extent(1);
  // Where in a word of AWQ the code of each of eight columns lies.
  const int places[] = {0, 4, 1, 5, 2, 6, 3, 7};
  for (int64_t r = 0; r < n; r++) {
    for (int64_t c = 0; c < k; c++) {
      const bool awq = p.u(0) == LF_CODES_AWQ;
      const int64_t word = awq ? codes.whole(r / 8 * k + c) : codes.whole(r * (k / 8) + c / 8);
      const int place = awq ? places[r % 8] : static_cast<int>(c % 8);
      const int64_t g = r * groups + c / group, zero = zeros.present ? zeros.whole(g) : 8;
      const int64_t code = static_cast<int64_t>(static_cast<uint32_t>(word) >> (4 * place) & 15);
      const double value = round_to(LF_F16, scales.at(g)) * static_cast<double>(code - zero);
      o[3].set(r * k + c, value, std::fabs(value));
    }
  }
}

}  // namespace conformance
