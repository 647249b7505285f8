// CROSS_ENTROPY, around two products: rows with a label are found and gathered, their logits turned into statistics and
// gradients. And DIVERGENCE.
#include "loss.h"

#include "access.h"

namespace lf_gpu {

// Finds the rows with a label, in order. One block.
LF_KERNEL(loss_select, LossArgs, kLossThreads) {
  const Shared<uint32_t> scratch = shared_at<uint32_t>(0);
  uint32_t found = 0;
  for (int64_t start = 0; start < a.tokens; start += block_threads()) {
    const int64_t t = start + thread_id();
    const bool labelled = t < a.tokens && index_at(a.labels, t, a.label_stride) != a.ignore_index;
    uint32_t total;
    const uint32_t before = block_prefix<uint32_t>(labelled ? 1 : 0, scratch, total);
    if (labelled) store(a.index + found + before, int32_t(t));
    found += total;
  }
  if (thread_id() == 0) store(a.count, found);
}

// A row without a label has no loss and no gradient. One block for each row.
LF_KERNEL(loss_clear, LossArgs, kLossThreads) {
  const int64_t t = block_x();
  if (index_at(a.labels, t, a.label_stride) != a.ignore_index) return;
  if (thread_id() == 0) {
    store(a.rows.nll + t * a.rows.nll_stride, 0.0f);
    if (a.rows.entropy) store(a.rows.entropy + t * a.rows.entropy_stride, 0.0f);
    if (a.rows.lse) store(a.rows.lse + t * a.rows.lse_stride, 0.0f);
    if (a.rows.argmax) store(a.rows.argmax + t * a.rows.argmax_stride, int32_t(-1));
  }
  if (!a.dx.data) return;
  const Row row = row_of(a.dx, t);
  for_row8(a.depth, [&](int64_t first) {
    const float zeros[8] = {};
    row.write(first, a.depth, zeros);
  });
}

LF_ON_DEVICE int64_t rows_of_chunk(const LossArgs& a) { return smaller(a.chunk, int64_t(load(a.count)) - a.first); }

// Rows of x, dense; beyond the last there are zeros, which add nothing to the gradient of the weight.
LF_KERNEL(loss_gather, LossArgs, kLossThreads) {
  const int64_t i = block_x();
  const bool there = i < rows_of_chunk(a);
  const Row row = row_of(a.x, there ? load(a.index + a.first + i) : 0);
  for (int64_t first = thread_id() * 8; first < a.gathered_stride; first += block_threads() * 8) {
    float v[8] = {};
    if (there && first < a.depth) row.read(first, a.depth, v);
    write_words8(a.gathered, a.gathered_dtype, i * a.gathered_stride + first, v);
  }
}

// One block for each row of the chunk.
LF_KERNEL(loss_rows, LossArgs, kLossThreads) {
  const int64_t i = block_x(), n = a.vocabulary;
  const Shared<float> scratch = shared_at<float>(0);
  if (i >= rows_of_chunk(a)) {
    if (!a.gradient) return;
    for (int64_t v = thread_id(); v < a.gradient_stride; v += block_threads())
      write_float(a.gradient, a.gradient_dtype, i * a.gradient_stride + v, 0.0f);
    return;
  }
  const int32_t t = load(a.index + a.first + i), label = index_at(a.labels, t, a.label_stride);
  float* z = a.logits + i * n;
  float largest = -__builtin_inff();
  for (int64_t v = thread_id(); v < n; v += block_threads()) {
    float logit = load(z + v) * a.logit_scale;
    if (a.softcap > 0.0f) logit = a.softcap * tanh_of(logit / a.softcap);
    store(z + v, logit);
    largest = larger_of(largest, logit);
  }
  largest = block_max(largest, scratch);
  float total = 0.0f, moment = 0.0f, first_at = float(n);
  for (int64_t v = thread_id(); v < n; v += block_threads()) {
    const float shifted = load(z + v) - largest, e = exp_of(shifted);
    total += e;
    // 0 * -inf would be NaN.
    if (e > 0.0f) moment += e * shifted;
  }
  total = block_sum(total, scratch);
  const float log_total = log_of(total), lse = largest + log_total;
  if (a.rows.entropy) {
    moment = block_sum(moment, scratch);
    if (thread_id() == 0) store(a.rows.entropy + t * a.rows.entropy_stride, log_total - moment / total);
  }
  if (a.rows.argmax) {
    int64_t best = n;
    for (int64_t v = thread_id(); v < n && best == n; v += block_threads())
      if (load(z + v) == largest) best = v;
    // Exact below 2^24, which no vocabulary reaches.
    first_at = -block_max(-float(best), scratch);
    if (thread_id() == 0) store(a.rows.argmax + t * a.rows.argmax_stride, int32_t(first_at));
  }
  sync_block();
  if (thread_id() == 0) {
    store(a.rows.nll + t * a.rows.nll_stride, lse - load(z + label));
    if (a.rows.lse) store(a.rows.lse + t * a.rows.lse_stride, lse);
  }
  if (!a.gradient) return;
  const float weight = a.grad_scale * (a.row_weight ? load(a.row_weight + t * a.weight_stride) : 1.0f) * a.logit_scale;
  const float uniform = a.smoothing / float(n);
  for (int64_t v = thread_id(); v < a.gradient_stride; v += block_threads()) {
    float g = 0.0f;
    if (v < n) {
      const float logit = load(z + v), capped = a.softcap > 0.0f ? logit / a.softcap : 0.0f;
      g = (exp_of(logit - lse) - uniform - (v == label ? 1.0f - a.smoothing : 0.0f)) * weight * (1.0f - capped * capped);
    }
    write_float(a.gradient, a.gradient_dtype, i * a.gradient_stride + v, g);
  }
}

// Sums of the gradients' columns, in the order of the rows. One thread for each token of the vocabulary.
LF_KERNEL(loss_bias, LossArgs, kLossThreads) {
  const int64_t v = int64_t(block_x()) * block_threads() + thread_id(), rows = rows_of_chunk(a);
  if (v >= a.vocabulary) return;
  float sum = load(a.dbias + v * a.dbias_stride);
  for (int64_t i = 0; i < rows; i++) sum += read_float(a.gradient, a.gradient_dtype, i * a.gradient_stride + v);
  store(a.dbias + v * a.dbias_stride, sum);
}

// The terms of the divergence at one token, from the logarithms of both probabilities.
struct DivergenceTerm {
  float loss, q, slope;  // slope: q times the derivative of the loss by q, but for what is the same for all tokens
};
LF_ON_DEVICE DivergenceTerm divergence_term(float beta, float log_q, float log_p) {
  const float q = exp_of(log_q), p = exp_of(log_p);
  if (beta == 0.0f) return {p > 0.0f ? p * (log_p - log_q) : 0.0f, q, -p};
  if (beta == 1.0f) return {q > 0.0f ? q * (log_q - log_p) : 0.0f, q, q > 0.0f ? q * (log_q - log_p) : 0.0f};
  const float log_m = log_of(beta * p + (1.0f - beta) * q);
  const float of_student = q > 0.0f ? (1.0f - beta) * q * (log_q - log_m) : 0.0f;
  return {(p > 0.0f ? beta * p * (log_p - log_m) : 0.0f) + of_student, q, of_student};
}

// One block for each row.
LF_KERNEL(divergence_rows, DivergenceArgs, kLossThreads) {
  const int64_t r = block_x();
  const Shared<float> scratch = shared_at<float>(0);
  float* student = a.student + r * a.n;
  const float inverse = 1.0f / a.temperature;
  auto teacher = [&](int64_t v) { return read_float(a.teacher, a.teacher_dtype, r * a.n + v) * inverse; };
  float most_q = -__builtin_inff(), most_p = most_q;
  for (int64_t v = thread_id(); v < a.n; v += block_threads()) {
    most_q = larger_of(most_q, load(student + v) * inverse);
    most_p = larger_of(most_p, teacher(v));
  }
  most_q = block_max(most_q, scratch);
  most_p = block_max(most_p, scratch);
  float total_q = 0.0f, total_p = 0.0f;
  for (int64_t v = thread_id(); v < a.n; v += block_threads()) {
    total_q += exp_of(load(student + v) * inverse - most_q);
    total_p += exp_of(teacher(v) - most_p);
  }
  const float lse_q = most_q + log_of(block_sum(total_q, scratch)), lse_p = most_p + log_of(block_sum(total_p, scratch));
  float loss = 0.0f, mean = 0.0f;
  for (int64_t v = thread_id(); v < a.n; v += block_threads()) {
    const DivergenceTerm term = divergence_term(a.beta, load(student + v) * inverse - lse_q, teacher(v) - lse_p);
    loss += term.loss;
    mean += term.slope;
  }
  loss = block_sum(loss, scratch);
  mean = block_sum(mean, scratch);
  if (thread_id() == 0) store(a.loss + r * a.loss_stride, loss);
  const float weight = a.scale * (a.row_weight ? load(a.row_weight + r * a.weight_stride) : 1.0f) * inverse;
  for (int64_t v = thread_id(); v < a.n; v += block_threads()) {
    const DivergenceTerm term = divergence_term(a.beta, load(student + v) * inverse - lse_q, teacher(v) - lse_p);
    store(student + v, weight * (term.slope - term.q * mean));
  }
}

}  // namespace lf_gpu
