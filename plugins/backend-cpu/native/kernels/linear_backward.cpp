// LINEAR_BACKWARD_INPUT and LINEAR_BACKWARD_WEIGHT.
#include "linear_operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// ------------------------------------------------------------------------------------------------------------ input --

constexpr const char* kInput = "LINEAR_BACKWARD_INPUT";

enum InputOperand { kDy, kW, kDx, kLoraA, kLoraB, kLoraDxa, kLoraDx };

const char* check_input(Context& ctx, const uint32_t* params, const View* o, int) {
  const View &dy = o[kDy], &w = o[kW], &lora_a = o[kLoraA], &lora_b = o[kLoraB];
  LF_CHECK(expect_matrix(ctx, kInput, "dy", dy));
  LF_CHECK(expect_weight(ctx, kInput, "w", w, LF_LAYOUT_PACKED_BACKWARD, false));
  if (w.shape[0] != dy.shape[1])
    return ctx.fail(LF_INVALID, "%s: operand w has shape %s, but dy has %s; w must have a row for each column of dy",
                    kInput, shape_text(w).text, shape_text(dy).text);
  const int64_t m = dy.shape[0], n = w.shape[0], k = w.shape[1];
  LF_CHECK(expect_matrix(ctx, kInput, "dx", o[kDx], m, k));
  LF_CHECK(expect_math(ctx, kInput, params[2]));
  if (!lora_a.present() && !lora_b.present()) {
    if (o[kLoraDxa].present() || o[kLoraDx].present())
      return ctx.fail(LF_INVALID, "%s: operand %s is given without lora_a and lora_b", kInput,
                      o[kLoraDxa].present() ? "lora_dxa" : "lora_dx");
    return nullptr;
  }
  LF_CHECK(expect_matrix(ctx, kInput, "lora_a", lora_a));
  LF_CHECK(expect_matrix(ctx, kInput, "lora_a", lora_a, lora_a.shape[0], k));
  LF_CHECK(expect_matrix(ctx, kInput, "lora_b", lora_b, n, lora_a.shape[0]));
  if (o[kLoraDxa].present()) LF_CHECK(expect_matrix(ctx, kInput, "lora_dxa", o[kLoraDxa], m, lora_a.shape[0]));
  if (o[kLoraDx].present()) LF_CHECK(expect_matrix(ctx, kInput, "lora_dx", o[kLoraDx], m, k));
  return nullptr;
}

const char* run_input(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_input(ctx, params, o, count));
  const View &dy = o[kDy], &w = o[kW], &lora_a = o[kLoraA];
  const lf_math math = lf_math(params[2]);
  Product p;
  p.m = dy.shape[0], p.n = w.shape[1], p.k = w.shape[0];
  p.a = rows_of(dy);
  p.b = columns_of(w, true);
  p.out = output_of(o[kDx]);
  p.out.beta = param_f32(params, 1);
  p.math = math;
  if (!lora_a.present()) {
    const size_t bytes = product_scratch(ctx, p);
    void* scratch = ctx.shared(bytes);
    if (!scratch) return out_of_scratch(ctx, kInput, bytes);
    return multiply(ctx, kInput, p, scratch);
  }

  // lora_dxa = lora_scale * dy lora_b, then its product with lora_a: into the sums of dx, or by itself into lora_dx.
  const int64_t rank = lora_a.shape[0];
  const float scale = param_f32(params, 0);
  Product up;
  up.m = p.m, up.n = rank, up.k = p.k;
  up.a = p.a;
  up.b = columns_of(o[kLoraB], true);
  if (o[kLoraDxa].present()) up.out = output_of(o[kLoraDxa]);
  up.out.alpha = up.out.copy_scale = scale;
  up.math = math;
  const bool separate = o[kLoraDx].present();
  Product down;
  down.m = p.m, down.n = p.n;
  if (separate) down.out = output_of(o[kLoraDx]);
  down.math = math;
  Product& update = separate ? down : p;
  update.k2 = rank;
  update.b2 = columns_of(lora_a, true);

  const int64_t dxa_bytes = round_up(p.m * rank * 4, 64);
  size_t bytes = separate ? larger(product_scratch(ctx, p), product_scratch(ctx, up)) : product_scratch(ctx, p, &up);
  if (separate) bytes = larger(bytes, product_scratch(ctx, down));
  bytes += dxa_bytes;
  uint8_t* memory = static_cast<uint8_t*>(ctx.shared(bytes));
  if (!memory) return out_of_scratch(ctx, kInput, bytes);
  up.out.copy = reinterpret_cast<float*>(memory);
  update.a2 = up.out.copy;
  if (!separate) return multiply(ctx, kInput, p, memory + dxa_bytes, &up);
  LF_CHECK(multiply(ctx, kInput, up, memory + dxa_bytes));
  LF_CHECK(multiply(ctx, kInput, p, memory + dxa_bytes));
  return multiply(ctx, kInput, down, memory + dxa_bytes);
}

// ----------------------------------------------------------------------------------------------------------- weight --

