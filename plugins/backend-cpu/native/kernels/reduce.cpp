// REDUCE and SOFTMAX.
#include "strided.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// Elements whose sum is formed in f32 lanes before it joins a sum in double precision.
constexpr int64_t kSumRun = 1024;

// Lanes that hold the partial result of one run of at most kSumRun elements; all orders of addition are fixed.
template <uint32_t kind>
LF_INLINE double reduce_run(const float* x, int64_t n) {
  constexpr bool maximum = kind == LF_MAXIMUM || kind == LF_ABS_MAX;
  const f32v start = broadcast(kind == LF_MAXIMUM ? -__builtin_inff() : 0.0f);
  f32v acc[4] = {start, start, start, start};
  auto add = [&](f32v& a, f32v v) {
    if constexpr (kind == LF_SUM) a = a + v;
    else if constexpr (kind == LF_SUM_SQUARES) a = fma(v, v, a);
    else if constexpr (kind == LF_COUNT_NONFINITE)
      a = a + select(abs(v) < broadcast(__builtin_inff()), broadcast(0.0f), broadcast(1.0f));
    // A NaN stays: the comparison with it is false.
    else if constexpr (kind == LF_MAXIMUM) a = select(v <= a, a, select(a == a, v, a));
    else a = select(abs(v) <= a, a, select(a == a, abs(v), a));
  };
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int u = 0; u < 4; u++) add(acc[u], load(x + i + u * kLanes));
  for (; i + kLanes <= n; i += kLanes) add(acc[0], load(x + i));
  float lanes[kLanes];
  if (i < n) {
    f32v tail = load_n(x + i, n - i);
    if (kind == LF_MAXIMUM) tail = select(lane_index() < broadcast_i32(int32_t(n - i)), tail, start);
    add(acc[1], tail);
  }
  if constexpr (maximum) {
    for (int u = 1; u < 4; u++) acc[0] = select(acc[u] <= acc[0], acc[0], select(acc[0] == acc[0], acc[u], acc[0]));
    store(lanes, acc[0]);
    float best = lanes[0];
    for (int l = 1; l < kLanes; l++) best = best != best || lanes[l] <= best ? best : lanes[l];
    return best;
  } else {
    return sum((acc[0] + acc[1]) + (acc[2] + acc[3]));
  }
}

LF_INLINE double join(uint32_t kind, double a, double b) {
  if (kind == LF_MAXIMUM || kind == LF_ABS_MAX) return a != a || b <= a ? a : b;
  return a + b;
}

const char* check_reduce(Context& ctx, const uint32_t* params, const View* operands, int) {
  const View &x = operands[0], &out = operands[1];
  if (params[0] > LF_COUNT_NONFINITE) return ctx.fail(LF_INVALID, "REDUCE: unknown kind %u", params[0]);
  LF_CHECK(expect_float(ctx, "REDUCE", "x", x));
  LF_CHECK(expect_dtype(ctx, "REDUCE", "out", out, LF_F32));
  if (element_count(out) == 1) return nullptr;
  bool rows = out.rank == x.rank - 1;
  for (int d = 0; rows && d < out.rank; d++) rows = out.shape[d] == x.shape[d];
  if (rows) return nullptr;
  return ctx.fail(LF_INVALID, "REDUCE: operand out has shape %s, expected one element or x %s without its last dimension",
                  shape_text(out).text, shape_text(x).text);
}

void store_result(const View& out, int64_t offset, uint32_t kind, double value, bool accumulate) {
  float* p = out.as<float>() + offset;
  if (accumulate) value = join(kind, *p, value);
  *p = float(value);
}

template <uint32_t kind>
void reduce_of_kind(Context& ctx, const View& x, const View& out, bool mean, bool accumulate, double* partials) {
  const uint32_t joined = kind;
  const double empty = kind == LF_MAXIMUM ? -__builtin_inf() : 0.0;
  if (partials) {
    // Over everything: one partial result per run, then all of them in order.
    const View* views[] = {&x};
    const StridedLoop loop = strided_loop(views, 1);
    const int64_t inner = loop.shape[loop.rank - 1], stride = loop.stride[0][loop.rank - 1];
    const int64_t runs_a_row = ceil_div(inner, kPiece);
    for_each_run(ctx, loop, [&](const int64_t* offsets, int64_t index, int64_t n, int) {
      float scratch[kPiece];
      const int64_t run = index / inner * runs_a_row + index % inner / kPiece;
      partials[run] = reduce_run<kind>(read_row(x, offsets[0], n, stride, scratch), n);
    });
    const int64_t count = element_count(x), runs = inner ? count / inner * runs_a_row : 0;
    double value = empty;
    for (int64_t i = 0; i < runs; i++) value = join(joined, value, partials[i]);
    store_result(out, 0, joined, mean ? value / count : value, accumulate);
    return;
  }
  const int64_t n = row_length(x), stride = row_stride(x), count = row_count(x);
  const int64_t rows_a_task = larger<int64_t>(1, kTaskElements / larger<int64_t>(1, n));
  ctx.for_each(ceil_div(count, rows_a_task), [&](int64_t task, int) {
    float scratch[kSumRun];
    for (int64_t r = task * rows_a_task; r < smaller(count, (task + 1) * rows_a_task); r++) {
      double value = empty;
      for (int64_t i = 0; i < n; i += kSumRun) {
        const int64_t m = smaller(kSumRun, n - i);
        value = join(joined, value, reduce_run<kind>(read_row(x, row_offset(x, r) + i * stride, m, stride, scratch), m));
      }
      int64_t offset = 0, rest = r;
      for (int d = out.rank - 1; d >= 0; d--) {
        offset += rest % out.shape[d] * out.stride[d];
        rest /= out.shape[d];
      }
      store_result(out, offset, joined, mean ? value / n : value, accumulate);
    }
  });
}

