// RMS_NORM (Zhang & Sennrich 2019), LAYER_NORM (Ba et al. 2016) and their gradients.
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// Elements of x that one task covers. The gradient of the weight is summed within a task and then over tasks, in order.
constexpr int64_t kTaskElements = 32768;

int64_t rows_a_task(int64_t n) { return larger<int64_t>(1, kTaskElements / larger<int64_t>(1, n)); }

// Rows of scratch in a worker's memory, each padded to whole vectors.
struct RowScratch {
  uint8_t* base;
  size_t row_bytes;
  float* operator[](int i) const { return reinterpret_cast<float*>(base + i * row_bytes); }
};
size_t scratch_row_bytes(int64_t n) { return round_up(larger<int64_t>(n, 1), 16) * 4; }
bool reserve_rows(Context& ctx, int64_t n, int rows) {
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, rows * scratch_row_bytes(n))) return false;
  return true;
}
RowScratch row_scratch(Context& ctx, int worker, int64_t n, int rows) {
  return {static_cast<uint8_t*>(ctx.local(worker, rows * scratch_row_bytes(n))), scratch_row_bytes(n)};
}

// Sum over a row of f(i, lanes), which must be 0 in lanes beyond the end. Four accumulators, joined in fixed order.
template <typename F>
LF_INLINE float row_sum(int64_t n, F&& f) {
  f32v acc[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int u = 0; u < 4; u++) acc[u] = f(acc[u], i + u * kLanes, int64_t(kLanes));
  for (; i + kLanes <= n; i += kLanes) acc[0] = f(acc[0], i, int64_t(kLanes));
  if (i < n) acc[1] = f(acc[1], i, n - i);
  return sum((acc[0] + acc[1]) + (acc[2] + acc[3]));
}

// x, or x + residual in `h`.
const float* read_input(const View& x, const View& residual, int64_t row, int64_t n, float* h, float* other) {
  const float* px = read_row(x, row_offset(x, row), n, row_stride(x), h);
  if (!residual.present()) return px;
  const float* pr = read_row(residual, row_offset(residual, row), n, row_stride(residual), other);
  for_lanes(n, [&](int64_t i, int64_t lanes) {
    store_lanes(h + i, load_lanes(px + i, lanes) + load_lanes(pr + i, lanes), lanes);
  });
  return h;
}

const char* check_vector(Context& ctx, const char* op, const char* name, const View& v, int64_t n) {
  LF_CHECK(expect_float(ctx, op, name, v));
  return expect_shape(ctx, op, name, v, n);
}
const char* check_statistic(Context& ctx, const char* op, const char* name, const View& v, int64_t rows) {
  LF_CHECK(expect_dtype(ctx, op, name, v, LF_F32));
  if (element_count(v) != rows)
    return ctx.fail(LF_INVALID, "%s: operand %s has shape %s, expected [%lld], one per row", op, name, shape_text(v).text,
                    (long long)rows);
  return expect_contiguous(ctx, op, name, v);
}
const char* check_like(Context& ctx, const char* op, const char* name, const View& v, const char* like, const View& x) {
  LF_CHECK(expect_float(ctx, op, name, v));
  return expect_same_shape(ctx, op, name, v, like, x);
}
const char* check_input(Context& ctx, const char* op, const char* name, const View& x) {
  LF_CHECK(expect_float(ctx, op, name, x));
  if (x.rank >= 1) return nullptr;
  return ctx.fail(LF_INVALID, "%s: operand %s has no dimension", op, name);
}

// -------------------------------------------------------------------------------------------------------- RMS_NORM --

const char* check_rms_norm(Context& ctx, const uint32_t*, const View* o, int) {
  const char* op = "RMS_NORM";
  LF_CHECK(check_input(ctx, op, "x", o[0]));
  const int64_t n = row_length(o[0]);
  if (o[1].present()) LF_CHECK(check_like(ctx, op, "residual", o[1], "x", o[0]));
  LF_CHECK(check_vector(ctx, op, "weight", o[2], n));
  LF_CHECK(check_like(ctx, op, "y", o[3], "x", o[0]));
  if (o[4].present()) LF_CHECK(check_like(ctx, op, "sum", o[4], "x", o[0]));
  if (o[5].present()) LF_CHECK(check_statistic(ctx, op, "rstd", o[5], row_count(o[0])));
  return nullptr;
}