constexpr const char* kWeight = "LINEAR_BACKWARD_WEIGHT";

enum WeightOperand { kWX, kWDy, kDw, kDbias };

const char* check_weight(Context& ctx, const uint32_t* params, const View* o, int) {
  const View &x = o[kWX], &dy = o[kWDy], &dw = o[kDw], &dbias = o[kDbias];
  LF_CHECK(expect_matrix(ctx, kWeight, "dy", dy));
  if (!dw.present() && !dbias.present()) return ctx.fail(LF_INVALID, "%s: both dw and dbias are absent", kWeight);
  if (dw.present()) {
    LF_CHECK(expect_matrix(ctx, kWeight, "x", x));
    if (x.shape[0] != dy.shape[0])
      return ctx.fail(LF_INVALID, "%s: operand x has shape %s, but dy has %s; they must have as many rows", kWeight,
                      shape_text(x).text, shape_text(dy).text);
    LF_CHECK(expect_dtype(ctx, kWeight, "dw", dw, LF_F32));
    LF_CHECK(expect_shape(ctx, kWeight, "dw", dw, dy.shape[1], x.shape[1]));
  }
  if (dbias.present()) {
    LF_CHECK(expect_dtype(ctx, kWeight, "dbias", dbias, LF_F32));
    LF_CHECK(expect_shape(ctx, kWeight, "dbias", dbias, dy.shape[1]));
  }
  return expect_math(ctx, kWeight, params[2]);
}

// dbias = alpha * column sums of dy + beta * dbias, each sum over ascending rows.
void sum_columns(Context& ctx, const View& dy, const View& dbias, float alpha, float beta) {
  constexpr int64_t kColumns = 64;
  const int64_t m = dy.shape[0], n = dy.shape[1];
  ctx.for_each(ceil_div(n, kColumns), [&](int64_t task, int) {
    const int64_t first = task * kColumns, count = smaller(kColumns, n - first);
    float sums[kColumns] = {}, row[kColumns] = {};
    for (int64_t i = 0; i < m; i++) {
      const float* p = read_row(dy, i * dy.stride[0] + first * dy.stride[1], count, dy.stride[1], row);
      for_lanes(count, [&](int64_t c, int64_t lanes) { store(sums + c, load(sums + c) + load_lanes(p + c, lanes)); });
    }
    for (int64_t c = 0; c < count; c++) {
      float& out = dbias.as<float>()[(first + c) * dbias.stride[0]];
      out = alpha * sums[c] + (beta != 0.0f ? beta * out : 0.0f);
    }
  });
}

// Rows whose products are summed before they are added to dw: what a tile's rows of dy, laid out, leave in the L2 cache.
constexpr int64_t kSumRows = 2048;
constexpr int64_t kThin = 128;

const char* run_weight(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_weight(ctx, params, o, count));
  const View &dy = o[kWDy], &dw = o[kDw];
  const float alpha = param_f32(params, 0), beta = param_f32(params, 1);
  if (o[kDbias].present()) sum_columns(ctx, dy, o[kDbias], alpha, beta);
  return dw.present() ? weight_gradient(ctx, kWeight, o[kWX], dy, dw, alpha, beta, lf_math(params[2])) : nullptr;
}

}  // namespace

const char* weight_gradient(Context& ctx, const char* op, const View& x, const View& dy, const View& dw, float alpha,
                            float beta, lf_math math) {
  // A tall, thin dw (of LoRA) is formed as its transpose, which reads dy as it lies.
  const bool swap = dw.shape[1] <= kThin && dw.shape[1] < dw.shape[0];
  const View &narrow = swap ? x : dy, &wide = swap ? dy : x;
  const int64_t rows = dy.shape[0];
  Product p;
  p.m = narrow.shape[1], p.n = wide.shape[1], p.k = smaller(rows, kSumRows);
  p.a = rows_of(narrow, true);
  p.b = columns_of(wide, true);
  p.out = output_of(dw);
  if (swap) p.out.row_stride = dw.stride[1], p.out.column_stride = dw.stride[0];
  p.out.alpha = alpha, p.out.beta = beta;
  p.math = math;
  const size_t bytes = product_scratch(ctx, p);
  void* scratch = ctx.shared(bytes);
  if (!scratch) return out_of_scratch(ctx, op, bytes);
  LF_CHECK(multiply(ctx, op, p, scratch));
  p.out.beta = 1.0f;
  for (int64_t first = kSumRows; first < rows; first += kSumRows) {
    p.k = smaller(kSumRows, rows - first);
    p.a.data = narrow.data + first * narrow.stride[0] * element_bytes(narrow.dtype);
    p.b.data = wide.data + first * wide.stride[0] * element_bytes(wide.dtype);
    LF_CHECK(multiply(ctx, op, p, scratch));
  }
  return nullptr;
}

void register_linear_backward(KernelTable& table) {
  table.entry[LF_OP_LINEAR_BACKWARD_INPUT] = {run_input, check_input};
  table.entry[LF_OP_LINEAR_BACKWARD_WEIGHT] = {run_weight, check_weight};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
