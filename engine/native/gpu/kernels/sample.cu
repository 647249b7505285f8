// SAMPLE: one block draws a row's token. What is cut off is found by a search over the bits of the order in which tokens are
// ranked (value, then the lower id), a pass over the row for each bit; nothing is sorted.
#include "sample.h"

#include "fault.h"
#include "philox.h"

namespace lf_gpu {

// Larger for what ranks earlier: the value's bits made to rise with it, then the lower id.
LF_ON_DEVICE uint64_t rank_of(float value, int64_t id) {
  uint32_t u = float_to_bits(value);
  u = u >> 31 ? ~u : u | 0x80000000u;
  return uint64_t(u) << 32 | (0xffffffffu - uint32_t(id));
}

struct SampleRow {
  const SampleArgs& a;
  int64_t b;
  LF_ON_DEVICE uint32_t word(int i) const { return load(a.rows + b * a.row_stride[0] + i * a.row_stride[1]); }
  LF_ON_DEVICE float number(int i) const { return bits_to_float(word(i)); }
  // The logit with its bias, before anything else.
  LF_ON_DEVICE float logit(int64_t v) const {
    float z = load(a.logits + b * a.logit_stride[0] + v * a.logit_stride[1]);
    if (a.bias && (word(LF_SAMPLE_FLAGS) & 2)) z += load(a.bias + b * a.bias_stride[0] + v * a.bias_stride[1]);
    return z;
  }
  LF_ON_DEVICE bool allowed(int64_t v) const {
    if (!a.mask || !(word(LF_SAMPLE_FLAGS) & 1)) return true;
    return load(a.mask + b * a.mask_stride[0] + v / 32 * a.mask_stride[1]) >> (v % 32) & 1;
  }
};

LF_ON_DEVICE uint64_t block_max(uint64_t v, Shared<float> scratch) {
  // The upper word first; then the lower one of those that share it.
  const Shared<uint32_t> words{reinterpret_cast<uint32_t*>(scratch.data)};
  auto larger_word = [](uint32_t x, uint32_t y) { return x > y ? x : y; };
  auto over_warp = [&](uint32_t x) {
    for (int d = kWarp / 2; d > 0; d /= 2) x = larger_word(x, shuffle_xor(x, d));
    return x;
  };
  const uint32_t high = block_join(uint32_t(v >> 32), words, larger_word, over_warp);
  sync_block();
  const uint32_t low = block_join(uint32_t(v >> 32) == high ? uint32_t(v) : 0u, words, larger_word, over_warp);
  sync_block();
  return uint64_t(high) << 32 | low;
}

// The best of the tokens that rank behind `before`; 0 when there is none.
template <typename Value>
LF_ON_DEVICE uint64_t best_behind(int64_t n, uint64_t before, Shared<float> scratch, Value value) {
  uint64_t best = 0;
  for (int64_t v = thread_id(); v < n; v += block_threads()) {
    const uint64_t rank = rank_of(value(v), v);
    if (rank < before && rank > best) best = rank;
  }
  return block_max(best, scratch);
}
LF_ON_DEVICE int64_t id_of(uint64_t rank) { return int64_t(0xffffffffu - uint32_t(rank)); }

// The largest rank for which `enough(rank)` holds; it holds for 0 and for all ranks below one for which it does.
template <typename Enough>
LF_ON_DEVICE uint64_t search_rank(int64_t n, Enough enough) {
  uint64_t cut = 0;
  int low_bits = 0;
  while (int64_t(1) << low_bits < n) low_bits++;
  for (int bit = 63; bit >= 0; bit--) {
    // Bits of the id that no token has differ in none.
    if (bit < 32 && bit >= low_bits) {
      cut |= uint64_t(1) << bit;
      continue;
    }
    const uint64_t trial = cut | uint64_t(1) << bit;
    if (enough(trial)) cut = trial;
  }
  return cut;
}

LF_KERNEL(sample_rows, SampleArgs, kSampleThreads) {
  const int64_t b = block_x(), n = a.vocabulary;
  const SampleRow row{a, b};
  const Shared<float> scratch = shared_at<float>(0), per_thread = shared_at<float>(256);
  const Shared<uint32_t> count_scratch = shared_at<uint32_t>(0);
  auto every = [&](auto f) {
    for (int64_t v = thread_id(); v < n; v += block_threads()) f(v);
  };

  // log softmax, and the most likely tokens.
  float largest = -__builtin_inff(), total = 0.0f;
  every([&](int64_t v) { largest = larger_of(largest, row.logit(v)); });
  largest = block_max(largest, scratch);
  every([&](int64_t v) { total += exp_of(row.logit(v) - largest); });
  const float lse = largest + log_of(block_sum(total, scratch));
  uint64_t last = ~uint64_t(0);
  for (int64_t i = 0; i < a.top_n; i++) {
    last = best_behind(n, last, scratch, [&](int64_t v) { return row.logit(v); });
    if (thread_id() != 0) continue;
    const int64_t id = last ? id_of(last) : 0;
    store(a.top_tokens + b * a.top_token_stride[0] + i * a.top_token_stride[1], int32_t(id));
    store(a.top_logprobs + b * a.top_logprob_stride[0] + i * a.top_logprob_stride[1], row.logit(id) - lse);
  }

  // Penalties and the mask.
  const uint64_t start = row.word(LF_SAMPLE_HISTORY_START), prompt = row.word(LF_SAMPLE_PROMPT_LENGTH),
                 output = row.word(LF_SAMPLE_OUTPUT_LENGTH), length = prompt + output;
  if (length > 0 && start + length > uint64_t(a.history_length)) {
    if (thread_id() == 0) claim_fault(a.head, 1, b * LF_SAMPLE_WORDS + LF_SAMPLE_PROMPT_LENGTH, int32_t(prompt), 0, int32_t(a.history_length), kFaultRange);
    return;
  }
  uint32_t *seen = a.seen + b * n, *drawn = a.drawn + b * n;
  if (length > 0) {
    every([&](int64_t v) {
      store(seen + v, 0u);
      store(drawn + v, 0u);
    });
    sync_block();
    for (uint64_t i = uint64_t(thread_id()); i < length; i += uint64_t(block_threads())) {
      const int32_t id = index_at(a.history, int64_t(start + i), a.history_stride);
      atomic_add(seen + id, 1);
      if (i >= prompt) atomic_add(drawn + id, 1);
    }
    sync_block();
  }
  const float repetition = row.number(LF_SAMPLE_REPETITION), presence = row.number(LF_SAMPLE_PRESENCE), frequency = row.number(LF_SAMPLE_FREQUENCY);
  float* scores = a.scores + b * n;
  uint64_t best = 0;
  every([&](int64_t v) {
    float z = row.logit(v);
    if (length > 0 && load(seen + v)) z = z > 0.0f ? z / repetition : z * repetition;
    if (length > 0) {
      const uint32_t times = load(drawn + v);
      if (times) z -= presence + frequency * float(times);
    }
    if (!row.allowed(v)) z = -__builtin_inff();
    store(scores + v, z);
    const uint64_t rank = rank_of(z, v);
    best = rank > best ? rank : best;
  });
  best = block_max(best, scratch);
  int64_t token = id_of(best);

  const float temperature = row.number(LF_SAMPLE_TEMPERATURE);
  if (temperature != 0.0f) {
    const float top = load(scores + token), inverse = 1.0f / temperature;
    auto weight = [&](int64_t v) { return exp_of((load(scores + v) - top) * inverse); };
    uint64_t cut = 0;
    const uint32_t top_k = row.word(LF_SAMPLE_TOP_K);
    const float min_p = row.number(LF_SAMPLE_MIN_P), top_p = row.number(LF_SAMPLE_TOP_P);
    auto kept = [&](int64_t v, float w) { return rank_of(load(scores + v), v) >= cut && (w >= min_p || v == token); };
    if (top_k > 0 && top_k < uint32_t(n)) {
      cut = search_rank(n, [&](uint64_t trial) {
        uint32_t count = 0;
        every([&](int64_t v) { count += rank_of(load(scores + v), v) >= trial; });
        count = block_sum(count, count_scratch);
        sync_block();
        return count >= top_k;
      });
    }
    if (top_p < 1.0f) {
      float all = 0.0f;
      every([&](int64_t v) {
        const float w = weight(v);
        if (kept(v, w)) all += w;
      });
      all = block_sum(all, scratch);
      const uint64_t outer = cut;
      const uint64_t found = search_rank(n, [&](uint64_t trial) {
        float sum = 0.0f;
        every([&](int64_t v) {
          const float w = weight(v);
          if (rank_of(load(scores + v), v) >= trial && kept(v, w)) sum += w;
        });
        sum = block_sum(sum, scratch);
        sync_block();
        return sum >= top_p * all;
      });
      cut = found > outer ? found : outer;
    }
    // Each thread sums a run of ids; the draw falls into one of them.
    const int64_t run = (n + block_threads() - 1) / block_threads(), first = thread_id() * run, end = smaller(n, first + run);
    float sum = 0.0f;
    for (int64_t v = first; v < end; v++) {
      const float w = weight(v);
      if (kept(v, w)) sum += w;
    }
    sync_block();
    per_thread[thread_id()] = sum;
    sync_block();
    float before = 0.0f, all = 0.0f;
    for (int i = 0; i < block_threads(); i++) {
      if (i == thread_id()) before = all;
      all += float(per_thread[i]);
    }
    const Philox p = philox(row.word(LF_SAMPLE_SEED_LO), row.word(LF_SAMPLE_SEED_HI), row.word(LF_SAMPLE_POSITION), 0, 0, 0);
    const double u = (double(p.word[0] >> 5) * 67108864.0 + double(p.word[1] >> 6)) * 1.1102230246251565e-16;
    const float target = float(u * double(all));
    // The first id whose running sum exceeds the target; where rounding leaves none, the last one that is kept.
    int64_t mine = n, last_kept = -1;
    float running = before;
    for (int64_t v = first; v < end; v++) {
      const float w = weight(v);
      if (!kept(v, w)) continue;
      last_kept = v;
      running += w;
      if (mine == n && running > target) mine = v;
    }
    const uint64_t earliest = block_max(mine < n ? rank_of(0.0f, mine) : uint64_t(0), scratch);
    const uint64_t latest = block_max(uint64_t(last_kept + 1), scratch);
    token = earliest ? id_of(earliest) : int64_t(latest) - 1;
  }
  if (thread_id() != 0) return;
  store(a.tokens + b * a.token_stride, int32_t(token));
  store(a.logprob + b * a.logprob_stride, row.logit(token) - lse);
}

}  // namespace lf_gpu