const char* rms_norm(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_rms_norm(ctx, params, o, count));
  const View &x = o[0], &residual = o[1], &weight = o[2], &y = o[3], &sum_out = o[4], &rstd_out = o[5];
  const float eps = param_f32(params, 0), weight_offset = param_f32(params, 1);
  const int64_t n = row_length(x), rows = row_count(x), step = rows_a_task(n);
  if (!reserve_rows(ctx, n, 4)) return out_of_scratch(ctx, "RMS_NORM", 4 * scratch_row_bytes(n));
  ctx.for_each(ceil_div(rows, step), [&](int64_t task, int worker) {
    const RowScratch scratch = row_scratch(ctx, worker, n, 4);
    const float* w = read_row(weight, 0, n, weight.stride[0], scratch[3]);
    for (int64_t r = task * step; r < smaller(rows, (task + 1) * step); r++) {
      const float* h = read_input(x, residual, r, n, scratch[0], scratch[1]);
      const float squares = row_sum(n, [&](f32v a, int64_t i, int64_t lanes) {
        f32v v = load_lanes(h + i, lanes);
        return fma(v, v, a);
      });
      const float rstd = 1.0f / __builtin_sqrtf(squares / float(n) + eps);
      if (sum_out.present()) write_row(sum_out, row_offset(sum_out, r), n, row_stride(sum_out), h);
      if (rstd_out.present()) rstd_out.as<float>()[r] = rstd;
      float* py = row_target(y, row_offset(y, r), row_stride(y), scratch[2]);
      for_lanes(n, [&](int64_t i, int64_t lanes) {
        store_lanes(py + i, load_lanes(h + i, lanes) * rstd * (load_lanes(w + i, lanes) + weight_offset), lanes);
      });
      finish_row(y, row_offset(y, r), n, row_stride(y), py);
    }
  });
  return nullptr;
}

// ------------------------------------------------------------------------------------------------------- LAYER_NORM --

const char* check_layer_norm(Context& ctx, const uint32_t*, const View* o, int) {
  const char* op = "LAYER_NORM";
  LF_CHECK(check_input(ctx, op, "x", o[0]));
  const int64_t n = row_length(o[0]);
  if (o[1].present()) LF_CHECK(check_like(ctx, op, "residual", o[1], "x", o[0]));
  LF_CHECK(check_vector(ctx, op, "weight", o[2], n));
  if (o[3].present()) LF_CHECK(check_vector(ctx, op, "bias", o[3], n));
  LF_CHECK(check_like(ctx, op, "y", o[4], "x", o[0]));
  if (o[5].present()) LF_CHECK(check_like(ctx, op, "sum", o[5], "x", o[0]));
  if (o[6].present()) LF_CHECK(check_statistic(ctx, op, "mean", o[6], row_count(o[0])));
  if (o[7].present()) LF_CHECK(check_statistic(ctx, op, "rstd", o[7], row_count(o[0])));
  return nullptr;
}

const char* layer_norm(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_layer_norm(ctx, params, o, count));
  const View &x = o[0], &residual = o[1], &weight = o[2], &bias = o[3], &y = o[4], &sum_out = o[5], &mean_out = o[6],
             &rstd_out = o[7];
  const float eps = param_f32(params, 0);
  const int64_t n = row_length(x), rows = row_count(x), step = rows_a_task(n);
  if (!reserve_rows(ctx, n, 5)) return out_of_scratch(ctx, "LAYER_NORM", 5 * scratch_row_bytes(n));
  ctx.for_each(ceil_div(rows, step), [&](int64_t task, int worker) {
    const RowScratch scratch = row_scratch(ctx, worker, n, 5);
    const float* w = read_row(weight, 0, n, weight.stride[0], scratch[3]);
    const float* b = bias.present() ? read_row(bias, 0, n, bias.stride[0], scratch[4]) : nullptr;
    for (int64_t r = task * step; r < smaller(rows, (task + 1) * step); r++) {
      const float* h = read_input(x, residual, r, n, scratch[0], scratch[1]);
      const float mean =
          row_sum(n, [&](f32v a, int64_t i, int64_t lanes) { return a + load_lanes(h + i, lanes); }) / float(n);
      const float squares = row_sum(n, [&](f32v a, int64_t i, int64_t lanes) {
        f32v v = load_lanes(h + i, lanes) - mean;
        if (lanes < kLanes) v = select(lane_index() < broadcast_i32(int32_t(lanes)), v, broadcast(0.0f));
        return fma(v, v, a);
      });
      const float rstd = 1.0f / __builtin_sqrtf(squares / float(n) + eps);
      if (sum_out.present()) write_row(sum_out, row_offset(sum_out, r), n, row_stride(sum_out), h);
      if (mean_out.present()) mean_out.as<float>()[r] = mean;
      if (rstd_out.present()) rstd_out.as<float>()[r] = rstd;
      float* py = row_target(y, row_offset(y, r), row_stride(y), scratch[2]);
      for_lanes(n, [&](int64_t i, int64_t lanes) {
        f32v v = (load_lanes(h + i, lanes) - mean) * rstd * load_lanes(w + i, lanes);
        if (b) v = v + load_lanes(b + i, lanes);
        store_lanes(py + i, v, lanes);
      });
      finish_row(y, row_offset(y, r), n, row_stride(y), py);
    }
  });
  return nullptr;
}

