// SAMPLE: penalties, mask, temperature, truncation and the draw, for each row of logits.
//
// Candidates are ordered by value, on a tie by the lower id; every cut (top_k, top_p) keeps a prefix of that order. No
// row is sorted: maxima of blocks of logits give a threshold above which few candidates lie, and quickselect finds the
// cut among them. The draw walks what is kept in the order of ids and takes the first token whose cumulative weight
// exceeds u * total, where u has 53 bits: (word 0 >> 5) * 2^26 + (word 1 >> 6), over 2^53, of the Philox block with the
// counter (position, 0, 0, 0) and the row's seed as key.
#include <initializer_list>

#include "operands.h"
#include "philox.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr int64_t kBlockLogits = 64;

struct Candidate {
  float value;   // the logit after penalties and mask
  float weight;  // exp((value - largest) / temperature)
  int32_t id;
};
LF_INLINE bool precedes(const Candidate& a, const Candidate& b) {
  return a.value > b.value || (a.value == b.value && a.id < b.id);
}

// One row's settings, from the words of `rows`.
struct Settings {
  float temperature, top_p, min_p, repetition, presence, frequency;
  int64_t top_k, history_start, prompt_length, output_length;
  PhiloxKey key;
  uint32_t position, flags;
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

// The logits of one row and the memory to choose from them.
struct Row {
  int64_t vocabulary;
  float* values;      // [vocabulary], padded to whole blocks with -inf
  float* maxima;      // of blocks of kBlockLogits values
  uint32_t* counts;   // [vocabulary]
  Candidate* list;    // candidates in the order of ids
  Candidate* scratch; // their permutation while a cut is looked for
  float largest;
  int32_t largest_id;

