// ADAFACTOR.
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr const char* kOp = "ADAFACTOR";
constexpr int64_t kTaskElements = 16384;

const char* check(Context& ctx, const uint32_t*, const View* o, int) {
  const View &param = o[0], &grad = o[1], &row = o[2], &column = o[3], &scale = o[4], &copy = o[5];
  LF_CHECK(expect_dtype(ctx, kOp, "param", param, LF_F32));
  LF_CHECK(expect_float(ctx, kOp, "grad", grad));
  LF_CHECK(expect_dtype(ctx, kOp, "row", row, LF_F32));
  LF_CHECK(expect_contiguous(ctx, kOp, "param", param));
  LF_CHECK(expect_same_shape(ctx, kOp, "grad", grad, "param", param));
  LF_CHECK(expect_contiguous(ctx, kOp, "grad", grad));
  if (column.present()) {
    LF_CHECK(expect_rank(ctx, kOp, "param", param, 2));
    LF_CHECK(expect_dtype(ctx, kOp, "column", column, LF_F32));
    LF_CHECK(expect_shape(ctx, kOp, "row", row, param.shape[0]));
    LF_CHECK(expect_shape(ctx, kOp, "column", column, param.shape[1]));
    LF_CHECK(expect_contiguous(ctx, kOp, "column", column));
  } else {
    LF_CHECK(expect_same_shape(ctx, kOp, "row", row, "param", param));
  }
  LF_CHECK(expect_contiguous(ctx, kOp, "row", row));
  if (copy.present()) {
    LF_CHECK(expect_float(ctx, kOp, "copy", copy));
    LF_CHECK(expect_same_shape(ctx, kOp, "copy", copy, "param", param));
    LF_CHECK(expect_contiguous(ctx, kOp, "copy", copy));
  }
  if (!scale.present()) return nullptr;
  LF_CHECK(expect_dtype(ctx, kOp, "scale", scale, LF_F32));
  return expect_shape(ctx, kOp, "scale", scale, 2);
}

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  const View &param = o[0], &grad = o[1], &scale = o[4], &copy = o[5];
  const float lr = param_f32(params, 0), beta2 = param_f32(params, 1), eps = param_f32(params, 2),
              threshold = param_f32(params, 3), weight_decay = param_f32(params, 4);
  const float grad_scale = scale.present() ? scale.as<const float>()[scale.stride[0]] : 1.0f;
  float *row = o[2].as<float>(), *column = o[3].as<float>();
  const bool factored = o[3].present();
  const int64_t rows = factored ? o[0].shape[0] : 1, columns = factored ? o[0].shape[1] : element_count(o[0]);
  const int64_t n = rows * columns;
  if (n == 0) return nullptr;
  // What is divided among tasks depends on the shape alone: results do not depend on the number of threads.
  const int64_t rows_a_task = factored ? larger<int64_t>(1, kTaskElements / columns) : 1;
  const int64_t tasks = factored ? ceil_div(rows, rows_a_task) : ceil_div(n, kTaskElements);
  const size_t sums = factored ? size_t(tasks * columns) : 0;
  const size_t bytes = (sums + size_t(tasks) + size_t(factored ? rows + columns : 0)) * sizeof(double);
  double* memory = static_cast<double*>(ctx.shared(bytes));
  if (!memory) return out_of_scratch(ctx, kOp, bytes);
  double *squares = memory + sums, *row_factor = squares + tasks, *column_factor = row_factor + (factored ? rows : 0);
  auto gradient = [&](int64_t i) {
    float g;
    with_float(grad.dtype, [&](auto type) { g = widen(grad.as<const decltype(type)>()[i]); });
    return g * grad_scale;
  };
  auto span = [&](int64_t task, auto&& each) {
    if (factored)
      for (int64_t r = task * rows_a_task; r < smaller(rows, (task + 1) * rows_a_task); r++) each(r * columns, columns, r);
    else
      each(task * kTaskElements, smaller(kTaskElements, n - task * kTaskElements), int64_t{0});
  };
  if (factored) {
    ctx.for_each(tasks, [&](int64_t task, int) {
      double* column_sums = memory + task * columns;
      for (int64_t c = 0; c < columns; c++) column_sums[c] = 0.0;
      span(task, [&](int64_t start, int64_t size, int64_t r) {
        double sum = 0.0;
        for (int64_t c = 0; c < size; c++) {
          const float g = gradient(start + c);
          const double square = double(g) * g + eps;
          sum += square;
          column_sums[c] += square;
        }
        row[r] = float(beta2 * row[r] + (1.0 - beta2) * (sum / columns));
      });
    });
    double mean = 0.0;
    for (int64_t r = 0; r < rows; r++) mean += row[r];
    mean /= rows;
    for (int64_t r = 0; r < rows; r++) row_factor[r] = 1.0 / __builtin_sqrt(row[r] / mean);
    for (int64_t c = 0; c < columns; c++) {
      double sum = 0.0;
      for (int64_t task = 0; task < tasks; task++) sum += memory[task * columns + c];
      column[c] = float(beta2 * column[c] + (1.0 - beta2) * (sum / rows));
      column_factor[c] = 1.0 / __builtin_sqrt(column[c]);
    }
  } else {
    ctx.for_each(tasks, [&](int64_t task, int) {
      span(task, [&](int64_t start, int64_t size, int64_t) {
        for (int64_t i = start; i < start + size; i++) {
          const float g = gradient(i);
          row[i] = float(beta2 * row[i] + (1.0 - beta2) * (double(g) * g + eps));
        }
      });
    });
  }
  auto update = [&](int64_t i, int64_t r, int64_t start) {
    const double factor = factored ? row_factor[r] * column_factor[i - start] : 1.0 / __builtin_sqrt(row[i]);
    return factor * gradient(i);
  };
  ctx.for_each(tasks, [&](int64_t task, int) {
    double sum = 0.0;
    span(task, [&](int64_t start, int64_t size, int64_t r) {
      for (int64_t i = start; i < start + size; i++) {
        const double u = update(i, r, start);
        sum += u * u;
      }
    });
    squares[task] = sum;
  });
  double total = 0.0;
  for (int64_t task = 0; task < tasks; task++) total += squares[task];
  const double rms = __builtin_sqrt(total / n) / threshold;
  const double step = lr / (rms > 1.0 || rms != rms ? rms : 1.0);
  const float decay = 1.0f - lr * weight_decay;
  ctx.for_each(tasks, [&](int64_t task, int) {
    span(task, [&](int64_t start, int64_t size, int64_t r) {
      float* p = param.as<float>();
      for (int64_t i = start; i < start + size; i++) p[i] = float(p[i] * decay - step * update(i, r, start));
      if (copy.present()) write_row(copy, start, size, 1, p + start);
    });
  });
  return nullptr;
}

}  // namespace

void register_adafactor(KernelTable& table) { table.entry[LF_OP_ADAFACTOR] = {run, check}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
