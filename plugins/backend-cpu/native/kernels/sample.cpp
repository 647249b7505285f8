// SAMPLE: penalties, mask, temperature, truncation and the draw, for each row of logits.
//
// The draw walks what is kept in the order of ids and takes the first token whose cumulative weight exceeds u * total,
// where u has 53 bits: (word 0 >> 5) * 2^26 + (word 1 >> 6), over 2^53, of the Philox block with the counter
// (position, 0, 0, 0) and the row's seed as key.
#include "candidates.h"
#include "philox.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// One row's settings, from the words of `rows`.
struct Settings {
  float temperature, top_p, min_p, repetition, presence, frequency;
  int64_t top_k, history_start, prompt_length, output_length;
  PhiloxKey key;
  uint32_t position, flags;

  // min_p as a weight relative to the largest, which is always kept. Weights of 0 are not.
  float least_weight() const { return min_p > 1.0f ? 1.0f : min_p > 0.0f ? min_p : 0x1p-149f; }
};
Settings settings_of(const View& rows, int64_t b) {
  const float* row = rows.as<const float>() + b * rows.stride[0];
  auto real = [&](int word) { return row[word * rows.stride[1]]; };
  auto bits = [&](int word) { return bits_of(row[word * rows.stride[1]]); };
  Settings s;
  s.temperature = real(LF_SAMPLE_TEMPERATURE);
  s.top_k = bits(LF_SAMPLE_TOP_K);
  s.top_p = real(LF_SAMPLE_TOP_P);
  s.min_p = real(LF_SAMPLE_MIN_P);
  s.repetition = real(LF_SAMPLE_REPETITION);
  s.presence = real(LF_SAMPLE_PRESENCE);
  s.frequency = real(LF_SAMPLE_FREQUENCY);
  s.key = {bits(LF_SAMPLE_SEED_LO), bits(LF_SAMPLE_SEED_HI)};
  s.position = bits(LF_SAMPLE_POSITION);
  s.history_start = bits(LF_SAMPLE_HISTORY_START);
  s.prompt_length = bits(LF_SAMPLE_PROMPT_LENGTH);
  s.output_length = bits(LF_SAMPLE_OUTPUT_LENGTH);
  s.flags = bits(LF_SAMPLE_FLAGS);
  return s;
}

const char* check_sample(Context& ctx, const uint32_t* params, const View* o, int) {
  const char* op = "SAMPLE";
  const View &logits = o[0], &history = o[2], &mask = o[3], &bias = o[4], &top_tokens = o[7], &top_logprobs = o[8];
  LF_CHECK(expect_dtype(ctx, op, "logits", logits, LF_F32));
  LF_CHECK(expect_rank(ctx, op, "logits", logits, 2));
  const int64_t rows = logits.shape[0], vocabulary = logits.shape[1], top_n = params[0];
  if (vocabulary < 1 || vocabulary > 0x7fffffff)
    return ctx.fail(LF_INVALID, "SAMPLE: operand logits has shape %s, which holds no token", shape_text(logits).text);
  LF_CHECK(expect_dtype(ctx, op, "rows", o[1], LF_F32));
  LF_CHECK(expect_shape(ctx, op, "rows", o[1], rows, LF_SAMPLE_WORDS));
  if (history.present()) {
    LF_CHECK(expect_dtype(ctx, op, "history", history, LF_I32));
    LF_CHECK(expect_rank(ctx, op, "history", history, 1));
  }
  if (mask.present()) {
    LF_CHECK(expect_dtype(ctx, op, "mask", mask, LF_U32));
    LF_CHECK(expect_shape(ctx, op, "mask", mask, rows, ceil_div(vocabulary, 32)));
  }
  if (bias.present()) {
    LF_CHECK(expect_dtype(ctx, op, "bias", bias, LF_F32));
    LF_CHECK(expect_shape(ctx, op, "bias", bias, rows, vocabulary));
  }
  LF_CHECK(expect_dtype(ctx, op, "tokens", o[5], LF_I32));
  LF_CHECK(expect_shape(ctx, op, "tokens", o[5], rows));
  LF_CHECK(expect_dtype(ctx, op, "logprob", o[6], LF_F32));
  LF_CHECK(expect_shape(ctx, op, "logprob", o[6], rows));
  if (top_n > vocabulary)
    return ctx.fail(LF_INVALID, "SAMPLE: top_n is %lld, but logits has shape %s", (long long)top_n, shape_text(logits).text);
  if (top_tokens.present()) {
    LF_CHECK(expect_dtype(ctx, op, "top_tokens", top_tokens, LF_I32));
    LF_CHECK(expect_shape(ctx, op, "top_tokens", top_tokens, rows, top_n));
  }
  if (top_logprobs.present()) {
    LF_CHECK(expect_dtype(ctx, op, "top_logprobs", top_logprobs, LF_F32));
    LF_CHECK(expect_shape(ctx, op, "top_logprobs", top_logprobs, rows, top_n));
  }
  return nullptr;
}

