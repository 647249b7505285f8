// Choosing and launching the kernel of a matrix product.
#pragma once
#include "../kernels/gemm.h"
#include "checks.h"

namespace lf_gpu {

// A strided float matrix whose rows are dimension `row` of the view and whose depth is the other of its last two.
MatrixSource source_of(const View& v, int row, int depth);
// A weight [N, K] as y = x w^T reads it (forward: rows N, depth K) or dx = dy w does (rows K, depth N), in any layout.
MatrixSource weight_source(const View& w, bool forward);
// Dense memory of ours.
MatrixSource dense_source(const void* data, lf_dtype dtype, int64_t stride);

// In which precision operands of these types are multiplied. `exact`: a second pair continues the sums in f32.
lf_dtype product_type(uint32_t math, uint32_t a, uint32_t b, bool exact);

// Launches out = ... as `args` say. The second pair, where there is one, is brought into the form that the kernel needs.
const char* multiply(Context& c, GemmArgs args, uint32_t math);
// The output: y [M, N].
void set_output(GemmArgs& args, const View& y);

const char* expect_matrix(Context& c, const View& v, const char* name, int64_t rows, int64_t columns);
// A weight [N, K]: strided floats, a block format where `blocks`, or packed as `layout`.
const char* expect_weight(Context& c, const View& w, const char* name, lf_layout layout, bool blocks);
const char* expect_math(Context& c, uint32_t math);

}  // namespace lf_gpu
