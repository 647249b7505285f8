// KV_WRITE and KV_COPY_BLOCKS.
#include "kv_cache.h"

#include "kv_codes.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

const char* check_kv_write(Context& ctx, const uint32_t*, const View* o, int) {
  const char* op = "KV_WRITE";
  const View &k = o[0], &v = o[1], &slots = o[2], &k_cache = o[3];
  LF_CHECK(check_cache(ctx, op, k_cache, o[4], o[5], o[6]));
  LF_CHECK(expect_float(ctx, op, "k", k));
  LF_CHECK(expect_float(ctx, op, "v", v));
  LF_CHECK(expect_rank(ctx, op, "k", k, 3));
  LF_CHECK(expect_shape(ctx, op, "k", k, k.shape[0], k_cache.shape[1], k_cache.shape[3]));
  LF_CHECK(expect_same_shape(ctx, op, "v", v, "k", k));
  LF_CHECK(expect_dtype(ctx, op, "slots", slots, LF_I32));
  return expect_shape(ctx, op, "slots", slots, k.shape[0]);
}

const char* kv_write(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_kv_write(ctx, params, o, count));
  const View& slots = o[2];
  const int64_t tokens = o[0].shape[0], heads = o[3].shape[1], block = o[3].shape[2], n = o[3].shape[3];
  const int64_t capacity = o[3].shape[0] * block;
  for (int64_t t = 0; t < tokens; t++) {
    const int32_t slot = slots.as<const int32_t>()[t * slots.stride[0]];
    if (slot < -1 || slot >= capacity)
      return ctx.fail(LF_INVALID, "KV_WRITE: slot %d of token %lld is outside of the cache of %lld positions", slot,
                      (long long)t, (long long)capacity);
  }
  const size_t bytes = round_up(larger<int64_t>(n, 1), 16) * 4;
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, bytes)) return out_of_scratch(ctx, "KV_WRITE", bytes);
  constexpr int64_t step = 16;
  ctx.for_each(ceil_div(tokens, step), [&](int64_t task, int worker) {
    float* scratch = static_cast<float*>(ctx.local(worker, bytes));
    for (int64_t t = task * step; t < smaller(tokens, (task + 1) * step); t++) {
      const int64_t slot = slots.as<const int32_t>()[t * slots.stride[0]];
      if (slot < 0) continue;
      for (int which = 0; which < 2; which++) {
        const View &src = o[which], &dst = o[3 + which];
        for (int64_t h = 0; h < heads; h++) {
          const float* row = read_row(src, t * src.stride[0] + h * src.stride[1], n, src.stride[2], scratch);
          const int64_t at = slot / block * dst.stride[0] + h * dst.stride[1] + slot % block * dst.stride[2];
          if (dst.dtype != LF_I8) {
            write_row(dst, at, n, 1, row);
            continue;
          }
          const View& scale = o[5 + which];
          scale.as<float>()[slot / block * scale.stride[0] + h * scale.stride[1] + slot % block * scale.stride[2]] =
              encode_codes(row, n, dst.as<code8>() + at);
        }
      }
    }
  });
  return nullptr;
}

const char* check_kv_copy_blocks(Context& ctx, const uint32_t*, const View* o, int) {
  LF_CHECK(check_cache(ctx, "KV_COPY_BLOCKS", o[0], o[1], o[3], o[4]));
  LF_CHECK(expect_dtype(ctx, "KV_COPY_BLOCKS", "pairs", o[2], LF_I32));
  return expect_shape(ctx, "KV_COPY_BLOCKS", "pairs", o[2], o[2].shape[0], 2);
}

const char* kv_copy_blocks(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_kv_copy_blocks(ctx, params, o, count));
  const View& pairs = o[2];
  auto block_of = [&](int64_t i, int64_t side) {
    return int64_t(pairs.as<const int32_t>()[i * pairs.stride[0] + side * pairs.stride[1]]);
  };
  for (int64_t i = 0; i < pairs.shape[0]; i++)
    for (int side = 0; side < 2; side++)
      if (block_of(i, side) < 0 || block_of(i, side) >= o[0].shape[0])
        return ctx.fail(LF_INVALID, "KV_COPY_BLOCKS: block %lld of pair %lld is outside of the cache of %lld blocks",
                        (long long)block_of(i, side), (long long)i, (long long)o[0].shape[0]);
  const int64_t heads = o[0].shape[1], rows = o[0].shape[2], n = o[0].shape[3];
  // A task owns one head of one cache, and does its pairs in order: a later pair may read what an earlier one wrote.
  ctx.for_each(2 * heads, [&](int64_t task, int) {
    const View &cache = o[task / heads], &scale = o[3 + task / heads];
    const int size = element_bytes(cache.dtype);
    uint8_t* base = cache.data + task % heads * cache.stride[1] * size;
    for (int64_t i = 0; i < pairs.shape[0]; i++) {
      for (int64_t r = 0; r < rows; r++)
        __builtin_memmove(base + (block_of(i, 1) * cache.stride[0] + r * cache.stride[2]) * size,
                          base + (block_of(i, 0) * cache.stride[0] + r * cache.stride[2]) * size, n * size);
      if (!scale.present()) continue;
      float* scales = scale.as<float>() + task % heads * scale.stride[1];
      __builtin_memmove(scales + block_of(i, 1) * scale.stride[0], scales + block_of(i, 0) * scale.stride[0],
                        rows * sizeof(float));
    }
  });
  return nullptr;
}

}  // namespace

void register_kv_cache(KernelTable& table) {
  table.entry[LF_OP_KV_WRITE] = {kv_write, check_kv_write};
  table.entry[LF_OP_KV_COPY_BLOCKS] = {kv_copy_blocks, check_kv_copy_blocks};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
