// The caches of keys and values: [blocks, KV heads, positions of a block, elements of a head], as floats, or as codes of
// 8 bits with a scale for each position and head.
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

static inline const char* check_cache_scale(Context& ctx, const char* op, const char* name, const View& scale,
                                            const View& cache) {
  if (cache.dtype != LF_I8)
    return scale.present() ? ctx.fail(LF_INVALID, "%s: operand %s is given, but the cache is %s; only one of i8 has scales",
                                      op, name, dtype_name(cache.dtype))
                           : nullptr;
  LF_CHECK(expect_dtype(ctx, op, name, scale, LF_F32));
  LF_CHECK(expect_shape(ctx, op, name, scale, cache.shape[0], cache.shape[1], cache.shape[2]));
  return expect_dense_rows(ctx, op, name, scale);
}

static inline const char* check_cache(Context& ctx, const char* op, const View& k_cache, const View& v_cache,
                                      const View& k_scale, const View& v_scale) {
  if (k_cache.present() && k_cache.dtype == LF_I8) {
    LF_CHECK(expect_dtype(ctx, op, "k_cache", k_cache, LF_I8));
    LF_CHECK(expect_dtype(ctx, op, "v_cache", v_cache, LF_I8));
  } else {
    LF_CHECK(expect_float(ctx, op, "k_cache", k_cache));
    LF_CHECK(expect_float(ctx, op, "v_cache", v_cache));
  }
  LF_CHECK(expect_rank(ctx, op, "k_cache", k_cache, 4));
  LF_CHECK(expect_same_shape(ctx, op, "v_cache", v_cache, "k_cache", k_cache));
  LF_CHECK(expect_dense_rows(ctx, op, "k_cache", k_cache));
  LF_CHECK(expect_dense_rows(ctx, op, "v_cache", v_cache));
  LF_CHECK(check_cache_scale(ctx, op, "k_scale", k_scale, k_cache));
  return check_cache_scale(ctx, op, "v_scale", v_scale, v_cache);
}

}  // namespace LF_ISA
}  // namespace lf_cpu
