// LINEAR: y = activation(x w^T + bias + lora_scale * (lora_x lora_a^T) lora_b^T) + beta * y.
//
// The low-rank part is two products: lora_x lora_a^T, which is thin and, where it reads x too, formed of the rows that were
// laid out for x w^T; and its product with lora_b, which continues the sums of x w^T tile by tile. With several adapters
// rows are visited in the order of their adapter, so that each of these products runs over whole runs of rows while w is
// read once.
#include "activation.h"
#include "linear_operands.h"
#include "packed_product.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr const char* kOp = "LINEAR";

enum Operand { kX, kW, kBias, kY, kLoraX, kLoraA, kLoraB, kLoraXa, kAdapter };

const char* check_lora(Context& ctx, const View* o) {
  const View &x = o[kX], &a = o[kLoraA], &b = o[kLoraB];
  const int64_t m = x.shape[0], k = x.shape[1], n = o[kW].shape[0];
  if (!a.present() && !b.present()) {
    const char* stray = o[kLoraX].present()     ? "lora_x"
                        : o[kLoraXa].present()  ? "lora_xa"
                        : o[kAdapter].present() ? "adapter"
                                                : nullptr;
    return stray ? ctx.fail(LF_INVALID, "%s: operand %s is given without lora_a and lora_b", kOp, stray) : nullptr;
  }
  LF_CHECK(expect_float(ctx, kOp, "lora_a", a));
  LF_CHECK(expect_float(ctx, kOp, "lora_b", b));
  int64_t rank;
  if (o[kAdapter].present()) {
    LF_CHECK(expect_dtype(ctx, kOp, "adapter", o[kAdapter], LF_I32));
    LF_CHECK(expect_shape(ctx, kOp, "adapter", o[kAdapter], m));
    LF_CHECK(expect_rank(ctx, kOp, "lora_a", a, 3));
    rank = a.shape[1];
    LF_CHECK(expect_shape(ctx, kOp, "lora_a", a, a.shape[0], rank, k));
    LF_CHECK(expect_shape(ctx, kOp, "lora_b", b, a.shape[0], n, rank));
  } else {
    LF_CHECK(expect_rank(ctx, kOp, "lora_a", a, 2));
    rank = a.shape[0];
    LF_CHECK(expect_shape(ctx, kOp, "lora_a", a, rank, k));
    LF_CHECK(expect_shape(ctx, kOp, "lora_b", b, n, rank));
  }
  if (o[kLoraX].present()) LF_CHECK(expect_matrix(ctx, kOp, "lora_x", o[kLoraX], m, k));
  if (o[kLoraXa].present()) LF_CHECK(expect_matrix(ctx, kOp, "lora_xa", o[kLoraXa], m, rank));
  return nullptr;
}

const char* check(Context& ctx, const uint32_t* params, const View* o, int) {
  const View &x = o[kX], &w = o[kW];
  LF_CHECK(expect_matrix(ctx, kOp, "x", x));
  LF_CHECK(expect_weight(ctx, kOp, "w", w, LF_LAYOUT_PACKED_FORWARD, true));
  if (w.shape[1] != x.shape[1])
    return ctx.fail(LF_INVALID, "%s: operand w has shape %s, but x has %s; their last dimensions must be equal", kOp,
                    shape_text(w).text, shape_text(x).text);
  LF_CHECK(expect_matrix(ctx, kOp, "y", o[kY], x.shape[0], w.shape[0]));
  if (o[kBias].present()) {
    LF_CHECK(expect_float(ctx, kOp, "bias", o[kBias]));
    LF_CHECK(expect_shape(ctx, kOp, "bias", o[kBias], w.shape[0]));
  }
  if (params[2] == LF_MATH_INT8) {
    if (w.layout == LF_LAYOUT_STRIDED || !is_block_format(w.dtype))
      return ctx.fail(LF_INVALID, "%s: 8-bit math needs operand w packed in a quantised precision; it is %s %s", kOp,
                      layout_name(w.layout), dtype_name(w.dtype));
  } else {
    LF_CHECK(expect_math(ctx, kOp, params[2]));
  }
  if (params[3] > LF_ABS) return ctx.fail(LF_UNSUPPORTED, "%s: there is no activation %u", kOp, params[3]);
  return check_lora(ctx, o);
}