// --------------------------------------------------------------------------------------------------------- gradients --

// With g = dy * (weight + weight_offset) and xhat = (h - mean) * rstd:
//   RMS norm:   dx = rstd * (g - xhat * mean(g * xhat)),            mean = 0
//   layer norm: dx = rstd * (g - mean(g) - xhat * mean(g * xhat))
//   dweight += sum over rows of dy * xhat, dbias += sum over rows of dy.
struct NormBackward {
  const View &dy, &h, &weight, &dh_in, &dx, &dweight, &dbias;
  const float *mean, *rstd;
  float weight_offset;
  const char* op;
};

const char* norm_backward(Context& ctx, const NormBackward& p) {
  const int64_t n = row_length(p.h), rows = row_count(p.h), step = rows_a_task(n), tasks = ceil_div(rows, step);
  const int64_t padded = round_up(larger<int64_t>(n, 1), 16);
  const bool want_weight = p.dweight.present(), want_bias = p.dbias.present();
  float *weight_sums = nullptr, *bias_sums = nullptr;  // [tasks, padded] each
  if (want_weight || want_bias) {
    const size_t bytes = size_t(tasks) * padded * 4 * 2;
    weight_sums = static_cast<float*>(ctx.shared(larger<size_t>(bytes, 64)));
    if (!weight_sums) return out_of_scratch(ctx, p.op, bytes);
    bias_sums = weight_sums + tasks * padded;
  }
  if (!reserve_rows(ctx, n, 5)) return out_of_scratch(ctx, p.op, 5 * scratch_row_bytes(n));
  ctx.for_each(tasks, [&](int64_t task, int worker) {
    const RowScratch scratch = row_scratch(ctx, worker, n, 5);
    const float* w = read_row(p.weight, 0, n, p.weight.stride[0], scratch[0]);
    float *dw = want_weight ? weight_sums + task * padded : nullptr, *db = want_bias ? bias_sums + task * padded : nullptr;
    for (int64_t i = 0; dw && i < n; i++) dw[i] = 0.0f;
    for (int64_t i = 0; db && i < n; i++) db[i] = 0.0f;
    for (int64_t r = task * step; r < smaller(rows, (task + 1) * step); r++) {
      const float* dy = read_row(p.dy, row_offset(p.dy, r), n, row_stride(p.dy), scratch[1]);
      const float* h = read_row(p.h, row_offset(p.h, r), n, row_stride(p.h), scratch[2]);
      const float mean = p.mean ? p.mean[r] : 0.0f, rstd = p.rstd[r];
      const float along = row_sum(n, [&](f32v a, int64_t i, int64_t lanes) {
        f32v g = load_lanes(dy + i, lanes) * (load_lanes(w + i, lanes) + p.weight_offset);
        return fma(g, (load_lanes(h + i, lanes) - mean) * rstd, a);  // dy is 0 in lanes beyond the end
      }) / float(n);
      const float shift = p.mean ? row_sum(n, [&](f32v a, int64_t i, int64_t lanes) {
        return fma(load_lanes(dy + i, lanes), load_lanes(w + i, lanes), a);
      }) / float(n) : 0.0f;
      const float* carried =
          p.dh_in.present() ? read_row(p.dh_in, row_offset(p.dh_in, r), n, row_stride(p.dh_in), scratch[3]) : nullptr;
      float* dx = row_target(p.dx, row_offset(p.dx, r), row_stride(p.dx), scratch[4]);
      for_lanes(n, [&](int64_t i, int64_t lanes) {
        f32v d = load_lanes(dy + i, lanes), xhat = (load_lanes(h + i, lanes) - mean) * rstd;
        f32v v = fma(d, load_lanes(w + i, lanes) + p.weight_offset, -fma(xhat, broadcast(along), broadcast(shift))) * rstd;
        if (carried) v = v + load_lanes(carried + i, lanes);
        if (dw) store_lanes(dw + i, fma(d, xhat, load_lanes(dw + i, lanes)), lanes);
        if (db) store_lanes(db + i, d + load_lanes(db + i, lanes), lanes);
        store_lanes(dx + i, v, lanes);
      });
      finish_row(p.dx, row_offset(p.dx, r), n, row_stride(p.dx), dx);
    }
  });
  auto add_sums = [&](const View& out, const float* sums) {
    constexpr int64_t columns = 256;
    ctx.for_each(ceil_div(n, columns), [&](int64_t task, int) {
      for (int64_t i = task * columns; i < smaller(n, (task + 1) * columns); i += kLanes) {
        const int64_t lanes = smaller<int64_t>(kLanes, n - i);
        f32v total = broadcast(0.0f);
        for (int64_t t = 0; t < tasks; t++) total = total + load_lanes(sums + t * padded + i, lanes);
        float values[kLanes];
        store(values, total);
        for (int64_t l = 0; l < lanes; l++) out.as<float>()[(i + l) * out.stride[0]] += values[l];
      }
    });
  };
  if (want_weight) add_sums(p.dweight, weight_sums);
  if (want_bias) add_sums(p.dbias, bias_sums);
  return nullptr;
}

