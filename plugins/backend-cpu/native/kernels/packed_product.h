// Products of activations in 8 bits with weights that are packed in their own bits (LF_MATH_INT8).
#pragma once
#include "gemm.h"

namespace lf_cpu {
namespace LF_ISA {

// `product.b` is packed in a block format; k2, runs and b2 are not looked at.
size_t packed_product_scratch(Context& ctx, const Product& product);
// `scratch` is 64-byte aligned. Returns null or the message of ctx.fail.
const char* multiply_packed(Context& ctx, const char* op, const Product& product, void* scratch);

}  // namespace LF_ISA
}  // namespace lf_cpu
