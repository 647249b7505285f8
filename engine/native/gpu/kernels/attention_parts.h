// What the attention kernels share.
#pragma once
#include "../device/mma.h"
#include "access.h"
#include "attention.h"

namespace lf_gpu {

constexpr float kNothing = -__builtin_inff();
constexpr int kNoRow = -2147483647;  // in the place of a position

// One sequence of the batch: where its queries and keys lie. Query i has position i + shift.
struct Sequence {
  int64_t first_query, queries, first_key, keys, shift;
};
LF_ON_DEVICE Sequence sequence_of(const AttentionArgs& a, int64_t b) {
  Sequence s;
  s.first_query = load(a.cu_q + b * a.cu_q_stride);
  s.queries = load(a.cu_q + (b + 1) * a.cu_q_stride) - s.first_query;
  s.first_key = a.table ? 0 : load(a.cu_k + b * a.cu_k_stride);
  s.keys = a.table ? load(a.cu_k + b * a.cu_k_stride) : load(a.cu_k + (b + 1) * a.cu_k_stride) - s.first_key;
  s.shift = s.keys - s.queries;
  return s;
}
// Positions are below 2^31.
LF_ON_DEVICE bool sees(const AttentionArgs& a, int query, int key) {
  return (!a.causal || key <= query) && (!a.window || query < key || uint32_t(query - key) < a.window);
}

// The score of a scaled product, and what it grows by with the product.
LF_ON_DEVICE float capped(const AttentionArgs& a, float product) {
  const float z = a.scale * product;
  return a.softcap > 0.0f ? a.softcap * tanh_of(z / a.softcap) : z;
}

// Starts to bring `count` rows of n elements, padded to kWidth with zeros, into tiles of T; memory holds S. `place(i)` is the
// element where row i starts, or negative for none. Where both are the same and rows lie in words, the copy is asynchronous.
template <typename S, typename T, int kWidth, typename Place>
LF_ON_DEVICE void start_rows(const uint8_t* data, int64_t n, bool vector, int count, int stride, Shared<T> tile, Place place) {
  constexpr int kChunks = kWidth / 8;
  const S* from = reinterpret_cast<const S*>(data);
  for (int c = thread_id(); c < count * kChunks; c += block_threads()) {
    const int i = c / kChunks, j = c % kChunks * 8;
    const int64_t row = place(i);
    const Shared<T> to = tile + i * stride + j;
    if (vector && sizeof(S) == sizeof(T)) {
      const bool valid = row >= 0 && j < n;
#pragma unroll
      for (int e = 0; e < 8; e += 16 / int(sizeof(T))) copy_async16(to + e, from + (valid ? row + j + e : 0), valid);
    } else {
      for (int e = 0; e < 8; e++) to[e] = narrow<T>(row >= 0 && j + e < n ? widen(load(from + row + j + e)) : 0.0f);
    }
  }
}

// Brings rows of codes of 8 bits as `start_rows` does rows of floats: an element is *scale_of(i) * code, in T.
template <typename T, int kWidth, typename Place, typename ScaleOf>
LF_ON_DEVICE void start_codes(const uint8_t* data, int64_t n, bool words, int count, int stride, Shared<T> tile, Place place, ScaleOf scale_of) {
  constexpr int kChunks = kWidth / 8;
  for (int c = thread_id(); c < count * kChunks; c += block_threads()) {
    const int i = c / kChunks, j = c % kChunks * 8;
    const int64_t row = place(i);
    uint32_t w[2] = {0, 0};
    float scale = 0.0f;
    if (row >= 0 && j < n) {
      scale = load(scale_of(i));
      if (words) {
        const uint32_t* from = reinterpret_cast<const uint32_t*>(data + row + j);
        w[0] = load(from), w[1] = load(from + 1);
      } else {
        for (int e = 0; e < 8; e++)
          if (j + e < n) w[e / 4] |= uint32_t(load(data + row + j + e)) << (e % 4 * 8);
      }
    }
    const Shared<T> to = tile + i * stride + j;
#pragma unroll
    for (int e = 0; e < 8; e++) to[e] = narrow<T>(scale * float(int8_t(w[e / 4] >> (e % 4 * 8))));
  }
}

// Joins the lanes that hold a row's elements.
template <typename M, typename F>
LF_ON_DEVICE float over_row(float v, F f) {
  for (int d = M::kRowLanes / 2; d > 0; d /= 2) v = f(v, shuffle_xor(v, d));
  return v;
}

}  // namespace lf_gpu
