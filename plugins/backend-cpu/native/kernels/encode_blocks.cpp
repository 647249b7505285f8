// ENCODE_BLOCKS: weights in the GGUF block formats.
#include "quant_formats.h"

#define LF_ENCODER
#include "../../../../engine/native/formats/encode_blocks.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

struct Numbers {
  static float abs(float v) { return __builtin_fabsf(v); }
  static float floor(float v) { return __builtin_floorf(v); }
  static float round(float v) { return __builtin_roundf(v); }
  static float from_half(uint16_t bits) { return widen(f16{bits}); }
  static uint16_t half(float v) {
    const f16 h = narrow<f16>(v);
    uint16_t bits;
    __builtin_memcpy(&bits, &h, 2);
    return bits;
  }
};
using Encoder = lf::BlockEncoder<Numbers>;

const char* check(Context& ctx, const uint32_t*, const View* o, int) {
  const char* op = "ENCODE_BLOCKS";
  const View &src = o[0], &importance = o[1], &dst = o[2];
  LF_CHECK(expect_float(ctx, op, "src", src));
  LF_CHECK(expect_rank(ctx, op, "src", src, 2));
  LF_CHECK(expect_present(ctx, op, "dst", dst));
  if (block_elements(dst.dtype) == 0 || dst.dtype == LF_Q4_Z) return ctx.fail(LF_INVALID, "%s: operand dst is %s, expected a block format", op, dtype_name(dst.dtype));
  LF_CHECK(expect_same_shape(ctx, op, "dst", dst, "src", src));
  if (!importance.present()) return nullptr;
  LF_CHECK(expect_dtype(ctx, op, "importance", importance, LF_F32));
  return expect_shape(ctx, op, "importance", importance, src.shape[1]);
}

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  const View &src = o[0], &importance = o[1], &dst = o[2];
  const int64_t k = src.shape[1], elements = block_elements(dst.dtype), bytes = block_bytes(dst.dtype);
  const size_t row_bytes = size_t(larger<int64_t>(k, 1)) * 4;
  float* const weights = static_cast<float*>(ctx.shared(row_bytes));
  if (!weights) return out_of_scratch(ctx, "ENCODE_BLOCKS", row_bytes);
  for (int64_t i = 0; i < k; i++) weights[i] = importance.present() ? importance.as<const float>()[i * importance.stride[0]] : 1.0f;
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, row_bytes)) return out_of_scratch(ctx, "ENCODE_BLOCKS", row_bytes);
  ctx.for_each(src.shape[0], [&](int64_t row, int worker) {
    const float* x = read_row(src, row * src.stride[0], k, src.stride[1], static_cast<float*>(ctx.local(worker, row_bytes)));
    uint8_t* block = dst.data + row * (k / elements) * bytes;
    for (int64_t i = 0; i < k; i += elements, block += bytes) Encoder::encode(dst.dtype, x + i, weights + i, block);
  });
  return nullptr;
}

}  // namespace

void register_encode_blocks(KernelTable& table) { table.entry[LF_OP_ENCODE_BLOCKS] = {run, check}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
