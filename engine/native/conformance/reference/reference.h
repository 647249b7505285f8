// The operations in double precision, one plain function each, written from what backend.h says of them.
//
// A reference gets the operands as arrays of doubles and fills in those that the operation writes; operands that are
// added to hold their former numbers. With a result goes its magnitude: the sum of the absolute values of the terms that
// it is made of, which is what the rounding errors of an implementation scale with. Where a magnitude is not given, the
// result's own is meant; an infinite one says that the result is not determined to within rounding (a tie).
#pragma once
#include <cstdint>
#include <vector>

#include "../tensor.h"

namespace conformance {

// Rounding errors of one step in f32, relative to the magnitude: 2^-24 for each operation, some of them in a row, and
// functions like exp that are good to a few units in the last place. Sums are formed in several lanes, so that their errors
// grow slowly with their length.
constexpr double kEpsilon = 0x1p-21;
// What an implementation may round to bf16 on the way (an operand of a further product) has an error of 2^-8 instead: its
// share of a magnitude is multiplied by this.
constexpr double kBrainRounding = 0x1p-8 / kEpsilon;

struct Array {
  bool present = false;
  lf_dtype dtype = LF_F32;
  Shape shape;
  std::vector<double> value;
  std::vector<double> magnitude;

  int64_t extent(size_t d) const { return shape[d]; }
  int64_t elements() const { return static_cast<int64_t>(value.size()); }
  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const { return columns() ? elements() / columns() : 0; }
  double& at(int64_t i) { return value[static_cast<size_t>(i)]; }
  double at(int64_t i) const { return value[static_cast<size_t>(i)]; }
  int64_t whole(int64_t i) const { return static_cast<int64_t>(at(i)); }
  void set(int64_t i, double number, double size) {
    if (!present) return;
    if (magnitude.empty()) magnitude.assign(value.size(), 0.0);
    at(i) = number;
    magnitude[static_cast<size_t>(i)] = size;
  }
};

struct Params {
  std::vector<uint32_t> words;
  uint32_t u(size_t i) const { return i < words.size() ? words[i] : 0; }
  int32_t i(size_t i) const { return static_cast<int32_t>(u(i)); }
  double f(size_t i) const { return bits_float(u(i)); }
};

using Reference = void (*)(const Params& params, Array* operands);

void reference_fill(const Params&, Array*);
void reference_copy(const Params&, Array*);
void reference_binary(const Params&, Array*);
void reference_unary(const Params&, Array*);
void reference_unary_backward(const Params&, Array*);
void reference_reduce(const Params&, Array*);
void reference_random(const Params&, Array*);
void reference_dropout(const Params&, Array*);
void reference_softmax(const Params&, Array*);
void reference_embedding(const Params&, Array*);
void reference_embedding_backward(const Params&, Array*);
void reference_gather_columns(const Params&, Array*);
void reference_rms_norm(const Params&, Array*);
void reference_rms_norm_backward(const Params&, Array*);
void reference_layer_norm(const Params&, Array*);
void reference_layer_norm_backward(const Params&, Array*);
void reference_matmul(const Params&, Array*);
void reference_linear(const Params&, Array*);
void reference_linear_backward_input(const Params&, Array*);
void reference_linear_backward_weight(const Params&, Array*);
void reference_blocks_of_codes(const Params&, Array*);
void reference_rope(const Params&, Array*);
void reference_attention(const Params&, Array*);
void reference_attention_backward(const Params&, Array*);
void reference_kv_write(const Params&, Array*);
void reference_attention_paged(const Params&, Array*);
void reference_kv_copy_blocks(const Params&, Array*);
void reference_glu(const Params&, Array*);
void reference_glu_backward(const Params&, Array*);
void reference_cross_entropy(const Params&, Array*);
void reference_divergence(const Params&, Array*);
void reference_clip_scale(const Params&, Array*);
void reference_adamw(const Params&, Array*);
void reference_lion(const Params&, Array*);
void reference_adamw_8bit(const Params&, Array*);
void reference_adafactor(const Params&, Array*);
void reference_dequantize(const Params&, Array*);
void reference_quantize_table(const Params&, Array*);
void reference_sample(const Params&, Array*);
void reference_mean_pool(const Params&, Array*);
void reference_all_reduce(const Params&, Array*);
void reference_all_gather(const Params&, Array*);
void reference_quantize_groups(const Params&, Array*);
void reference_quantize_block(const Params&, Array*);
void reference_quantize_sweep(const Params&, Array*);
void reference_encode_blocks(const Params&, Array*);
void reference_route(const Params&, Array*);
void reference_route_backward(const Params&, Array*);
void reference_grouped_linear(const Params&, Array*);
void reference_grouped_linear_backward_input(const Params&, Array*);
void reference_grouped_linear_backward_weight(const Params&, Array*);

// The functions of lf_unary and their derivatives; RELU and ABS have slope 0 at 0.
double unary(uint32_t kind, double x);
double unary_slope(uint32_t kind, double x);

// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011) with the key (seed_lo, seed_hi): four words of the counter (c0..c3).
struct PhiloxBlock {
  uint32_t word[4];
};
PhiloxBlock philox(uint32_t seed_lo, uint32_t seed_hi, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3);

}  // namespace conformance