const char* reduce(Context& ctx, const uint32_t* params, const View* operands, int count) {
  LF_CHECK(check_reduce(ctx, params, operands, count));
  const View &x = operands[0], &out = operands[1];
  const bool accumulate = params[1] != 0;
  double* partials = nullptr;
  if (element_count(out) == 1) {
    const View* views[] = {&x};
    const StridedLoop loop = strided_loop(views, 1);
    int64_t runs = ceil_div(loop.shape[loop.rank - 1], kPiece);
    for (int d = 0; d + 1 < loop.rank; d++) runs *= loop.shape[d];
    const size_t bytes = larger<int64_t>(1, runs) * sizeof(double);
    partials = static_cast<double*>(ctx.shared(bytes));
    if (!partials) return out_of_scratch(ctx, "REDUCE", bytes);
  }
  switch (params[0]) {
    case LF_SUM: reduce_of_kind<LF_SUM>(ctx, x, out, false, accumulate, partials); break;
    case LF_MEAN: reduce_of_kind<LF_SUM>(ctx, x, out, true, accumulate, partials); break;
    case LF_MAXIMUM: reduce_of_kind<LF_MAXIMUM>(ctx, x, out, false, accumulate, partials); break;
    case LF_SUM_SQUARES: reduce_of_kind<LF_SUM_SQUARES>(ctx, x, out, false, accumulate, partials); break;
    case LF_ABS_MAX: reduce_of_kind<LF_ABS_MAX>(ctx, x, out, false, accumulate, partials); break;
    default: reduce_of_kind<LF_COUNT_NONFINITE>(ctx, x, out, false, accumulate, partials);
  }
  return nullptr;
}

// ---------------------------------------------------------------------------------------------------------- SOFTMAX --

const char* check_softmax(Context& ctx, const uint32_t*, const View* operands, int) {
  const View &x = operands[0], &out = operands[1];
  LF_CHECK(expect_float(ctx, "SOFTMAX", "x", x));
  LF_CHECK(expect_float(ctx, "SOFTMAX", "out", out));
  LF_CHECK(expect_rank(ctx, "SOFTMAX", "x", x, 2));
  return expect_same_shape(ctx, "SOFTMAX", "out", out, "x", x);
}

const char* softmax(Context& ctx, const uint32_t* params, const View* operands, int count) {
  LF_CHECK(check_softmax(ctx, params, operands, count));
  const View &x = operands[0], &out = operands[1];
  const int64_t n = x.shape[1];
  const size_t bytes = round_up(larger<int64_t>(1, n), 16) * 4;
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, 2 * bytes)) return out_of_scratch(ctx, "SOFTMAX", 2 * bytes);
  ctx.for_each(x.shape[0], [&](int64_t r, int worker) {
    uint8_t* scratch = static_cast<uint8_t*>(ctx.local(worker, 2 * bytes));
    const float* px = read_row(x, row_offset(x, r), n, x.stride[1], reinterpret_cast<float*>(scratch));
    float* po = row_target(out, row_offset(out, r), out.stride[1], reinterpret_cast<float*>(scratch + bytes));
    f32v top = broadcast(-__builtin_inff());
    for_lanes(n, [&](int64_t i, int64_t lanes) {
      f32v v = load_lanes(px + i, lanes);
      if (lanes < kLanes) v = select(lane_index() < broadcast_i32(int32_t(lanes)), v, top);
      top = max(top, v);
    });
    const float largest = max_lane(top);
    const f32v shift = broadcast(largest > -__builtin_inff() ? largest : 0.0f);
    double total = 0.0;
    f32v partial = broadcast(0.0f);
    for_lanes(n, [&](int64_t i, int64_t lanes) {
      f32v e = exp(load_lanes(px + i, lanes) - shift);
      store_lanes(po + i, e, lanes);
      if (lanes < kLanes) e = select(lane_index() < broadcast_i32(int32_t(lanes)), e, broadcast(0.0f));
      partial = partial + e;
      if ((i & (kSumRun - 1)) == 0) {
        total += sum(partial);
        partial = broadcast(0.0f);
      }
    });
    total += sum(partial);
    const f32v scale = broadcast(float(1.0 / total));
    for_lanes(n, [&](int64_t i, int64_t lanes) { store_lanes(po + i, load_lanes(po + i, lanes) * scale, lanes); });
    finish_row(out, row_offset(out, r), n, out.stride[1], po);
  });
  return nullptr;
}

}  // namespace

void register_reduce(KernelTable& table) {
  table.entry[LF_OP_REDUCE] = {reduce, check_reduce};
  table.entry[LF_OP_SOFTMAX] = {softmax, check_softmax};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