// The view of one adapter's matrix, of which there is one or, along the first dimension, several.
Columns adapter_columns(const View& v) {
  Columns c;
  const int d = v.rank - 2;
  c.data = v.data, c.dtype = v.dtype;
  c.column_stride = v.stride[d], c.k_stride = v.stride[d + 1];
  if (d == 1) c.group_bytes = v.stride[0] * element_bytes(v.dtype);
  return c;
}

// Sorts the rows by adapter, keeping their order within each; `runs` has room for `adapters` + 1.
const char* sort_rows(Context& ctx, const View& adapter, int64_t adapters, int32_t* index, RowRun* runs,
                      int64_t& run_count) {
  const int64_t m = adapter.shape[0], stride = adapter.stride[0];
  const int32_t* ids = adapter.as<const int32_t>();
  for (int64_t a = 0; a <= adapters; a++) runs[a] = {0, 0, int32_t(a - 1)};
  for (int64_t i = 0; i < m; i++) {
    const int32_t id = ids[i * stride];
    if (id < -1 || id >= adapters)
      return ctx.fail(LF_INVALID, "%s: adapter[%lld] is %d, but lora_a holds %lld adapters", kOp, (long long)i, id,
                      (long long)adapters);
    runs[id + 1].count++;
  }
  for (int64_t a = 1; a <= adapters; a++) runs[a].first = runs[a - 1].first + runs[a - 1].count;
  for (int64_t a = 0; a <= adapters; a++) runs[a].count = 0;
  for (int64_t i = 0; i < m; i++) {
    RowRun& run = runs[ids[i * stride] + 1];
    index[run.first + run.count++] = int32_t(i);
  }
  run_count = 0;
  for (int64_t a = 0; a <= adapters; a++)
    if (runs[a].count) runs[run_count++] = runs[a];
  return nullptr;
}

// y and what it is the product of, without the low-rank part.
Product product_of(const uint32_t* params, const View* o) {
  const View &x = o[kX], &w = o[kW], &bias = o[kBias];
  Product p;
  p.m = x.shape[0], p.n = w.shape[0], p.k = x.shape[1];
  p.a = rows_of(x);
  p.b = columns_of(w);
  p.out = output_of(o[kY]);
  p.out.beta = param_f32(params, 1);
  p.out.activation = params[3];
  p.math = params[2] == LF_MATH_INT8 ? LF_MATH_BF16 : lf_math(params[2]);
  if (bias.present()) p.out.bias = bias.data, p.out.bias_dtype = bias.dtype, p.out.bias_stride = bias.stride[0];
  return p;
}

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  const View &x = o[kX], &lora_a = o[kLoraA], &adapter = o[kAdapter];
  Product p = product_of(params, o);
  const bool int8 = params[2] == LF_MATH_INT8;
  if (!lora_a.present()) {
    const size_t bytes = int8 ? packed_product_scratch(ctx, p) : product_scratch(ctx, p);
    void* scratch = ctx.shared(bytes);
    if (!scratch) return out_of_scratch(ctx, kOp, bytes);
    return int8 ? multiply_packed(ctx, kOp, &p, 1, scratch) : multiply(ctx, kOp, p, scratch);
  }

  const int64_t rank = lora_a.shape[lora_a.rank - 2], adapters = adapter.present() ? lora_a.shape[0] : 0;
  Product down;
  down.m = p.m, down.n = rank, down.k = p.k;
  down.a = rows_of(o[kLoraX].present() ? o[kLoraX] : x);
  down.b = adapter_columns(lora_a);
  if (o[kLoraXa].present()) down.out = output_of(o[kLoraXa]);
  down.out.copy_scale = param_f32(params, 0);
  down.math = p.math;
  p.k2 = rank;
  p.b2 = adapter_columns(o[kLoraB]);

  // Scratch: x lora_a^T | rows by adapter | runs | x w^T in 8-bit math | what the products need. With runs, the thin product needs most when
  // every row is a run of its own.
  const int64_t xa_bytes = round_up(p.m * rank * 4, 64), index_bytes = adapters ? round_up(p.m * 4, 64) : 0;
  const int64_t runs_bytes = adapters ? round_up((adapters + 1) * int64_t(sizeof(RowRun)), 64) : 0;
  const int64_t base_bytes = int8 ? round_up(p.m * p.n * 4, 64) : 0;
  const int64_t own_bytes = xa_bytes + index_bytes + runs_bytes + base_bytes;
  // In 8 bits x w^T is formed first, and the update continues from there.
  Product base = p;
  base.k2 = 0;
  const bool together = !int8 && !adapters && !o[kLoraX].present();
  size_t needed = together ? product_scratch(ctx, p, &down)
                           : larger(product_scratch(ctx, p), product_scratch(ctx, down) + (adapters ? p.m * 64 : 0));
  if (int8) needed = larger(needed, packed_product_scratch(ctx, base));
  const size_t bytes = own_bytes + needed;
  uint8_t* memory = static_cast<uint8_t*>(ctx.shared(bytes));
  if (!memory) return out_of_scratch(ctx, kOp, bytes);
  down.out.copy = reinterpret_cast<float*>(memory);
  p.a2 = down.out.copy;
  if (adapters) {
    int32_t* index = reinterpret_cast<int32_t*>(memory + xa_bytes);
    RowRun* runs = reinterpret_cast<RowRun*>(memory + xa_bytes + index_bytes);
    int64_t run_count = 0;
    LF_CHECK(sort_rows(ctx, adapter, adapters, index, runs, run_count));
    p.runs = down.runs = runs;
    p.run_count = down.run_count = run_count;
    p.a.index = p.out.index = down.a.index = down.out.index = index;
    down.runs_select_b = true;
  }
  if (together) return multiply(ctx, kOp, p, memory + own_bytes, &down);
  LF_CHECK(multiply(ctx, kOp, down, memory + own_bytes));
  if (int8) {
    float* sums = reinterpret_cast<float*>(memory + own_bytes - base_bytes);
    base.a = rows_of(x);
    base.out = Output();
    base.out.copy = sums;
    base.a.index = p.a.index;
    LF_CHECK(multiply_packed(ctx, kOp, &base, 1, memory + own_bytes));
    p.start = sums, p.k = 0;
  }
  return multiply(ctx, kOp, p, memory + own_bytes);
}

