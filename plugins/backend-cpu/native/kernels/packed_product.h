// Products of activations in 8 bits with weights that are packed in their own bits (LF_MATH_INT8).
#pragma once
#include "gemm.h"

namespace lf_cpu {
namespace LF_ISA {

// `product.b` is packed in a block format; k2, runs and b2 are not looked at.
size_t packed_product_scratch(Context& ctx, const Product& product);
// Products of the same rows `a` with several weights of one format, `count` of them, 1 .. kMaxJoint: the rows are rounded once,
// and the panels of all weights are handed out to the threads together. `scratch` is 64-byte aligned and as large as one of the
// products needs. Returns null or the message of ctx.fail.
const char* multiply_packed(Context& ctx, const char* op, const Product* products, int count, void* scratch);

}  // namespace LF_ISA
}  // namespace lf_cpu
