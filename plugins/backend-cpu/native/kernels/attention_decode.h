// A few rows of queries against cached keys and values as they lie: each key and value is read once for all rows.
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

// Positions that one decoding task covers.
constexpr int64_t kRun = 256;
// Rows of queries that are held in registers against four keys, or four vectors of a value.
constexpr int kDecodeRows = LF_ISA_LEVEL >= 2 ? 4 : 2;

// Fetches what lies kAheadBytes behind `bytes` bytes: the heads of a block follow each other, so that it is read soon. The
// loops below take vectors of several rows at a time, not in the order of their addresses, which the processor's own
// prefetching would need.
constexpr int64_t kAheadBytes = 4096;
LF_INLINE void prefetch_ahead(const void* p, int64_t bytes) {
  const char* ahead = static_cast<const char*>(p) + kAheadBytes;
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(ahead + at);
}

// scores[r][j] = query[r] . keys[j] for `rows` rows and `count` keys, `stride` elements apart. Queries are padded with
// zeros to `padded` elements, a multiple of kLanes.
template <int rows, typename T>
LF_INLINE void score_keys(const float* query, int64_t padded, int64_t n, const T* keys, int64_t count, int64_t stride,
                          float* scores) {
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t j = 0; j < count; j += 4) {
    const T* key[4];  // the last key stands in for those beyond the end
    for (int u = 0; u < 4; u++) key[u] = keys + smaller(j + u, count - 1) * stride;
    prefetch_ahead(key[0], 4 * n * sizeof(T));
    f32v acc[rows][4] = {};
    auto step = [&](int64_t c, int64_t lanes) {
      f32v x[4];
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) x[u] = load_lanes(key[u] + c, lanes);
#pragma GCC unroll 4
      for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int u = 0; u < 4; u++) acc[r][u] = fma(load(query + r * padded + c), x[u], acc[r][u]);
    };
    for (int64_t c = 0; c < whole; c += kLanes) step(c, kLanes);
    if (whole < n) step(whole, n - whole);
    for (int r = 0; r < rows; r++) sum4(acc[r], scores + r * kRun + j);
  }
}

// out[r] += sum over j of weights[r][j] * values[j], four vectors of the value at a time.
template <int rows, int vectors, typename T>
LF_INLINE void add_value_columns(const float* weights, const T* values, int64_t count, int64_t stride, int64_t lanes,
                                 float* const* out) {
  f32v acc[rows][vectors];
#pragma GCC unroll 4
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) acc[r][v] = load(out[r] + v * kLanes);
  for (int64_t j = 0; j < count; j++) {
    prefetch_ahead(values + j * stride, vectors * kLanes * sizeof(T));
    f32v x[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) x[v] = load_lanes(values + j * stride + v * kLanes, v + 1 < vectors ? kLanes : lanes);
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; v++) acc[r][v] = fma(broadcast(weights[r * kRun + j]), x[v], acc[r][v]);
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) store(out[r] + v * kLanes, acc[r][v]);
}
template <int rows, typename T>
LF_INLINE void add_values(const float* weights, const T* values, int64_t n, int64_t count, int64_t stride,
                          float* const* out) {
  float* at[rows];
  for (int r = 0; r < rows; r++) at[r] = out[r];
  int64_t c = 0;
  for (; c + 4 * kLanes <= n; c += 4 * kLanes) {
    add_value_columns<rows, 4>(weights, values + c, count, stride, kLanes, at);
    for (int r = 0; r < rows; r++) at[r] += 4 * kLanes;
  }
  for (; c < n; c += kLanes) {
    add_value_columns<rows, 1>(weights, values + c, count, stride, smaller<int64_t>(kLanes, n - c), at);
    for (int r = 0; r < rows; r++) at[r] += kLanes;
  }
}

template <int count>
struct RowCount {
  static constexpr int value = count;
};
// Calls f(first, RowCount<n>{}) for groups of at most kDecodeRows rows.
template <typename F>
LF_INLINE void for_row_groups(int64_t rows, F&& f) {
  for (int64_t r = 0; r < rows; r += kDecodeRows) {
    const int64_t rest = rows - r;
    if (rest == 1) f(r, RowCount<1>{});
    else if (kDecodeRows == 2 || rest == 2) f(r, RowCount<2>{});
    else if (rest == 3) f(r, RowCount<3>{});
    else f(r, RowCount<kDecodeRows>{});
  }
}

}  // namespace LF_ISA
}  // namespace lf_cpu
