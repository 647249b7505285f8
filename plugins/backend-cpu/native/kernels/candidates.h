// The logits of one row, and how the best of them are found without sorting.
//
// Candidates are ordered by value, on a tie by the lower id; every cut keeps a prefix of that order. Maxima of blocks of
// logits give a threshold above which few candidates lie, and quickselect finds the cut among them.
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

constexpr int64_t kBlockLogits = 64;

struct Candidate {
  float value;   // the logit after penalties and mask
  float weight;  // exp((value - largest) / temperature)
  int32_t id;
};
LF_INLINE bool precedes(const Candidate& a, const Candidate& b) {
  return a.value > b.value || (a.value == b.value && a.id < b.id);
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

static inline size_t carve_row(uint8_t* base, int64_t vocabulary, Row* row) {
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
static inline void find_maxima(Row& row) {
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
static inline double log_sum_exp(const Row& row) {
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
static inline int64_t collect(const Row& row, float threshold) {
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
static inline int64_t partition(Candidate* c, int64_t begin, int64_t end) {
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
LF_INLINE Candidate find_cut(const Row& row, int64_t n, double target, Measure&& measure) {
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
static inline int64_t keep_until(const Row& row, int64_t n, const Candidate& cut) {
  int64_t kept = 0;
  for (int64_t i = 0; i < n; i++)
    if (!precedes(cut, row.list[i])) row.list[kept++] = row.list[i];
  return kept;
}

// A value that at least k values reach: the k-th largest of the blocks' maxima.
static inline float threshold_of_largest(const Row& row, int64_t k) {
  if (k > row.blocks()) return -__builtin_inff();
  for (int64_t b = 0; b < row.blocks(); b++) row.list[b] = {row.maxima[b], 0.0f, int32_t(b)};
  return find_cut(row, row.blocks(), double(k), [](const Candidate&) { return 1.0; }).value;
}

// The k best candidates, in the order of ids.
static inline int64_t collect_largest(const Row& row, int64_t k) {
  const int64_t n = collect(row, threshold_of_largest(row, k));
  if (n <= k) return n;
  return keep_until(row, n, find_cut(row, n, double(k), [](const Candidate&) { return 1.0; }));
}

}  // namespace LF_ISA
}  // namespace lf_cpu