// Whether y lies apart from all that another command reads or writes.
bool apart(const View& y, const JointCommand& other) {
  const auto end_of = [](const View& v) -> const uint8_t* {
    if (v.layout != LF_LAYOUT_STRIDED)
      return v.data + packed_bytes(v.dtype, v.shape[0], v.shape[1], v.group);
    int64_t last = 0;
    for (int i = 0; i < v.rank; i++) last += (v.shape[i] - 1) * v.stride[i];
    return v.data + (last + 1) * element_bytes(v.dtype);
  };
  const uint8_t* end = end_of(y);
  for (int i = 0; i < other.count; i++) {
    const View& v = other.operands[i];
    if (v.present() && v.data < end && y.data < end_of(v)) return false;
  }
  return true;
}

// Products of the same activations, rounded to 8 bits, with weights in one format.
bool joins(Context& ctx, const JointCommand& first, const JointCommand& next) {
  const View *a = first.operands, *b = next.operands;
  const JointCommand* both[] = {&first, &next};
  for (const JointCommand* each : both)
    if (each->params[2] != LF_MATH_INT8 || each->operands[kLoraA].present() ||
        check(ctx, each->params, each->operands, each->count))
      return false;
  for (int d = 0; d < 2; d++)
    if (a[kX].shape[d] != b[kX].shape[d] || a[kX].stride[d] != b[kX].stride[d]) return false;
  return a[kX].data == b[kX].data && a[kX].dtype == b[kX].dtype && a[kW].dtype == b[kW].dtype &&
         a[kW].group == b[kW].group && apart(a[kY], next) && apart(b[kY], first);
}

const char* run_joint(Context& ctx, const JointCommand* commands, int count) {
  Product products[kMaxJoint];
  for (int i = 0; i < count; i++) products[i] = product_of(commands[i].params, commands[i].operands);
  const size_t bytes = packed_product_scratch(ctx, products[0]);
  void* scratch = ctx.shared(bytes);
  if (!scratch) return out_of_scratch(ctx, kOp, bytes);
  return multiply_packed(ctx, kOp, products, count, scratch);
}

}  // namespace

void register_linear(KernelTable& table) { table.entry[LF_OP_LINEAR] = {run, check, joins, run_joint}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