const char* check_rows(Context& ctx, const View& rows, const View& history, int64_t vocabulary) {
  const int64_t length = history.present() ? history.shape[0] : 0;
  for (int64_t b = 0; b < rows.shape[0]; b++) {
    const Settings s = settings_of(rows, b);
    if (!(s.temperature >= 0.0f))
      return ctx.fail(LF_INVALID, "SAMPLE: temperature of row %lld is %g, expected 0 or more", (long long)b,
                      double(s.temperature));
    if (!(s.repetition > 0.0f))
      return ctx.fail(LF_INVALID, "SAMPLE: repetition penalty of row %lld is %g, expected more than 0", (long long)b,
                      double(s.repetition));
    if (s.history_start + s.prompt_length + s.output_length > length && s.prompt_length + s.output_length > 0)
      return ctx.fail(LF_INVALID, "SAMPLE: history of row %lld is tokens %lld to %lld of %lld", (long long)b,
                      (long long)s.history_start, (long long)(s.history_start + s.prompt_length + s.output_length),
                      (long long)length);
    for (int64_t i = 0; i < s.prompt_length + s.output_length; i++) {
      const int32_t id = history.as<const int32_t>()[(s.history_start + i) * history.stride[0]];
      if (id < 0 || id >= vocabulary)
        return ctx.fail(LF_INVALID, "SAMPLE: history of row %lld holds token %d, outside of the vocabulary of %lld",
                        (long long)b, id, (long long)vocabulary);
    }
  }
  return nullptr;
}

// CTRL's repetition penalty over prompt and output, then presence and frequency over the output: each token once.
void penalize(Row& row, const Settings& s, const View& history) {
  const int64_t length = s.prompt_length + s.output_length;
  auto token = [&](int64_t i) { return history.as<const int32_t>()[(s.history_start + i) * history.stride[0]]; };
  constexpr uint32_t done = 0xffffffffu;
  for (int64_t i = 0; i < length; i++) row.counts[token(i)] = 0;
  for (int64_t i = s.prompt_length; i < length; i++) row.counts[token(i)]++;
  for (int64_t i = 0; i < length; i++) {
    const int32_t id = token(i);
    const uint32_t count = row.counts[id];
    if (count == done) continue;
    row.counts[id] = done;
    float v = row.values[id];
    v = v > 0.0f ? v / s.repetition : v * s.repetition;
    if (count) v -= s.presence + s.frequency * float(count);
    row.values[id] = v;
  }
}

void apply_mask(Row& row, const View& mask, int64_t b) {
  for (int64_t word = 0; word < mask.shape[1]; word++) {
    const uint32_t allowed = mask.as<const uint32_t>()[b * mask.stride[0] + word * mask.stride[1]];
    if (allowed == 0xffffffffu) continue;
    const int64_t end = smaller<int64_t>(32, row.vocabulary - word * 32);
    for (int64_t bit = 0; bit < end; bit++)
      if (!(allowed >> bit & 1u)) row.values[word * 32 + bit] = -__builtin_inff();
  }
}

