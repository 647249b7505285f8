// ROUTE: each token chooses its experts, then the pairs are counted and laid out by expert; and its gradient.
#include "experts.h"

#include "access.h"

namespace lf_gpu {

// One thread for each token.
LF_KERNEL(route_choose, RouteArgs, kRouteThreads) {
  const int64_t t = int64_t(block_x()) * block_threads() + thread_id();
  if (t >= a.tokens) return;
  const Row probs = row_of(a.probs, t);
  float last = __builtin_inff(), sum = 0.0f;
  int64_t last_id = -1;
  for (int64_t k = 0; k < a.top_k; k++) {
    // The largest of those that come after the last one chosen; the lower index on a tie.
    float best = -__builtin_inff();
    int64_t best_id = -1;
    for (int64_t e = 0; e < a.experts; e++) {
      const float p = probs.at(e);
      const bool after = p < last || (p == last && e > last_id);
      if (after && (best_id < 0 || p > best)) best = p, best_id = e;
    }
    // Numbers that are no probabilities have no order: anything will do that is an expert.
    if (best_id < 0) best_id = k, best = probs.at(k);
    store(a.chosen + t * a.top_k + k, int32_t(best_id));
    store(a.chosen_weights + t * a.top_k + k, best);
    last = best, last_id = best_id;
    sum += best;
  }
  for (int64_t k = 0; k < a.top_k && a.normalize; k++) {
    float* w = a.chosen_weights + t * a.top_k + k;
    store(w, load(w) / sum);
  }
}

// One block for each expert.
LF_KERNEL(route_count, RouteArgs, kRouteThreads) {
  uint32_t count = 0;
  for (int64_t i = thread_id(); i < a.tokens * a.top_k; i += block_threads()) count += load(a.chosen + i) == int32_t(block_x());
  count = block_sum(count, shared_at<uint32_t>(0));
  if (thread_id() == 0) store(a.counts + block_x(), int32_t(count));
}
LF_KERNEL(route_offsets, RouteArgs, kRouteThreads) {
  if (thread_id() != 0) return;
  int32_t sum = 0;
  for (int64_t e = 0; e <= a.experts; e++) {
    store(a.offsets + e * a.offset_stride, sum);
    if (e < a.experts) sum += load(a.counts + e);
  }
}
// One block for each expert: its pairs, in the order of tokens.
LF_KERNEL(route_place, RouteArgs, kRouteThreads) {
  const Shared<uint32_t> scratch = shared_at<uint32_t>(0);
  int64_t next = load(a.offsets + block_x() * a.offset_stride);
  const int64_t pairs = a.tokens * a.top_k;
  for (int64_t start = 0; start < pairs; start += block_threads()) {
    const int64_t i = start + thread_id();
    const bool mine = i < pairs && load(a.chosen + i) == int32_t(block_x());
    uint32_t total;
    const uint32_t before = block_prefix<uint32_t>(mine ? 1 : 0, scratch, total);
    if (mine) {
      store(a.rows + (next + before) * a.row_stride, int32_t(i / a.top_k));
      store(a.weights + (next + before) * a.weight_stride, load(a.chosen_weights + i));
    }
    next += total;
  }
}

// Where the pair of a token and an expert is. One block for each expert.
LF_KERNEL(route_pairs, RouteArgs, kRouteThreads) {
  const int64_t e = block_x(), first = load(a.offsets + e * a.offset_stride), last = load(a.offsets + (e + 1) * a.offset_stride);
  for (int64_t i = first + thread_id(); i < last; i += block_threads())
    store(a.pairs + int64_t(load(a.rows + i * a.row_stride)) * a.experts + e, int32_t(i));
}
// One warp for each token.
LF_KERNEL(route_gradient, RouteArgs, kRouteThreads) {
  const int64_t t = (int64_t(block_x()) * block_threads() + thread_id()) / kWarp;
  if (t >= a.tokens) return;
  const Row probs = row_of(a.probs, t), out = row_of(a.dlogits, t);
  const int32_t* pairs = a.pairs + t * a.experts;
  float total = 0.0f, mean = 0.0f;
  for (int64_t e = lane_id(); e < a.experts; e += kWarp) {
    const int32_t i = load(pairs + e);
    if (i < 0) continue;
    total += probs.at(e);
    mean += load(a.dweights + i * a.dweight_stride) * load(a.weights + i * a.weight_stride);
  }
  total = warp_sum(total);
  mean = warp_sum(mean);
  auto slope = [&](int64_t e) {
    const int32_t i = load(pairs + e);
    if (i < 0) return 0.0f;
    const float d = load(a.dweights + i * a.dweight_stride);
    return a.normalize ? (d - mean) / total : d;
  };
  float sum = 0.0f;
  for (int64_t e = lane_id(); e < a.experts; e += kWarp) sum += probs.at(e) * slope(e);
  sum = warp_sum(sum);
  for (int64_t e = lane_id(); e < a.experts; e += kWarp) out.set(e, probs.at(e) * (slope(e) - sum));
}

}  // namespace lf_gpu
