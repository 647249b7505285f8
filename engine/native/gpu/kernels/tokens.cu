// EMBEDDING, its gradient, GATHER_COLUMNS, ROPE, KV_WRITE and KV_COPY_BLOCKS.
#include "tokens.h"

#include "block_formats.h"

namespace lf_gpu {

// One block for each token.
LF_KERNEL(embedding, EmbeddingArgs, kTokenThreads) {
  const int32_t id = index_at(a.ids, block_x(), a.id_stride);
  const Row out = row_of(a.out, block_x());
  const bool blocks = is_block_format(a.table.dtype);
  for_row8(a.n, [&](int64_t first) {
    float v[8], old[8];
    if (blocks) decode8(a.table.dtype, a.table.data, int64_t(id) * a.n + first, v);
    else row_of(a.table, id).read(first, a.n, v);
    if (a.accumulate) out.read(first, a.n, old);
    for (int i = 0; i < 8; i++) v[i] = v[i] * a.scale + (a.accumulate ? old[i] : 0.0f);
    out.write(first, a.n, v);
  });
}

// The block of an id's first token adds up the rows of all its tokens, in their order.
LF_KERNEL(embedding_gradient, EmbeddingArgs, kTokenThreads) {
  const int64_t t = block_x();
  const int32_t id = index_at(a.ids, t, a.id_stride);
  if (id < 0) return;
  // Every thread looks for itself: a few words that lie in the cache.
  for (int64_t before = 0; before < t; before++)
    if (index_at(a.ids, before, a.id_stride) == id) return;
  const Row row = row_of(a.out, id);
  for_row8(a.n, [&](int64_t first) {
    float sum[8];
    row.read(first, a.n, sum);
    for (int64_t other = t; other < a.tokens; other++) {
      if (index_at(a.ids, other, a.id_stride) != id) continue;
      float v[8];
      row_of(a.table, other).read(first, a.n, v);
      for (int i = 0; i < 8; i++) sum[i] += v[i] * a.scale;
    }
    row.write(first, a.n, sum);
  });
}

// One block for each row.
LF_KERNEL(gather_columns, GatherArgs, kTokenThreads) {
  const int64_t m = block_x(), row = m * a.x.stride[2];
  const Row out = row_of(a.out, m);
  for_row8(a.n, [&](int64_t first) {
    float v[8] = {};
    for (int i = 0; i < 8 && first + i < a.n; i++)
      v[i] = read_float(a.x.data, a.x.dtype, row + int64_t(index_at(a.index, first + i, a.index_stride)) * a.x.stride[3]);
    out.write(first, a.n, v);
  });
}

LF_ON_DEVICE float head_element(const Operand& o, int64_t t, int64_t h, int64_t i) {
  return read_float(o.data, o.dtype, t * o.stride[1] + h * o.stride[2] + i * o.stride[3]);
}
LF_ON_DEVICE void set_head_element(const Operand& o, int64_t t, int64_t h, int64_t i, float v) {
  write_float(o.data, o.dtype, t * o.stride[1] + h * o.stride[2] + i * o.stride[3], v);
}

// One block for each token. Angles grow with the position, and their sine must not lose its digits: they are formed in
// double precision and brought into one turn first.
LF_KERNEL(rope, RopeArgs, kTokenThreads) {
  const int64_t t = block_x();
  const double position = index_at(a.positions, t, a.position_stride);
  for (int64_t i = thread_id(); i < a.half; i += block_threads()) {
    const double angle = position * double(load(a.frequencies + t * a.frequency_token_stride + i * a.frequency_stride));
    constexpr double kTurn = 6.283185307179586477;
    const double within = angle - kTurn * double(int64_t(angle / kTurn));
    const float cosine = cos_of(float(within)) * a.scale, sine = float(a.sign) * sin_of(float(within)) * a.scale;
    const int64_t p = a.interleaved ? 2 * i : i, q = a.interleaved ? 2 * i + 1 : i + a.half;
    for (int64_t h = 0; h < a.heads; h++) {
      const float x = head_element(a.x, t, h, p), y = head_element(a.x, t, h, q);
      set_head_element(a.out, t, h, p, x * cosine - y * sine);
      set_head_element(a.out, t, h, q, y * cosine + x * sine);
    }
  }
  if (a.x.data == a.out.data) return;
  const int64_t rest = a.n - 2 * a.half;
  for (int64_t i = thread_id(); i < rest * a.heads; i += block_threads()) {
    const int64_t h = i / rest, d = 2 * a.half + i % rest;
    set_head_element(a.out, t, h, d, head_element(a.x, t, h, d));
  }
}

LF_ON_DEVICE int64_t cache_row(const Operand& cache, int64_t block, int64_t head, int64_t position) {
  return block * cache.stride[0] + head * cache.stride[1] + position * cache.stride[2];
}

LF_ON_DEVICE float* cache_scale(const Operand& scale, int64_t block, int64_t head, int64_t position) {
  return reinterpret_cast<float*>(scale.data) + block * scale.stride[1] + head * scale.stride[2] + position * scale.stride[3];
}

// Rounds a head of a token to codes of 8 bits: scale = largest / 127 in magnitude, below 2^-100 zero; what is not finite makes the
// scale NaN. One warp.
LF_ON_DEVICE void write_codes(const Operand& x, const Operand& cache, int64_t t, int64_t h, int64_t first, float* scale) {
  const int64_t n = cache.shape[3];
  float largest = 0.0f, taint = 0.0f;
  for (int64_t d = lane_id(); d < n; d += kWarp) {
    const float v = head_element(x, t, h, d), size = abs_of(v);
    largest = size > largest ? size : largest;
    taint += v * 0.0f;
  }
  largest = warp_max(largest), taint = warp_sum(taint);
  const bool zero = !(largest >= 7.888609052210118e-31f), whole = taint == 0.0f;
  const float inverse = zero || !whole ? 0.0f : 127.0f / largest;
  int8_t* codes = reinterpret_cast<int8_t*>(cache.data);
  for (int64_t d = lane_id(); d < n; d += kWarp)
    store(codes + first + d * cache.stride[3], int8_t(whole ? round_of(head_element(x, t, h, d) * inverse) : 0.0f));
  if (lane_id() == 0) store(scale, zero ? taint : largest / 127.0f + taint);
}

// One block for each token.
LF_KERNEL(kv_write, KvArgs, kTokenThreads) {
  const int64_t t = block_x();
  const int32_t slot = index_at(a.index, t, a.index_stride);
  if (slot < 0) return;
  const int64_t heads = a.k_cache.shape[1], n = a.k_cache.shape[3];
  const int64_t block = slot / a.k_cache.shape[2], position = slot % a.k_cache.shape[2];
  if (a.k_scale.data) {
    for (int64_t r = thread_id() / kWarp; r < 2 * heads; r += block_threads() / kWarp) {
      const int64_t h = r % heads;
      if (r < heads) write_codes(a.k, a.k_cache, t, h, cache_row(a.k_cache, block, h, position), cache_scale(a.k_scale, block, h, position));
      else write_codes(a.v, a.v_cache, t, h, cache_row(a.v_cache, block, h, position), cache_scale(a.v_scale, block, h, position));
    }
    return;
  }
  for (int64_t i = thread_id(); i < heads * n; i += block_threads()) {
    const int64_t h = i / n, d = i % n;
    write_float(a.k_cache.data, a.k_cache.dtype, cache_row(a.k_cache, block, h, position) + d * a.k_cache.stride[3], head_element(a.k, t, h, d));
    write_float(a.v_cache.data, a.v_cache.dtype, cache_row(a.v_cache, block, h, position) + d * a.v_cache.stride[3], head_element(a.v, t, h, d));
  }
}

// One block for each pair and cache.
LF_KERNEL(kv_copy_blocks, KvArgs, kTokenThreads) {
  const int32_t from = load(a.index + block_x() * a.index_stride), to = load(a.index + block_x() * a.index_stride + a.pair_stride);
  const Operand& cache = block_y() ? a.v_cache : a.k_cache;
  const int64_t n = cache.shape[3], rows = int64_t(cache.shape[1]) * cache.shape[2];
  for (int64_t i = thread_id(); i < rows * n; i += block_threads()) {
    const int64_t row = i / n, d = i % n, head = row / cache.shape[2], position = row % cache.shape[2];
    if (a.k_scale.data) {
      const int64_t source = cache_row(cache, from, head, position) + d * cache.stride[3];
      store(cache.data + cache_row(cache, to, head, position) + d * cache.stride[3], load(cache.data + source));
      const Operand& scale = block_y() ? a.v_scale : a.k_scale;
      if (d == 0) store(cache_scale(scale, to, head, position), load(cache_scale(scale, from, head, position)));
      continue;
    }
    const float v = read_float(cache.data, cache.dtype, cache_row(cache, from, head, position) + d * cache.stride[3]);
    write_float(cache.data, cache.dtype, cache_row(cache, to, head, position) + d * cache.stride[3], v);
  }
}

}  // namespace lf_gpu
