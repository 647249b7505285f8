// The caches of keys and values: [blocks, KV heads, positions of a block, elements of a head].
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

static inline const char* check_cache(Context& ctx, const char* op, const View& k_cache, const View& v_cache) {
  LF_CHECK(expect_float(ctx, op, "k_cache", k_cache));
  LF_CHECK(expect_float(ctx, op, "v_cache", v_cache));
  LF_CHECK(expect_rank(ctx, op, "k_cache", k_cache, 4));
  LF_CHECK(expect_same_shape(ctx, op, "v_cache", v_cache, "k_cache", k_cache));
  LF_CHECK(expect_dense_rows(ctx, op, "k_cache", k_cache));
  return expect_dense_rows(ctx, op, "v_cache", v_cache);
}

}  // namespace LF_ISA
}  // namespace lf_cpu