const char* check_norm_gradient(Context& ctx, const char* op, const View& dy, const View& h, const View& weight,
                                const View& dh_in, const View& dx, const View& dweight, const View& dbias) {
  LF_CHECK(check_input(ctx, op, "h", h));
  const int64_t n = row_length(h);
  LF_CHECK(check_like(ctx, op, "dy", dy, "h", h));
  LF_CHECK(check_vector(ctx, op, "weight", weight, n));
  if (dh_in.present()) LF_CHECK(check_like(ctx, op, "dh_in", dh_in, "h", h));
  LF_CHECK(check_like(ctx, op, "dx", dx, "h", h));
  if (dweight.present()) {
    LF_CHECK(expect_dtype(ctx, op, "dweight", dweight, LF_F32));
    LF_CHECK(expect_shape(ctx, op, "dweight", dweight, n));
  }
  if (dbias.present()) {
    LF_CHECK(expect_dtype(ctx, op, "dbias", dbias, LF_F32));
    LF_CHECK(expect_shape(ctx, op, "dbias", dbias, n));
  }
  return nullptr;
}

const char* check_rms_norm_backward(Context& ctx, const uint32_t*, const View* o, int) {
  LF_CHECK(check_norm_gradient(ctx, "RMS_NORM_BACKWARD", o[0], o[1], o[2], o[4], o[5], o[6], View{}));
  return check_statistic(ctx, "RMS_NORM_BACKWARD", "rstd", o[3], row_count(o[1]));
}

const char* rms_norm_backward(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_rms_norm_backward(ctx, params, o, count));
  const View absent = {};
  return norm_backward(ctx, {o[0], o[1], o[2], o[4], o[5], o[6], absent, nullptr, o[3].as<const float>(),
                             param_f32(params, 0), "RMS_NORM_BACKWARD"});
}

const char* check_layer_norm_backward(Context& ctx, const uint32_t*, const View* o, int) {
  LF_CHECK(check_norm_gradient(ctx, "LAYER_NORM_BACKWARD", o[0], o[1], o[2], o[5], o[6], o[7], o[8]));
  LF_CHECK(check_statistic(ctx, "LAYER_NORM_BACKWARD", "mean", o[3], row_count(o[1])));
  return check_statistic(ctx, "LAYER_NORM_BACKWARD", "rstd", o[4], row_count(o[1]));
}

const char* layer_norm_backward(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_layer_norm_backward(ctx, params, o, count));
  return norm_backward(ctx, {o[0], o[1], o[2], o[5], o[6], o[7], o[8], o[3].as<const float>(), o[4].as<const float>(),
                             0.0f, "LAYER_NORM_BACKWARD"});
}

}  // namespace

void register_norm(KernelTable& table) {
  table.entry[LF_OP_RMS_NORM] = {rms_norm, check_rms_norm};
  table.entry[LF_OP_RMS_NORM_BACKWARD] = {rms_norm_backward, check_rms_norm_backward};
  table.entry[LF_OP_LAYER_NORM] = {layer_norm, check_layer_norm};
  table.entry[LF_OP_LAYER_NORM_BACKWARD] = {layer_norm_backward, check_layer_norm_backward};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