double uniform_draw(const Settings& s) {
  uint32_t words[4];
  philox_block(s.key, s.position, 0, words);
  return (double(words[0] >> 5) * 67108864.0 + double(words[1] >> 6)) * 0x1p-53;
}

// ------------------------------------------------------------------------------------------------- from a short list --

// Weights of listed candidates relative to the largest value; returns their sum.
double weigh_list(const Row& row, int64_t n, float temperature) {
  double total = 0.0;
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t lanes = smaller<int64_t>(kLanes, n - i);
    float x[kLanes] = {};
    for (int64_t l = 0; l < lanes; l++) x[l] = row.list[i + l].value - row.largest;
    store(x, exp(load(x) / temperature));
    for (int64_t l = 0; l < lanes; l++) {
      row.list[i + l].weight = x[l];
      total += x[l];
    }
  }
  return total;
}

// top_k candidates, then min_p and top_p among them.
int32_t choose_from_largest(const Row& row, const Settings& s, double u) {
  int64_t n = collect_largest(row, s.top_k), kept = 0;
  weigh_list(row, n, s.temperature);
  double total = 0.0;
  for (int64_t i = 0; i < n; i++)
    if (row.list[i].weight >= s.least_weight()) {
      total += row.list[i].weight;
      row.list[kept++] = row.list[i];
    }
  if (s.top_p < 1.0f) {
    const auto weight = [](const Candidate& c) { return double(c.weight); };
    kept = keep_until(row, kept, find_cut(row, kept, s.top_p * total, weight));
    total = 0.0;
    for (int64_t i = 0; i < kept; i++) total += row.list[i].weight;
  }
  double running = 0.0;
  for (int64_t i = 0; i < kept; i++) {
    running += row.list[i].weight;
    if (running > u * total) return row.list[i].id;
  }
  return row.largest_id;
}

// --------------------------------------------------------------------------------------------- from the whole row --

// Which values may be drawn: those that weigh `least` or more, up to and including `cut` in the order of candidates.
struct Limits {
  float temperature, least;
  Candidate cut;
};

// Weights of one block of values, 0 for those beyond the limits; returns their sum.
LF_INLINE float weigh_block(const Row& row, int64_t b, const Limits& limits, float* weights) {
  f32v part = broadcast(0.0f);
  for (int64_t i = 0; i < kBlockLogits; i += kLanes) {
    const f32v v = load(row.values + b * kBlockLogits + i);
    const i32v id = lane_index() + int32_t(b * kBlockLogits + i);
    f32v w = exp((v - row.largest) / limits.temperature);
    const i32v kept = (w >= broadcast(limits.least)) & ((v > broadcast(limits.cut.value)) |
                      ((v == broadcast(limits.cut.value)) & (id <= broadcast_i32(limits.cut.id))));
    w = select(kept, w, broadcast(0.0f));
    store(weights + i, w);
    part = part + w;
  }
  return sum(part);
}

// Bins of values by their distance from the largest. e^-20 of the largest weight and below share the last bin.
constexpr int kBins = 1024;
constexpr float kDepth = 20.0f;

// Bins of one block of values. The arithmetic is monotonic, so that a block's largest value has its lowest bin.
LF_INLINE i32v bins_of(f32v values, const Row& row, float temperature) {
  const f32v distance = (row.largest - values) / temperature;
  return truncate_i32(min(distance, broadcast(kDepth)) * (float(kBins - 1) / kDepth));  // a NaN goes to the last bin
}

