// CROSS_ENTROPY: the output head, softmax, loss and all gradients, over chunks of the rows that have a label.
//
// Where dx is the only gradient it is streamed (cross_entropy_streamed.cpp). Otherwise a chunk's logits are formed by one
// product, become their gradients in place, and feed the products that give dx and dw; no more than kLogitBytes of them
// exist at a time. Each row's softmax is one task, so its sums have a fixed order; dw and dbias add chunk after chunk.
#include "cross_entropy.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr const char* kOp = "CROSS_ENTROPY";
constexpr int64_t kChunkRows = 256, kFewestRows = 64;
constexpr int64_t kLogitBytes = 48 << 20;
constexpr int64_t kDecodedRows = 2048;  // of a weight in a block format, decoded at a time for dx

const char* expect_rows(Context& ctx, const char* name, const View& v, lf_dtype dtype, int64_t rows, bool optional) {
  if (optional && !v.present()) return nullptr;
  LF_CHECK(expect_dtype(ctx, kOp, name, v, dtype));
  return expect_shape(ctx, kOp, name, v, rows);
}

const char* check(Context& ctx, const uint32_t* params, const View* o, int) {
  const View &x = o[kX], &w = o[kW];
  LF_CHECK(expect_matrix(ctx, kOp, "x", x));
  LF_CHECK(expect_weight(ctx, kOp, "w", w, LF_LAYOUT_PACKED_FORWARD, true));
  if (w.shape[1] != x.shape[1])
    return ctx.fail(LF_INVALID, "%s: operand w has shape %s, but x has %s; their last dimensions must be equal", kOp,
                    shape_text(w).text, shape_text(x).text);
  const int64_t rows = x.shape[0], depth = x.shape[1], vocabulary = w.shape[0];
  LF_CHECK(expect_rows(ctx, "labels", o[kLabels], LF_I32, rows, false));
  LF_CHECK(expect_rows(ctx, "row_weight", o[kRowWeight], LF_F32, rows, true));
  LF_CHECK(expect_rows(ctx, "nll", o[kNll], LF_F32, rows, false));
  LF_CHECK(expect_rows(ctx, "entropy", o[kEntropy], LF_F32, rows, true));
  LF_CHECK(expect_rows(ctx, "lse", o[kLse], LF_F32, rows, true));
  LF_CHECK(expect_rows(ctx, "argmax", o[kArgmax], LF_I32, rows, true));
  LF_CHECK(expect_rows(ctx, "dbias", o[kDbias], LF_F32, vocabulary, true));
  if (o[kBias].present()) {
    LF_CHECK(expect_float(ctx, kOp, "bias", o[kBias]));
    LF_CHECK(expect_shape(ctx, kOp, "bias", o[kBias], vocabulary));
  }
  if (o[kDw].present()) {
    LF_CHECK(expect_dtype(ctx, kOp, "dw", o[kDw], LF_F32));
    LF_CHECK(expect_shape(ctx, kOp, "dw", o[kDw], vocabulary, depth));
  }
  if (o[kDx].present()) {
    LF_CHECK(expect_matrix(ctx, kOp, "dx", o[kDx], rows, depth));
    if (o[kWBackward].present()) {
      LF_CHECK(expect_weight(ctx, kOp, "w_backward", o[kWBackward], LF_LAYOUT_PACKED_BACKWARD, false));
      LF_CHECK(expect_shape(ctx, kOp, "w_backward", o[kWBackward], vocabulary, depth));
    } else if (w.layout != LF_LAYOUT_STRIDED) {
      return ctx.fail(LF_INVALID, "%s: dx needs operand w_backward (w packed backward) when w is packed forward", kOp);
    }
  }
  return expect_math(ctx, kOp, params[5]);
}

// Applies logit_scale and softcap in place and returns the largest logit.
float transform_logits(float* logits, int64_t n, const CrossEntropyOptions& options) {
  f32v largest = broadcast(-__builtin_inff());
  const bool plain = options.plain();
  for_lanes(n, [&](int64_t i, int64_t lanes) {
    f32v z = load_lanes(logits + i, lanes);
    if (!plain) {
      z = z * options.logit_scale;
      if (options.softcap > 0.0f) z = options.softcap * tanh(z / options.softcap);
      store_lanes(logits + i, z, lanes);
    }
    if (lanes < kLanes) z = select(lane_index() < int32_t(lanes), z, broadcast(-__builtin_inff()));
    largest = max(largest, z);
  });
  return max_lane(largest);
}

