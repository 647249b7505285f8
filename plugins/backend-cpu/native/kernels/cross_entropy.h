// What the two ways to compute CROSS_ENTROPY share: its operands, its options, and the rows that have a label.
#pragma once
#include "linear_operands.h"

namespace lf_cpu {
namespace LF_ISA {

enum CrossEntropyOperand {
  kX, kW, kBias, kLabels, kRowWeight, kNll, kDx, kDw, kDbias, kWBackward, kEntropy, kLse, kArgmax
};

struct CrossEntropyOptions {
  int32_t ignore_index;
  float grad_scale, softcap, smoothing, logit_scale;
  lf_math math;

  explicit CrossEntropyOptions(const uint32_t* params)
      : ignore_index(int32_t(params[0])), grad_scale(param_f32(params, 1)), softcap(param_f32(params, 2)),
        smoothing(param_f32(params, 3)), logit_scale(param_f32(params, 4)), math(lf_math(params[5])) {}

  // Whether logits are the sums of the product as they are.
  bool plain() const { return logit_scale == 1.0f && softcap <= 0.0f; }
};

// What a row's softmax is turned into.
struct RowStatistics {
  float nll, lse, entropy;
  int32_t argmax;
};

class LabelledRows {
 public:
  LabelledRows(const CrossEntropyOptions& options, const View* o)
      : options(options), o(o), rows(o[kX].shape[0]), depth(o[kX].shape[1]), vocabulary(o[kW].shape[0]) {}

  int32_t label(int64_t t) const { return o[kLabels].as<const int32_t>()[t * o[kLabels].stride[0]]; }

  // Sets `labelled` to the number of rows with a label; null, or the message of ctx.fail where a label is no token.
  const char* count(Context& ctx, const char* op, int64_t* labelled) const {
    *labelled = 0;
    for (int64_t t = 0; t < rows; t++) {
      const int32_t id = label(t);
      if (id == options.ignore_index) continue;
      if (id < 0 || id >= vocabulary)
        return ctx.fail(LF_INVALID, "%s: labels[%lld] is %d, but operand w has shape %s", op, (long long)t, id,
                        shape_text(o[kW]).text);
      ++*labelled;
    }
    return nullptr;
  }

  // Writes the rows with a label, in order, to `index`, and what the others give: no loss and no gradient.
  void list(int32_t* index) const {
    int64_t count = 0;
    for (int64_t t = 0; t < rows; t++) {
      if (label(t) == options.ignore_index) clear(t);
      else index[count++] = int32_t(t);
    }
  }

  void write(int64_t t, const RowStatistics& row) const {
    set(o[kNll], t, row.nll);
    set(o[kEntropy], t, row.entropy);
    set(o[kLse], t, row.lse);
    set(o[kArgmax], t, row.argmax);
  }

  // d(objective) / d(loss of the row)
  float weight(int64_t t) const {
    const View& weights = o[kRowWeight];
    return options.grad_scale * (weights.present() ? weights.as<const float>()[t * weights.stride[0]] : 1.0f);
  }

  const CrossEntropyOptions options;
  const View* const o;
  const int64_t rows, depth, vocabulary;

 private:
  template <typename T>
  static void set(const View& v, int64_t t, T value) {
    if (v.present()) v.as<T>()[t * v.stride[0]] = value;
  }

  void clear(int64_t t) const {
    write(t, {0.0f, 0.0f, 0.0f, -1});
    const View& dx = o[kDx];
    if (!dx.present()) return;
    with_float(dx.dtype, [&](auto type) {
      using T = decltype(type);
      T* row = dx.as<T>() + t * dx.stride[0];
      for (int64_t i = 0; i < depth; i++) row[i * dx.stride[1]] = T{};
    });
  }
};

// Whether `stream_cross_entropy` gives all that is asked for.
bool streams_cross_entropy(const LabelledRows& rows);
// Loss, statistics and dx without logits in memory (cross_entropy_streamed.cpp); `labelled` rows have a label.
const char* stream_cross_entropy(Context& ctx, const char* op, const LabelledRows& rows, int64_t labelled);

}  // namespace LF_ISA
}  // namespace lf_cpu