// Where the running sum of weights, in the order of candidates, first reaches top_p of the total: the bin that holds
// the cut is found first, and searched.
Candidate find_mass_cut(const Row& row, const Limits& limits, float top_p) {
  constexpr int spread = 8;  // neighbours in the last, crowded bin add to different sums
  double mass[kBins + spread] = {}, total = 0.0;
  float weights[kBlockLogits];
  int32_t bins[kBlockLogits];
  auto find_bins = [&](int64_t b) {
    for (int64_t i = 0; i < kBlockLogits; i += kLanes) {
      const i32v bin = bins_of(load(row.values + b * kBlockLogits + i), row, limits.temperature);
      __builtin_memcpy(bins + i, &bin, sizeof bin);
    }
  };
  auto lowest_bin = [&](int64_t b) { return bins_of(broadcast(row.maxima[b]), row, limits.temperature)[0]; };
  for (int64_t b = 0; b < row.blocks(); b++) {
    const double block = weigh_block(row, b, limits, weights);
    total += block;
    if (lowest_bin(b) == kBins - 1) {
      mass[kBins - 1] += block;
      continue;
    }
    find_bins(b);
    for (int64_t i = 0; i < kBlockLogits; i++)
      mass[bins[i] + (int(i) % spread & -int(bins[i] == kBins - 1))] += weights[i];  // without a branch to mispredict
  }
  for (int i = 1; i < spread; i++) mass[kBins - 1] += mass[kBins - 1 + i];
  double target = top_p * total;
  int cut = 0;
  while (cut < kBins - 1 && mass[cut] < target) target -= mass[cut++];
  int64_t n = 0;
  for (int64_t b = 0; b < row.blocks(); b++) {
    if (lowest_bin(b) > cut) continue;
    find_bins(b);
    weigh_block(row, b, limits, weights);
    for (int64_t i = 0; i < kBlockLogits; i++)
      if (bins[i] == cut && weights[i] > 0.0f)
        row.list[n++] = {row.values[b * kBlockLogits + i], weights[i], int32_t(b * kBlockLogits + i)};
  }
  if (n == 0) return {row.largest, 1.0f, row.largest_id};
  return find_cut(row, n, target, [](const Candidate& c) { return double(c.weight); });
}

// min_p and top_p over all values, then the draw: first the block, then the value in it.
int32_t choose_from_all(const Row& row, const Settings& s, double u) {
  Limits limits{s.temperature, s.least_weight(), {-__builtin_inff(), 0.0f, 0x7fffffff}};
  if (s.top_p < 1.0f) limits.cut = find_mass_cut(row, limits, s.top_p);
  float weights[kBlockLogits];
  double total = 0.0, running = 0.0;
  for (int64_t b = 0; b < row.blocks(); b++) {
    const bool any = row.maxima[b] >= limits.cut.value && row.maxima[b] > -__builtin_inff();
    row.list[b].weight = any ? weigh_block(row, b, limits, weights) : 0.0f;
    total += row.list[b].weight;
  }
  const double target = u * total;
  int64_t block = row.largest_id / kBlockLogits;
  for (int64_t b = 0; b < row.blocks(); b++) {
    if (running + row.list[b].weight > target) {
      block = b;
      break;
    }
    running += row.list[b].weight;
  }
  weigh_block(row, block, limits, weights);
  int32_t chosen = row.largest_id;
  for (int64_t i = 0; i < kBlockLogits && running <= target; i++) {
    if (!(weights[i] > 0.0f)) continue;
    running += weights[i];
    chosen = int32_t(block * kBlockLogits + i);
  }
  return chosen;
}

int32_t choose(const Row& row, const Settings& s) {
  if (s.temperature == 0.0f || row.largest == -__builtin_inff()) return row.largest_id;
  const double u = uniform_draw(s);
  if (s.top_k > 0 && s.top_k < row.vocabulary) return choose_from_largest(row, s, u);
  return choose_from_all(row, s, u);
}

