// What the checks of ops share, and how operands reach kernels.
#pragma once
#include <algorithm>
#include <initializer_list>

#include "../runtime/context.h"

namespace lf_gpu {

inline bool is_float(const View& v) { return v.dtype == LF_F32 || v.dtype == LF_BF16 || v.dtype == LF_F16; }
inline bool is_blocks(uint32_t dtype) { return dtype >= LF_Q4_0 && dtype <= LF_Q4_Z; }
inline int64_t block_extent(uint32_t dtype) { return dtype >= LF_Q4_K && dtype <= LF_Q6_K ? 256 : 32; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Each is null when the operand is as it must be, else the message.
const char* expect_strided(Context& c, const View& v, const char* name);
const char* expect_float(Context& c, const View& v, const char* name);
const char* expect_dtype(Context& c, const View& v, const char* name, lf_dtype dtype);
const char* expect_shape(Context& c, const View& v, const char* name, std::initializer_list<int64_t> shape);
const char* expect_rank(Context& c, const View& v, const char* name, int low, int high);
const char* expect_same_shape(Context& c, const View& v, const char* name, const View& other, const char* other_name);
// Float, and of that shape.
const char* expect_floats(Context& c, const View& v, const char* name, std::initializer_list<int64_t> shape);
// Indices: i32, and of that shape.
const char* expect_indices(Context& c, const View& v, const char* name, std::initializer_list<int64_t> shape);
// Elements along the last dimension lie next to each other.
const char* expect_dense_rows(Context& c, const View& v, const char* name);
const char* expect_contiguous(Context& c, const View& v, const char* name);

// Scales of a cache [blocks, heads, block, n] of i8: f32, for each position and head, the last dimension dense. Others have none.
const char* expect_cache_scale(Context& c, const View& scale, const char* name, const View& cache);

bool is_contiguous(const View& v);

// The operand as elementwise kernels get it: dimensions that lie as one are joined.
Operand elements_of(const View& v);
// The same with the last dimension kept apart.
Operand rows_of(const View& v);
// An operand over memory of ours: `rows` rows of `columns` elements.
Operand matrix_of(void* data, lf_dtype dtype, int64_t rows, int64_t columns);
inline int64_t row_count(const View& v) { return v.rank == 0 || v.shape[v.rank - 1] == 0 ? 0 : v.elements() / v.shape[v.rank - 1]; }

// Threads for `work` pieces in a block: whole warps, at most `most`.
inline uint32_t threads_for(const Context& c, int64_t work, uint32_t most) {
  const int64_t warp = c.info().warp;
  return static_cast<uint32_t>(std::min<int64_t>(most, round_up(std::max<int64_t>(work, 1), warp)));
}
// A grid for elementwise work: enough to fill the device, and no more.
inline Grid grid_for(const Context& c, int64_t blocks) {
  return {static_cast<uint32_t>(std::min<int64_t>(std::max<int64_t>(blocks, 0), int64_t{32} * c.info().units + 1))};
}

}  // namespace lf_gpu
