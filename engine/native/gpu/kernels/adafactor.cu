// ADAFACTOR (Shazeer & Stern 2018, algorithm 4 with a given rate): second moments, the size of the update, the update. Sums
// are formed in pieces that depend on shapes alone, each in the order of its elements.
#include "access.h"
#include "optimizer.h"

namespace lf_gpu {

constexpr int kMeanOfRow = 0, kStep = 1;  // of factors

LF_ON_DEVICE float scaled_gradient(const AdafactorArgs& a, float scale, int64_t i) { return read_float(a.grad.data, a.grad.dtype, i) * scale; }
LF_ON_DEVICE float scale_of(const AdafactorArgs& a) { return a.scale ? load(a.scale + a.scale_stride) : 1.0f; }
LF_ON_DEVICE float blended(const AdafactorArgs& a, float before, float now) { return a.beta2 * before + (1.0f - a.beta2) * now; }

// One block for each row: the mean of its squares.
LF_KERNEL(adafactor_rows, AdafactorArgs, kOptimizerThreads) {
  const int64_t r = block_x();
  const float scale = scale_of(a);
  float sum = 0.0f;
  for (int64_t c = thread_id(); c < a.columns; c += block_threads()) {
    const float g = scaled_gradient(a, scale, r * a.columns + c);
    sum += g * g + a.eps;
  }
  sum = block_sum(sum, shared_at<float>(0));
  if (thread_id() == 0) store(a.row + r, blended(a, load(a.row + r), sum / float(a.columns)));
}

// A thread for a column of some rows; then one for the column.
LF_KERNEL(adafactor_column_sums, AdafactorArgs, kOptimizerThreads) {
  const int64_t c = int64_t(block_x()) * block_threads() + thread_id(), piece = block_y();
  if (c >= a.columns) return;
  const float scale = scale_of(a);
  float sum = 0.0f;
  for (int64_t r = piece * kAdafactorRows; r < smaller(a.rows, (piece + 1) * kAdafactorRows); r++) {
    const float g = scaled_gradient(a, scale, r * a.columns + c);
    sum += g * g + a.eps;
  }
  store(a.column_sums + piece * a.columns + c, sum);
}
LF_KERNEL(adafactor_columns, AdafactorArgs, kOptimizerThreads) {
  const int64_t c = int64_t(block_x()) * block_threads() + thread_id();
  if (c >= a.columns) return;
  float sum = 0.0f;
  for (int64_t piece = 0; piece < a.row_pieces; piece++) sum += load(a.column_sums + piece * a.columns + c);
  store(a.column + c, blended(a, load(a.column + c), sum / float(a.rows)));
}
// One block.
LF_KERNEL(adafactor_mean, AdafactorArgs, kOptimizerThreads) {
  float sum = 0.0f;
  for (int64_t r = thread_id(); r < a.rows; r += block_threads()) sum += load(a.row + r);
  sum = block_sum(sum, shared_at<float>(0));
  if (thread_id() == 0) store(a.factors + kMeanOfRow, sum / float(a.rows));
}

// What element i would move by at a rate of 1.
LF_ON_DEVICE float update_of(const AdafactorArgs& a, float scale, int64_t i) {
  const float g = scaled_gradient(a, scale, i);
  if (!a.column) return g / sqrt_of(load(a.row + i));
  return g / (sqrt_of(load(a.row + i / a.columns) / load(a.factors + kMeanOfRow)) * sqrt_of(load(a.column + i % a.columns)));
}

// Runs f(i) for the elements of this block's piece.
template <typename F>
LF_ON_DEVICE void for_piece(const AdafactorArgs& a, F f) {
  const int64_t first = int64_t(block_x()) * kAdafactorPiece, end = smaller(a.rows * a.columns, first + kAdafactorPiece);
  for (int64_t i = first + thread_id(); i < end; i += block_threads()) f(i);
}

LF_KERNEL(adafactor_squares, AdafactorArgs, kOptimizerThreads) {
  const float scale = scale_of(a);
  float sum = 0.0f;
  for_piece(a, [&](int64_t i) {
    if (!a.column) {
      const float g = scaled_gradient(a, scale, i);
      store(a.row + i, blended(a, load(a.row + i), g * g + a.eps));
    }
    const float u = update_of(a, scale, i);
    sum += u * u;
  });
  sum = block_sum(sum, shared_at<float>(0));
  if (thread_id() == 0) store(a.squares + block_x(), sum);
}
// One block: the rate over what the update's root mean square exceeds the threshold by.
LF_KERNEL(adafactor_step, AdafactorArgs, kOptimizerThreads) {
  float sum = 0.0f;
  for (int64_t i = thread_id(); i < a.pieces; i += block_threads()) sum += load(a.squares + i);
  sum = block_sum(sum, shared_at<float>(0));
  const float excess = sqrt_of(sum / (float(a.rows) * float(a.columns))) / a.threshold;
  if (thread_id() == 0) store(a.factors + kStep, a.lr / (excess <= 1.0f ? 1.0f : excess));
}
LF_KERNEL(adafactor_update, AdafactorArgs, kOptimizerThreads) {
  const float scale = scale_of(a), step = load(a.factors + kStep), keep = 1.0f - a.lr * a.weight_decay;
  for_piece(a, [&](int64_t i) {
    const float p = read_float(a.param.data, LF_F32, i) * keep - step * update_of(a, scale, i);
    write_float(a.param.data, LF_F32, i, p);
    if (a.copy.data) write_float(a.copy.data, a.copy.dtype, i, p);
  });
}

}  // namespace lf_gpu