// Sum of exp(z - largest), and of exp(z - largest) * (z - largest) for the entropy.
float sum_of_exponentials(const float* logits, int64_t n, float largest, float* weighted) {
  f32v total = {}, moment = {};
  for_lanes(n, [&](int64_t i, int64_t lanes) {
    f32v shifted = load_lanes(logits + i, lanes) - largest, e = exp(shifted);
    if (lanes < kLanes) e = select(lane_index() < int32_t(lanes), e, f32v{});
    total += e;
    // 0 * -inf would be NaN.
    if (weighted) moment += select(e > f32v{}, e * shifted, f32v{});
  });
  if (weighted) *weighted = sum(moment);
  return sum(total);
}

RowStatistics softmax_statistics(float* logits, int64_t n, int32_t label, const CrossEntropyOptions& options, bool entropy,
                                 bool argmax) {
  RowStatistics row = {};
  const float largest = transform_logits(logits, n, options);
  float moment = 0.0f;
  const float total = sum_of_exponentials(logits, n, largest, entropy ? &moment : nullptr);
  row.lse = largest + __builtin_logf(total);
  row.nll = row.lse - logits[label];
  row.entropy = __builtin_logf(total) - moment / total;
  if (argmax) {
    int64_t i = 0;
    while (i + 1 < n && logits[i] != largest) i++;
    row.argmax = int32_t(i);
  }
  return row;
}

// Replaces logits by d(loss) / d(x w^T + bias), stored as T from the start of the row.
template <typename T>
void softmax_gradient(float* logits, int64_t n, int32_t label, float lse, float weight, const CrossEntropyOptions& options) {
  T* out = reinterpret_cast<T*>(logits);
  const float cap = options.softcap, scaled = weight * options.logit_scale;
  const float target = logits[label], uniform = options.smoothing / float(n);
  const float inverse_cap = cap > 0.0f ? 1.0f / cap : 0.0f;
  for_lanes(n, [&](int64_t i, int64_t lanes) {
    f32v z = load_lanes(logits + i, lanes), g = (exp(z - lse) - uniform) * scaled;
    if (cap > 0.0f) g *= 1.0f - (z * inverse_cap) * (z * inverse_cap);
    store_lanes(out + i, g, lanes);
  });
  float g = (__builtin_expf(target - lse) - uniform - (1.0f - options.smoothing)) * scaled;
  if (cap > 0.0f) g *= 1.0f - (target * inverse_cap) * (target * inverse_cap);
  out[label] = narrow<T>(g);
}

class Head {
 public:
  Head(Context& ctx, const LabelledRows& rows)
      : ctx_(ctx), o_(rows.o), labelled_(rows), options_(rows.options), rows_(rows.rows), depth_(rows.depth),
        vocabulary_(rows.vocabulary) {
    gradients_ = o_[kDx].present() || o_[kDw].present() || o_[kDbias].present();
    decodes_ = o_[kDx].present() && !o_[kWBackward].present() && is_block_format(o_[kW].dtype);
    // An odd number of cache lines apart, so that rows do not fall into the same sets of a cache.
    leading_ = (ceil_div(vocabulary_, 16) | 1) * 16;
  }

  const char* run(int64_t labelled) {
    const int64_t most = smaller(kChunkRows, larger(kFewestRows, kLogitBytes / (4 * leading_)));
    const int64_t chunks = ceil_div(labelled, most);
    chunk_rows_ = chunks ? ceil_div(labelled, chunks) : 0;
    const char* failure = allocate();
    if (failure) return failure;
    labelled_.list(index_);
    for (int64_t first = 0; first < labelled; first += chunk_rows_)
      LF_CHECK(run_chunk(index_ + first, smaller(chunk_rows_, labelled - first)));
    return nullptr;
  }

