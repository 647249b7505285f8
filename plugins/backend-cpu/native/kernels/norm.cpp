// RMS_NORM (Zhang & Sennrich 2019) and LAYER_NORM (Ba et al. 2016).
#include "norm.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

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

template <typename T>
float rms_norm_row(const T* x, const T* residual, const float* weight, float weight_offset, float eps, int64_t n, float* h,
                   T* sum_out, T* y) {
  const float squares = row_sum(n, [&](f32v a, int64_t i, int64_t lanes) __attribute__((always_inline)) {
    f32v v = load_lanes(x + i, lanes);
    if (residual) v = v + load_lanes(residual + i, lanes);
    if (sum_out) store_lanes(sum_out + i, v, lanes);
    store_lanes(h + i, v, lanes);
    return fma(v, v, a);
  });
  const float rstd = 1.0f / __builtin_sqrtf(squares / float(n) + eps);
  for_lanes(n, [&](int64_t i, int64_t lanes) {
    store_lanes(y + i, load_lanes(h + i, lanes) * rstd * (load_lanes(weight + i, lanes) + weight_offset), lanes);
  });
  return rstd;
}

const char* rms_norm(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_rms_norm(ctx, params, o, count));
  const View &x = o[0], &residual = o[1], &weight = o[2], &y = o[3], &sum_out = o[4], &rstd_out = o[5];
  const float eps = param_f32(params, 0), weight_offset = param_f32(params, 1);
  const int64_t n = row_length(x), rows = row_count(x), step = rows_a_task(n);
  if (!reserve_rows(ctx, n, 4)) return out_of_scratch(ctx, "RMS_NORM", 4 * scratch_row_bytes(n));
  const View* const others[] = {&residual, &y, &sum_out};
  const bool alike = rows_alike(x, others, 3);
  ctx.for_each(ceil_div(rows, step), [&](int64_t task, int worker) {
    const RowScratch scratch = row_scratch(ctx, worker, n, 4);
    const float* w = read_row(weight, 0, n, weight.stride[0], scratch[3]);
    for (int64_t r = task * step; r < smaller(rows, (task + 1) * step); r++) {
      if (alike) {
        with_float(x.dtype, [&](auto type) {
          using T = decltype(type);
          const auto at = [&](const View& v) { return v.present() ? v.as<T>() + row_offset(v, r) : nullptr; };
          const float rstd = rms_norm_row<T>(at(x), at(residual), w, weight_offset, eps, n, scratch[0], at(sum_out), at(y));
          if (rstd_out.present()) rstd_out.as<float>()[r] = rstd;
        });
        continue;
      }
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

}  // namespace

void register_norm(KernelTable& table) {
  table.entry[LF_OP_RMS_NORM] = {rms_norm, check_rms_norm};
  table.entry[LF_OP_LAYER_NORM] = {layer_norm, check_layer_norm};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
