// SAMPLE. Every cut and the draw compare sums that rounding can tip over: where one comes closer than that to its
// threshold, the row's token is not determined, and its magnitude is infinite.
#include <algorithm>
#include <cmath>
#include <limits>

#include "reference.h"

namespace conformance {
namespace {

enum { kLogits, kRows, kHistory, kMask, kBias, kTokens, kLogprob, kTopTokens, kTopLogprobs };

// Relative to the total; sums of up to some thousands of weights in f32.
constexpr double kClose = 1e-5;

struct Candidate {
  int64_t id;
  double value, weight;
};

bool precedes(const Candidate& a, const Candidate& b) { return a.value > b.value || (a.value == b.value && a.id < b.id); }

struct Row {
  const Array& rows;
  int64_t b;
  // The words are read as integers: not every bit pattern survives as a floating-point number.
  uint32_t u(int word) const { return static_cast<uint32_t>(rows.whole(b * LF_SAMPLE_WORDS + word)); }
  double f(int word) const { return bits_float(u(word)); }
};

void penalize(std::vector<double>& z, const Row& row, const Array& history) {
  const int64_t start = row.u(LF_SAMPLE_HISTORY_START), prompt = row.u(LF_SAMPLE_PROMPT_LENGTH);
  const int64_t output = row.u(LF_SAMPLE_OUTPUT_LENGTH);
  std::vector<int> seen(z.size(), 0), drawn(z.size(), 0);
  for (int64_t i = 0; i < prompt + output; i++) {
    const size_t id = static_cast<size_t>(history.whole(start + i));
    seen[id] = 1;
    drawn[id] += i >= prompt;
  }
  for (size_t id = 0; id < z.size(); id++) {
    if (seen[id]) z[id] = z[id] > 0.0 ? z[id] / row.f(LF_SAMPLE_REPETITION) : z[id] * row.f(LF_SAMPLE_REPETITION);
    if (drawn[id]) z[id] -= row.f(LF_SAMPLE_PRESENCE) + row.f(LF_SAMPLE_FREQUENCY) * drawn[id];
  }
}

// Whether rounding could exchange the two.
bool close(double a, double b) { return a != b && std::fabs(a - b) < 1e-5 * (1.0 + std::fabs(a)); }

// Draws from `z`; sets `sure` to false when the outcome hangs on rounding.
int64_t draw(const std::vector<double>& z, const Row& row, bool* sure) {
  std::vector<Candidate> list;
  for (size_t id = 0; id < z.size(); id++) {
    if (z[id] > -INFINITY) list.push_back({static_cast<int64_t>(id), z[id], 0.0});
  }
  std::sort(list.begin(), list.end(), precedes);
  const double temperature = row.f(LF_SAMPLE_TEMPERATURE);
  if (temperature == 0.0) {
    *sure = list.size() < 2 || !close(list[0].value, list[1].value);
    return list[0].id;
  }
  for (Candidate& c : list) c.weight = std::exp((c.value - list[0].value) / temperature);
  const size_t top_k = row.u(LF_SAMPLE_TOP_K);
  if (top_k > 0 && top_k < list.size()) {
    if (close(list[top_k - 1].value, list[top_k].value)) *sure = false;
    list.resize(top_k);
  }
  const double min_p = row.f(LF_SAMPLE_MIN_P), top_p = row.f(LF_SAMPLE_TOP_P);
  if (min_p > 0.0) {
    for (const Candidate& c : list) *sure &= std::fabs(c.weight - min_p) > kClose * min_p;
    while (list.size() > 1 && list.back().weight < min_p) list.pop_back();
  }
  double total = 0.0;
  for (const Candidate& c : list) total += c.weight;
  if (top_p < 1.0) {
    double running = 0.0;
    size_t kept = 0;
    while (kept < list.size()) {
      running += list[kept++].weight;
      if (std::fabs(running - top_p * total) < kClose * total) *sure = false;
      if (running >= top_p * total) break;
    }
    list.resize(kept);
    total = running;
  }
  std::sort(list.begin(), list.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  const PhiloxBlock block = philox(row.u(LF_SAMPLE_SEED_LO), row.u(LF_SAMPLE_SEED_HI), row.u(LF_SAMPLE_POSITION), 0, 0, 0);
  const double u = ((block.word[0] >> 5) * 67108864.0 + (block.word[1] >> 6)) * 0x1p-53;
  double running = 0.0;
  for (const Candidate& c : list) {
    running += c.weight;
    if (std::fabs(running - u * total) < kClose * total) *sure = false;
    if (running > u * total) return c.id;
  }
  *sure = false;
  return list.back().id;
}

}  // namespace

void reference_sample(const Params& p, Array* o) {
  const int64_t vocabulary = o[kLogits].columns(), top_n = p.u(0);
  for (int64_t b = 0; b < o[kLogits].rows(); b++) {
    const Row row{o[kRows], b};
    const uint32_t flags = row.u(LF_SAMPLE_FLAGS);
    std::vector<double> z(static_cast<size_t>(vocabulary));
    double largest = -INFINITY, total = 0.0;
    for (int64_t i = 0; i < vocabulary; i++) {
      const double bias = o[kBias].present && (flags & 2) ? o[kBias].at(b * vocabulary + i) : 0.0;
      z[static_cast<size_t>(i)] = o[kLogits].at(b * vocabulary + i) + bias;
      largest = std::max(largest, z[static_cast<size_t>(i)]);
    }
    for (double v : z) total += std::exp(v - largest);
    const double lse = largest + std::log(total);
    std::vector<Candidate> order;
    for (size_t i = 0; i < z.size(); i++) order.push_back({static_cast<int64_t>(i), z[i], 0.0});
    std::sort(order.begin(), order.end(), precedes);
    for (int64_t i = 0; i < top_n; i++) {
      const Candidate& c = order[static_cast<size_t>(i)];
      // What follows the last token that is possible at all is not said.
      bool sure = c.value > -INFINITY;
      for (int64_t j : {i - 1, i + 1}) {
        if (j >= 0 && j < vocabulary && close(c.value, order[static_cast<size_t>(j)].value)) sure = false;
      }
      o[kTopTokens].set(b * top_n + i, static_cast<double>(c.id), sure ? 0.0 : INFINITY);
      o[kTopLogprobs].set(b * top_n + i, c.value - lse, c.value > -INFINITY ? std::fabs(c.value) + std::fabs(lse) + 1.0 : INFINITY);
    }
    std::vector<double> chosen = z;
    if (row.u(LF_SAMPLE_PROMPT_LENGTH) + row.u(LF_SAMPLE_OUTPUT_LENGTH) > 0) penalize(chosen, row, o[kHistory]);
    if (o[kMask].present && (flags & 1)) {
      const int64_t words = o[kMask].columns();
      for (int64_t i = 0; i < vocabulary; i++) {
        if (!(static_cast<uint32_t>(o[kMask].at(b * words + i / 32)) >> (i % 32) & 1)) chosen[static_cast<size_t>(i)] = -INFINITY;
      }
    }
    bool sure = true;
    const int64_t token = draw(chosen, row, &sure);
    const double value = z[static_cast<size_t>(token)] - lse;
    o[kTokens].set(b, static_cast<double>(token), sure ? 0.0 : INFINITY);
    o[kLogprob].set(b, value, sure ? std::fabs(value) + std::fabs(lse) + 1.0 : INFINITY);
  }
}

}  // namespace conformance