 private:
  Product logits_product(int64_t rows) const {
    Product p;
    p.m = rows, p.n = vocabulary_, p.k = depth_;
    p.a.data = reinterpret_cast<const uint8_t*>(x_), p.a.row_stride = depth_, p.a.k_stride = 1;
    p.b = columns_of(o_[kW]);
    const View& bias = o_[kBias];
    if (bias.present()) p.out.bias = bias.data, p.out.bias_dtype = bias.dtype, p.out.bias_stride = bias.stride[0];
    p.out.data = reinterpret_cast<uint8_t*>(logits_), p.out.row_stride = leading_, p.out.column_stride = 1;
    p.math = options_.math;
    return p;
  }
  lf_dtype gradient_dtype() const { return options_.math == LF_MATH_BF16 ? LF_BF16 : LF_F32; }
  int64_t gradient_stride() const { return options_.math == LF_MATH_BF16 ? 2 * leading_ : leading_; }

  // dx rows, from vocabulary entries [first, first + count); the gather of rows is undone by the index.
  Product input_product(int64_t rows, int64_t first, int64_t count) const {
    Product p;
    p.m = rows, p.n = depth_, p.k = count;
    p.a.dtype = gradient_dtype();
    p.a.data = reinterpret_cast<const uint8_t*>(logits_) + first * element_bytes(p.a.dtype);
    p.a.row_stride = gradient_stride(), p.a.k_stride = 1;
    if (decodes_) {
      p.b.data = reinterpret_cast<const uint8_t*>(decoded_), p.b.column_stride = 1, p.b.k_stride = depth_;
    } else {
      p.b = columns_of(o_[kWBackward].present() ? o_[kWBackward] : o_[kW], true);
    }
    p.out = output_of(o_[kDx]);
    p.math = options_.math;
    return p;
  }
  Product weight_product(int64_t rows) const {
    Product p;
    p.m = vocabulary_, p.n = depth_, p.k = rows;
    p.a.dtype = gradient_dtype(), p.a.data = reinterpret_cast<const uint8_t*>(logits_);
    p.a.row_stride = 1, p.a.k_stride = gradient_stride();
    p.b.data = reinterpret_cast<const uint8_t*>(x_), p.b.column_stride = 1, p.b.k_stride = depth_;
    p.out = output_of(o_[kDw]);
    p.out.beta = 1.0f;
    p.math = options_.math;
    return p;
  }

  const char* allocate() {
    size_t products = product_scratch(ctx_, logits_product(chunk_rows_));
    const int64_t decoded_rows = smaller(kDecodedRows, vocabulary_);
    if (o_[kDx].present())
      products = larger(products, product_scratch(ctx_, input_product(chunk_rows_, 0, decodes_ ? decoded_rows : vocabulary_)));
    if (o_[kDw].present()) products = larger(products, product_scratch(ctx_, weight_product(chunk_rows_)));
    const int64_t index_bytes = round_up(rows_ * 4, 64), x_bytes = round_up(chunk_rows_ * depth_ * 4, 64);
    const int64_t logit_bytes = chunk_rows_ * leading_ * 4;
    const int64_t decoded_bytes = decodes_ ? round_up(decoded_rows * depth_ * 4, 64) + x_bytes : 0;
    const size_t bytes = index_bytes + x_bytes + logit_bytes + decoded_bytes + products;
    uint8_t* memory = static_cast<uint8_t*>(ctx_.shared(bytes));
    if (!memory) return out_of_scratch(ctx_, kOp, bytes);
    index_ = reinterpret_cast<int32_t*>(memory);
    x_ = reinterpret_cast<float*>(memory += index_bytes);
    logits_ = reinterpret_cast<float*>(memory += x_bytes);
    input_sums_ = reinterpret_cast<float*>(memory += logit_bytes);
    decoded_ = decodes_ ? input_sums_ + x_bytes / 4 : nullptr;
    product_memory_ = memory + decoded_bytes;
    return nullptr;
  }

  const char* run_chunk(const int32_t* index, int64_t rows) {
    const View& x = o_[kX];
    for (int64_t i = 0; i < rows; i++)
      with_float(x.dtype, [&](auto type) {
        widen_row(x.as<const decltype(type)>() + index[i] * x.stride[0], depth_, x.stride[1], x_ + i * depth_);
      });
    LF_CHECK(multiply(ctx_, kOp, logits_product(rows), product_memory_));
    ctx_.for_each(rows, [&](int64_t i, int) { softmax_row(i, index[i]); });
    if (o_[kDbias].present()) add_bias_gradient(rows);
    if (o_[kDx].present()) LF_CHECK(input_gradient(index, rows));
    if (o_[kDw].present()) LF_CHECK(multiply(ctx_, kOp, weight_product(rows), product_memory_));
    return nullptr;
  }