  int64_t blocks() const { return ceil_div(vocabulary, kBlockLogits); }
};

size_t carve_row(uint8_t* base, int64_t vocabulary, Row* row) {
  Row unused;
  if (!row) row = &unused;
  size_t used = 0;
  auto take = [&](int64_t bytes) {
    uint8_t* p = base ? base + used : nullptr;
    used += round_up(bytes, 64);
    return p;
  };
  row->vocabulary = vocabulary;
  const int64_t padded = round_up(vocabulary, kBlockLogits);
  row->values = reinterpret_cast<float*>(take(padded * 4));
  row->maxima = reinterpret_cast<float*>(take((padded / kBlockLogits + kLanes) * 4));
  row->counts = reinterpret_cast<uint32_t*>(take(padded * 4));
  row->list = reinterpret_cast<Candidate*>(take(padded * sizeof(Candidate)));
  row->scratch = reinterpret_cast<Candidate*>(take(padded * sizeof(Candidate)));
  return used;
}

// Maxima of the blocks and of the row. NaN counts as -inf.
void find_maxima(Row& row) {
  const f32v lowest = broadcast(-__builtin_inff());
  int64_t best = 0;
  for (int64_t b = 0; b < row.blocks(); b++) {
    const float* v = row.values + b * kBlockLogits;
    f32v top = lowest;
    for (int64_t i = 0; i < kBlockLogits; i += kLanes) {
      const f32v x = load(v + i);
      top = select(x > top, x, top);
    }
    row.maxima[b] = max_lane(top);
    if (row.maxima[b] > row.maxima[best]) best = b;
  }
  row.largest = row.maxima[best];
  row.largest_id = 0;
  if (row.largest == -__builtin_inff()) return;
  const float* v = row.values + best * kBlockLogits;
  int64_t i = 0;
  while (v[i] != row.largest) i++;
  row.largest_id = int32_t(best * kBlockLogits + i);
}

// log(sum(exp(values))), the sum of a block in f32 lanes and over blocks in double precision.
double log_sum_exp(const Row& row) {
  if (row.largest == -__builtin_inff()) return row.largest;
  double total = 0.0;
  for (int64_t b = 0; b < row.blocks(); b++) {
    f32v part = broadcast(0.0f);
    for (int64_t i = 0; i < kBlockLogits; i += kLanes)
      part = part + exp(load(row.values + b * kBlockLogits + i) - row.largest);
    total += sum(part);
  }
  return double(row.largest) + __builtin_log(total);
}

// Candidates with a value of at least `threshold`, in the order of ids.
int64_t collect(const Row& row, float threshold) {
  int64_t n = 0;
  for (int64_t b = 0; b < row.blocks(); b++) {
    if (!(row.maxima[b] >= threshold)) continue;
    const int64_t end = smaller(row.vocabulary, (b + 1) * kBlockLogits);
    for (int64_t i = b * kBlockLogits; i < end; i++)
      if (row.values[i] >= threshold && row.values[i] > -__builtin_inff())
        row.list[n++] = {row.values[i], 0.0f, int32_t(i)};
  }
  return n;
}

// Rearranges [begin, end) of c around a pivot; returns where the pivot lies.
int64_t partition(Candidate* c, int64_t begin, int64_t end) {
  const int64_t middle = begin + (end - begin) / 2, last = end - 1;
  // The median of three as pivot, moved to the end.
  int64_t pivot = precedes(c[begin], c[middle]) ? (precedes(c[middle], c[last]) ? middle : precedes(c[begin], c[last]) ? last : begin)
                                                : (precedes(c[begin], c[last]) ? begin : precedes(c[middle], c[last]) ? last : middle);
  const Candidate p = c[pivot];
  c[pivot] = c[last];
  int64_t at = begin;
  for (int64_t i = begin; i < last; i++)
    if (precedes(c[i], p)) {
      const Candidate swap = c[at];
      c[at++] = c[i];
      c[i] = swap;
    }
  c[last] = c[at];
  c[at] = p;
  return at;
}

// Of list[0, n), the candidate with which the running sum of `measure` in the order of candidates first reaches
// `target`; the last one when it never does.
template <typename Measure>
Candidate find_cut(const Row& row, int64_t n, double target, Measure&& measure) {
  __builtin_memcpy(row.scratch, row.list, n * sizeof(Candidate));
  Candidate* c = row.scratch;
  int64_t begin = 0, end = n;
  Candidate cut = c[0];
  while (begin < end) {
    const int64_t at = partition(c, begin, end);
    double before = 0.0;
    for (int64_t i = begin; i < at; i++) before += measure(c[i]);
    if (before >= target && at > begin) {
      end = at;
      continue;
    }
    cut = c[at];
    target -= before + measure(c[at]);
    if (target <= 0.0) break;
    begin = at + 1;
  }
  return cut;
}

// Keeps the candidates up to and including `cut`; their order by id stays.
int64_t keep_until(const Row& row, int64_t n, const Candidate& cut) {
  int64_t kept = 0;
  for (int64_t i = 0; i < n; i++)
    if (!precedes(cut, row.list[i])) row.list[kept++] = row.list[i];
  return kept;
}

// A value that at least k values reach: the k-th largest of the blocks' maxima.
float threshold_of_largest(const Row& row, int64_t k) {
  if (k > row.blocks()) return -__builtin_inff();
  for (int64_t b = 0; b < row.blocks(); b++) row.list[b] = {row.maxima[b], 0.0f, int32_t(b)};
  return find_cut(row, row.blocks(), double(k), [](const Candidate&) { return 1.0; }).value;
}

// The k best candidates, in the order of ids.
int64_t collect_largest(const Row& row, int64_t k) {
  const int64_t n = collect(row, threshold_of_largest(row, k));
  if (n <= k) return n;
  return keep_until(row, n, find_cut(row, n, double(k), [](const Candidate&) { return 1.0; }));
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

// Weights of candidates relative to the largest value.
double weigh(const Row& row, int64_t n, float temperature) {
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

int32_t draw_from_list(const Row& row, int64_t n, double u) {
  double total = 0.0, running = 0.0;
  for (int64_t i = 0; i < n; i++) total += row.list[i].weight;
  for (int64_t i = 0; i < n; i++) {
    running += row.list[i].weight;
    if (running > u * total) return row.list[i].id;
  }
  return row.largest_id;
}

// Sums of the weights of all values by block, into `maxima`'s place in the list; returns the total.
double weigh_blocks(const Row& row, float temperature) {
  double total = 0.0;
  for (int64_t b = 0; b < row.blocks(); b++) {
    f32v part = broadcast(0.0f);
    for (int64_t i = 0; i < kBlockLogits; i += kLanes) {
      const f32v v = load(row.values + b * kBlockLogits + i);
      part = part + select(v == v, exp((v - row.largest) / temperature), broadcast(0.0f));
    }
    row.list[b].weight = sum(part);
    total += row.list[b].weight;
  }
  return total;
}

// A draw from all values: first the block, then the value in it.
int32_t draw_from_all(const Row& row, float temperature, double u) {
  const double total = weigh_blocks(row, temperature), target = u * total;
  double running = 0.0;
  int64_t chosen = row.largest_id / kBlockLogits;
  for (int64_t b = 0; b < row.blocks(); b++) {
    if (running + row.list[b].weight > target) {
      chosen = b;
      break;
    }
    running += row.list[b].weight;
  }
  int32_t last = row.largest_id;
  for (int64_t i = chosen * kBlockLogits; i < (chosen + 1) * kBlockLogits; i += kLanes) {
    float w[kLanes];
    store(w, exp((load(row.values + i) - row.largest) / temperature));
    for (int l = 0; l < kLanes; l++) {
      if (!(w[l] > 0.0f)) continue;
      running += w[l];
      last = int32_t(i + l);
      if (running > target) return last;
    }
  }
  return last;  // rounding of the block's sum
}

int32_t choose(Row& row, const Settings& s) {
  if (s.temperature == 0.0f || row.largest == -__builtin_inff()) return row.largest_id;
  const double u = uniform_draw(s);
  const bool by_count = s.top_k > 0 && s.top_k < row.vocabulary, by_mass = s.top_p < 1.0f, by_ratio = s.min_p > 0.0f;
  if (!by_count && !by_mass && !by_ratio) return draw_from_all(row, s.temperature, u);
  int64_t n;
  double total;
  if (by_count) {
    n = collect_largest(row, s.top_k);
    total = weigh(row, n, s.temperature);
  } else if (by_ratio) {
    // A little below the cut; the weights decide.
    n = collect(row, smaller(row.largest, row.largest + s.temperature * (__builtin_logf(s.min_p) - 1e-3f)));
    total = weigh(row, n, s.temperature);
  } else {
    total = weigh_blocks(row, s.temperature);
    for (float depth : {-5.0f, -12.0f, -20.0f, -__builtin_inff()}) {
      n = collect(row, row.largest + s.temperature * depth);
      if (weigh(row, n, s.temperature) >= s.top_p * total) break;
    }
  }
  if (by_ratio) {
    int64_t kept = 0;
    total = 0.0;
    for (int64_t i = 0; i < n; i++)
      if (row.list[i].weight >= s.min_p || row.list[i].value == row.largest) {
        total += row.list[i].weight;
        row.list[kept++] = row.list[i];
      }
    n = kept;
  }
  if (by_mass) n = keep_until(row, n, find_cut(row, n, s.top_p * total, [](const Candidate& c) { return double(c.weight); }));
  return draw_from_list(row, n, u);
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