// The top_n tokens by value, best first.
void report_top(const Row& row, int64_t top_n, double lse, const View& tokens, const View& logprobs, int64_t b) {
  const int64_t n = collect_largest(row, top_n);
  for (int64_t i = 1; i < n; i++) {  // insertion: top_n is small
    const Candidate c = row.list[i];
    int64_t at = i;
    for (; at > 0 && precedes(c, row.list[at - 1]); at--) row.list[at] = row.list[at - 1];
    row.list[at] = c;
  }
  for (int64_t i = 0; i < top_n; i++) {
    // Values that are -inf are no candidates; -1 stands for "no further token".
    if (tokens.present()) tokens.as<int32_t>()[b * tokens.stride[0] + i * tokens.stride[1]] = i < n ? row.list[i].id : -1;
    if (logprobs.present())
      logprobs.as<float>()[b * logprobs.stride[0] + i * logprobs.stride[1]] =
          i < n ? float(row.list[i].value - lse) : -__builtin_inff();
  }
}

const char* sample(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_sample(ctx, params, o, count));
  const View &logits = o[0], &rows = o[1], &history = o[2], &mask = o[3], &bias = o[4], &tokens = o[5], &logprob = o[6],
             &top_tokens = o[7], &top_logprobs = o[8];
  const int64_t vocabulary = logits.shape[1], top_n = params[0];
  LF_CHECK(check_rows(ctx, rows, history, vocabulary));
  const size_t bytes = carve_row(nullptr, vocabulary, nullptr);
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, bytes)) return out_of_scratch(ctx, "SAMPLE", bytes);
  int64_t* forbidden = static_cast<int64_t*>(ctx.shared(64));  // a row whose mask allows nothing
  if (!forbidden) return out_of_scratch(ctx, "SAMPLE", 64);
  *forbidden = -1;
  ctx.for_each(logits.shape[0], [&](int64_t b, int worker) {
    Row row;
    carve_row(static_cast<uint8_t*>(ctx.local(worker, bytes)), vocabulary, &row);
    const Settings s = settings_of(rows, b);
    const bool biased = bias.present() && (s.flags & 2u), masked = mask.present() && (s.flags & 1u);
    widen_row(logits.as<const float>() + b * logits.stride[0], vocabulary, logits.stride[1], row.values);
    for (int64_t i = vocabulary; i < round_up(vocabulary, kBlockLogits); i++) row.values[i] = -__builtin_inff();
    if (biased)
      for (int64_t i = 0; i < vocabulary; i++)
        row.values[i] += bias.as<const float>()[b * bias.stride[0] + i * bias.stride[1]];
    find_maxima(row);
    const double lse = log_sum_exp(row);
    if (top_n && (top_tokens.present() || top_logprobs.present()))
      report_top(row, top_n, lse, top_tokens, top_logprobs, b);
    const bool penalized = s.prompt_length + s.output_length > 0 &&
                           (s.repetition != 1.0f || s.presence != 0.0f || s.frequency != 0.0f);
    if (penalized) penalize(row, s, history);
    if (masked) apply_mask(row, mask, b);
    if (penalized || masked) find_maxima(row);
    if (row.largest == -__builtin_inff() && masked) __atomic_store_n(forbidden, b, __ATOMIC_RELAXED);
    const int32_t token = choose(row, s);
    float value = logits.as<const float>()[b * logits.stride[0] + token * logits.stride[1]];
    if (biased) value += bias.as<const float>()[b * bias.stride[0] + token * bias.stride[1]];
    tokens.as<int32_t>()[b * tokens.stride[0]] = token;
    logprob.as<float>()[b * logprob.stride[0]] = float(value - lse);
  });
  if (*forbidden >= 0)
    return ctx.fail(LF_INVALID, "SAMPLE: the mask of row %lld allows no token with a finite logit", (long long)*forbidden);
  return nullptr;
}

}  // namespace

void register_sample(KernelTable& table) { table.entry[LF_OP_SAMPLE] = {sample, check_sample}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