  void softmax_row(int64_t i, int64_t t) {
    float* logits = logits_ + i * leading_;
    const RowStatistics row = softmax_statistics(logits, vocabulary_, labelled_.label(t), options_, o_[kEntropy].present(),
                                                 o_[kArgmax].present());
    labelled_.write(t, row);
    if (!gradients_) return;
    const float weight = labelled_.weight(t);
    if (options_.math == LF_MATH_BF16)
      softmax_gradient<bf16>(logits, vocabulary_, labelled_.label(t), row.lse, weight, options_);
    else
      softmax_gradient<float>(logits, vocabulary_, labelled_.label(t), row.lse, weight, options_);
  }

  void add_bias_gradient(int64_t rows) {
    constexpr int64_t kColumns = 256;
    const View& dbias = o_[kDbias];
    ctx_.for_each(ceil_div(vocabulary_, kColumns), [&](int64_t task, int) {
      const int64_t first = task * kColumns, count = smaller(kColumns, vocabulary_ - first);
      float sums[kColumns] = {};
      with_float(gradient_dtype(), [&](auto type) {
        for (int64_t r = 0; r < rows; r++) {
          auto* row = reinterpret_cast<const decltype(type)*>(logits_) + r * gradient_stride() + first;
          for_lanes(count, [&](int64_t c, int64_t lanes) { store(sums + c, load(sums + c) + load_lanes(row + c, lanes)); });
        }
      });
      for (int64_t c = 0; c < count; c++) dbias.as<float>()[(first + c) * dbias.stride[0]] += sums[c];
    });
  }

  const char* input_gradient(const int32_t* index, int64_t rows) {
    if (!decodes_) {
      Product p = input_product(rows, 0, vocabulary_);
      p.out.index = index;
      return multiply(ctx_, kOp, p, product_memory_);
    }
    // A block format has no panels along N: decode some of its rows at a time and add up.
    const View &w = o_[kW], &dx = o_[kDx];
    const int64_t row_bytes = depth_ / block_elements(w.dtype) * block_bytes(w.dtype);
    for (int64_t first = 0; first < vocabulary_; first += kDecodedRows) {
      const int64_t count = smaller(kDecodedRows, vocabulary_ - first);
      ctx_.for_each(count, [&](int64_t r, int) {
        dequantize_row(w.dtype, w.data + (first + r) * row_bytes, depth_, decoded_ + r * depth_);
      });
      Product p = input_product(rows, first, count);
      p.out = Output();
      p.out.data = reinterpret_cast<uint8_t*>(input_sums_), p.out.row_stride = depth_, p.out.column_stride = 1;
      p.out.beta = first ? 1.0f : 0.0f;
      LF_CHECK(multiply(ctx_, kOp, p, product_memory_));
    }
    for (int64_t i = 0; i < rows; i++) write_row(dx, index[i] * dx.stride[0], depth_, dx.stride[1], input_sums_ + i * depth_);
    return nullptr;
  }

  Context& ctx_;
  const View* o_;
  const LabelledRows& labelled_;
  const CrossEntropyOptions& options_;
  const int64_t rows_, depth_, vocabulary_;
  int64_t leading_, chunk_rows_ = 0;
  bool gradients_, decodes_;
  int32_t* index_ = nullptr;
  float *x_ = nullptr, *logits_ = nullptr, *input_sums_ = nullptr, *decoded_ = nullptr;
  void* product_memory_ = nullptr;
};

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  const LabelledRows rows(CrossEntropyOptions(params), o);
  int64_t labelled;
  LF_CHECK(rows.count(ctx, kOp, &labelled));
  if (streams_cross_entropy(rows)) return stream_cross_entropy(ctx, kOp, rows, labelled);
  return Head(ctx, rows).run(labelled);
}

}  // namespace

void register_cross_entropy(KernelTable& table) { table.entry[LF_OP_CROSS_ENTROPY] = {run, check}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
