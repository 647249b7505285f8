// The gradients of RMS_NORM and LAYER_NORM.
#include "norm.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

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

struct RowStatistics {
  float mean, rstd;
  bool centred;  // whether the mean was taken away
};

// One row; `carried`, `dw` and `db` may be null.
template <typename T>
void norm_gradients(const T* dy, const T* h, const float* w, float weight_offset, const RowStatistics& row, int64_t n,
                    const T* carried, T* dx, float* dw, float* db) {
  const float mean = row.mean, rstd = row.rstd;
  const float along = row_sum(n, [&](f32v a, int64_t i, int64_t lanes) __attribute__((always_inline)) {
    f32v g = load_lanes(dy + i, lanes) * (load_lanes(w + i, lanes) + weight_offset);
    return fma(g, (load_lanes(h + i, lanes) - mean) * rstd, a);  // dy is 0 in lanes beyond the end
  }) / float(n);
  const float shift = row.centred ? row_sum(n, [&](f32v a, int64_t i, int64_t lanes) __attribute__((always_inline)) {
    return fma(load_lanes(dy + i, lanes), load_lanes(w + i, lanes), a);
  }) / float(n) : 0.0f;
  for_lanes(n, [&](int64_t i, int64_t lanes) {
    f32v d = load_lanes(dy + i, lanes), xhat = (load_lanes(h + i, lanes) - mean) * rstd;
    f32v v = fma(d, load_lanes(w + i, lanes) + weight_offset, -fma(xhat, broadcast(along), broadcast(shift))) * rstd;
    if (carried) v = v + load_lanes(carried + i, lanes);
    if (dw) store_lanes(dw + i, fma(d, xhat, load_lanes(dw + i, lanes)), lanes);
    if (db) store_lanes(db + i, d + load_lanes(db + i, lanes), lanes);
    store_lanes(dx + i, v, lanes);
  });
}

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
  const View* const others[] = {&p.dy, &p.dh_in, &p.dx};
  const bool alike = rows_alike(p.h, others, 3);
  ctx.for_each(tasks, [&](int64_t task, int worker) {
    const RowScratch scratch = row_scratch(ctx, worker, n, 5);
    const float* w = read_row(p.weight, 0, n, p.weight.stride[0], scratch[0]);
    float *dw = want_weight ? weight_sums + task * padded : nullptr, *db = want_bias ? bias_sums + task * padded : nullptr;
    for (int64_t i = 0; dw && i < n; i++) dw[i] = 0.0f;
    for (int64_t i = 0; db && i < n; i++) db[i] = 0.0f;
    for (int64_t r = task * step; r < smaller(rows, (task + 1) * step); r++) {
      const RowStatistics statistics = {p.mean ? p.mean[r] : 0.0f, p.rstd[r], p.mean != nullptr};
      if (alike) {
        with_float(p.h.dtype, [&](auto type) {
          using T = decltype(type);
          const auto at = [&](const View& v) { return v.present() ? v.as<T>() + row_offset(v, r) : nullptr; };
          norm_gradients<T>(at(p.dy), at(p.h), w, p.weight_offset, statistics, n, at(p.dh_in), at(p.dx), dw, db);
        });
        continue;
      }
      const float* dy = read_row(p.dy, row_offset(p.dy, r), n, row_stride(p.dy), scratch[1]);
      const float* h = read_row(p.h, row_offset(p.h, r), n, row_stride(p.h), scratch[2]);
      const float* carried =
          p.dh_in.present() ? read_row(p.dh_in, row_offset(p.dh_in, r), n, row_stride(p.dh_in), scratch[3]) : nullptr;
      float* dx = row_target(p.dx, row_offset(p.dx, r), row_stride(p.dx), scratch[4]);
      norm_gradients<float>(dy, h, w, p.weight_offset, statistics, n, carried, dx, dw, db);
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

void register_norm_backward(KernelTable& table) {
  table.entry[LF_OP_RMS_NORM_BACKWARD] = {rms_norm_backward, check_rms_norm_backward};
  table.entry[LF_OP_LAYER_NORM_BACKWARD] = {layer_norm_backward, check_layer_norm_backward};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
