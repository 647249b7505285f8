// REDUCE, SOFTMAX and MEAN_POOL. Sums are formed in an order that depends on shapes alone.
#include "reduce.h"

#include "access.h"

namespace lf_gpu {

LF_ON_DEVICE bool is_maximum(uint32_t kind) { return kind == LF_MAXIMUM || kind == LF_ABS_MAX; }
LF_ON_DEVICE float first_of(uint32_t kind) { return kind == LF_MAXIMUM ? -__builtin_inff() : 0.0f; }
LF_ON_DEVICE float term_of(uint32_t kind, float v) {
  switch (kind) {
    case LF_ABS_MAX: return abs_of(v);
    case LF_SUM_SQUARES: return v * v;
    case LF_COUNT_NONFINITE: return (float_to_bits(v) & 0x7f800000u) == 0x7f800000u ? 1.0f : 0.0f;
    default: return v;
  }
}
LF_ON_DEVICE float join(uint32_t kind, float a, float b) { return is_maximum(kind) ? larger_of(a, b) : a + b; }
LF_ON_DEVICE float block_reduce(uint32_t kind, float v) {
  const Shared<float> scratch = shared_at<float>(0);
  return is_maximum(kind) ? block_max(v, scratch) : block_sum(v, scratch);
}
LF_ON_DEVICE void finish(const ReduceArgs& a, int64_t place, float v, int64_t n) {
  if (a.kind == LF_MEAN) v /= float(n);
  float* out = reinterpret_cast<float*>(a.out.data) + place;
  if (a.accumulate) v = join(a.kind, load(out), v);
  store(out, v);
}

// One block for each row.
LF_KERNEL(reduce_rows, ReduceArgs, kReduceThreads) {
  const Row row = row_of(a.x, block_x());
  float sum = first_of(a.kind);
  for_row8(a.n, [&](int64_t first) {
    float v[8];
    row.read(first, a.n, v);
    for (int i = 0; i < 8; i++)
      if (first + i < a.n) sum = join(a.kind, sum, term_of(a.kind, v[i]));
  });
  sum = block_reduce(a.kind, sum);
  if (thread_id() == 0) finish(a, place_of(a.out, block_x()), sum, a.n);
}

LF_KERNEL(reduce_pieces, ReduceArgs, kReduceThreads) {
  const int64_t start = int64_t(block_x()) * kReducePiece, end = smaller(a.n, start + kReducePiece);
  float sum = first_of(a.kind);
  for (int64_t first = start + thread_id() * 8; first < end; first += block_threads() * 8) {
    float v[8];
    read8(a.x, first, a.n, v);
    for (int i = 0; i < 8; i++)
      if (first + i < a.n) sum = join(a.kind, sum, term_of(a.kind, v[i]));
  }
  sum = block_reduce(a.kind, sum);
  if (thread_id() == 0) store(a.partial + block_x(), sum);
}

LF_KERNEL(reduce_partials, ReduceArgs, kReduceThreads) {
  float sum = first_of(a.kind);
  for (int64_t i = thread_id(); i < a.pieces; i += block_threads()) sum = join(a.kind, sum, load(a.partial + i));
  sum = block_reduce(a.kind, sum);
  if (thread_id() == 0) finish(a, 0, sum, a.n);
}

LF_KERNEL(softmax_rows, SoftmaxArgs, kReduceThreads) {
  const Row x = row_of(a.x, block_x()), out = row_of(a.out, block_x());
  const Shared<float> scratch = shared_at<float>(0);
  float largest = -__builtin_inff();
  for (int64_t i = thread_id(); i < a.n; i += block_threads()) largest = larger_of(largest, x.at(i));
  largest = block_max(largest, scratch);
  float total = 0.0f;
  for (int64_t i = thread_id(); i < a.n; i += block_threads()) total += exp_of(x.at(i) - largest);
  total = block_sum(total, scratch);
  for (int64_t i = thread_id(); i < a.n; i += block_threads()) out.set(i, exp_of(x.at(i) - largest) / total);
}

// One block for each sequence.
LF_KERNEL(mean_pool, PoolArgs, kReduceThreads) {
  const int64_t b = block_x();
  const int32_t first = index_at(a.cu, b, a.cu_stride), last = index_at(a.cu, b + 1, a.cu_stride);
  const Row out = row_of(a.out, b);
  const float scale = last > first ? 1.0f / float(last - first) : 0.0f;
  float squares = 0.0f;
  for (int64_t i = thread_id(); i < a.n; i += block_threads()) {
    float sum = 0.0f;
    for (int32_t t = first; t < last; t++) sum += row_of(a.x, t).at(i);
    sum *= scale;
    squares += sum * sum;
    out.set(i, sum);
  }
  if (!a.normalize) return;
  squares = block_sum(squares, shared_at<float>(0));
  const float norm = sqrt_of(squares), inverse = 1.0f / (norm > 1e-12f ? norm : 1e-12f);
  for (int64_t i = thread_id(); i < a.n; i += block_threads()) out.set(i, out.at(i) * inverse);
}

}  // namespace lf_gpu
