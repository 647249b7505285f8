// Matrix products over operands of any float dtype, any strides, packed weights and block formats.
//
//   out = activation(alpha * (a b + a2 b2) + bias) + beta * out,   a [m, k], b [k, n], a2 [m, k2], b2 [k2, n]
//
// a2 b2 is the low-rank update of LoRA; it continues the same sums. The work is split into tiles of rows x columns; how
// large these are may depend on the number of threads, because an element's sum does not depend on the tile.
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

// The factor whose elements are broadcast: element (row, k). With `index`, row i lies at index[i].
struct Rows {
  const uint8_t* data = nullptr;
  lf_dtype dtype = LF_F32;
  int64_t row_stride = 0, k_stride = 0;
  const int32_t* index = nullptr;
};

// The factor that is read in panels of columns: element (k, column). Strided floats; rows of a block format along k; or
// a packed weight, whose columns are its N dimension (packed forward) or its K dimension (packed backward).
struct Columns {
  const uint8_t* data = nullptr;
  lf_dtype dtype = LF_F32;
  bool packed = false;
  int64_t column_stride = 0, k_stride = 0;
  int64_t group_bytes = 0;  // from one adapter's matrix to the next
  uint32_t group = 0;       // elements that share a scale, of a packed block format that leaves it open
};

// A run of rows that use the same adapter; -1 is none.
struct RowRun {
  int64_t first, count;
  int32_t adapter;
};

struct Output {
  uint8_t* data = nullptr;  // may be absent when there is a copy
  lf_dtype dtype = LF_F32;
  int64_t row_stride = 0, column_stride = 0;
  const int32_t* index = nullptr;
  float alpha = 1.0f, beta = 0.0f;
  const uint8_t* bias = nullptr;
  lf_dtype bias_dtype = LF_F32;
  int64_t bias_stride = 0;
  uint32_t activation = LF_IDENTITY;
  float* copy = nullptr;  // [m, n] contiguous, row i of the product at row i: copy_scale * (a b)
  float copy_scale = 1.0f;
};

struct Product {
  int64_t m = 0, n = 0, k = 0;
  Rows a;
  Columns b;
  int64_t k2 = 0;
  const float* a2 = nullptr;  // contiguous, not indexed
  Columns b2;
  // Rows by adapter, in order; together they cover all m rows. Without runs every row uses the matrix at b or b2.
  const RowRun* runs = nullptr;
  int64_t run_count = 0;
  bool runs_select_b = false;  // whether the adapter chooses b (and -1 gives zeros) rather than b2
  const float* start = nullptr;  // [m, n] contiguous, where sums begin instead of at 0; k is 0 then
  Output out;
  lf_math math = LF_MATH_F32;
};

// Bytes of scratch shared by the threads of the call that `multiply` needs.
size_t product_scratch(Context& ctx, const Product& product, const Product* factors = nullptr);
// `scratch` is 64-byte aligned. Checks nothing but memory; returns null or the message of ctx.fail.
//
// `factors` is the product that gives a2, its copy: of the same rows a, with few columns, and in the same precision. It is
// formed first, or, where that serves, block by block from the rows as they were laid out for the product itself. The sums
// are the same.
const char* multiply(Context& ctx, const char* op, const Product& product, void* scratch, const Product* factors = nullptr);

// Bytes of a packed matrix of `columns` columns and depth `k`; 0 when it cannot be kept in `dtype`. Block formats keep
// their own bits (packed_format.h), and the functions below are not for them.
uint64_t packed_bytes(lf_dtype dtype, int64_t columns, int64_t k, uint32_t group);
// Lays out columns [first, first + count) x [k0, k0 + depth) of `source` into a packed matrix of dtype `dtype`, of
// `columns` columns and depth `k` in all. `first` is a multiple of the panel's width; k0 is even. `scratch` holds
// pack_scratch(depth) bytes.
void pack_columns(const Columns& source, lf_dtype dtype, int64_t columns, int64_t k, int64_t first, int64_t count,
                  int64_t k0, int64_t depth, uint8_t* packed, float* scratch);
size_t pack_scratch(int64_t depth);
int64_t panel_width();

// Views as operands of a product. `transposed` exchanges the two dimensions of the view.
LF_INLINE Rows rows_of(const View& v, bool transposed = false) {
  Rows r;
  r.data = v.data, r.dtype = v.dtype;
  r.row_stride = v.stride[transposed ? 1 : 0], r.k_stride = v.stride[transposed ? 0 : 1];
  return r;
}
// A weight [columns, k], or [k, columns] when `transposed`.
LF_INLINE Columns columns_of(const View& v, bool transposed = false) {
  Columns c;
  c.data = v.data, c.dtype = v.dtype, c.packed = v.layout != LF_LAYOUT_STRIDED, c.group = v.group;
  c.column_stride = v.stride[transposed ? 1 : 0], c.k_stride = v.stride[transposed ? 0 : 1];
  return c;
}
LF_INLINE Output output_of(const View& v) {
  Output o;
  o.data = v.data, o.dtype = v.dtype, o.row_stride = v.stride[0], o.column_stride = v.stride[1];
  return o;
}

}  // namespace LF_ISA
}  // namespace lf_cpu
