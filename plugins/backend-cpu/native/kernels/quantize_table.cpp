// QUANTIZE_TABLE: the codes of a weight whose values are those of a table, scaled in blocks.
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr const char* kOp = "QUANTIZE_TABLE";
constexpr int kCodes = 16;
constexpr int64_t kTaskBlocks = 256;

const char* check(Context& ctx, const uint32_t* params, const View* o, int) {
  const View &x = o[0], &table = o[1], &codes = o[2], &absmax = o[3];
  const int64_t block = params[0], n = element_count(x);
  if (block == 0 || block % 2) return ctx.fail(LF_INVALID, "%s: blocks of %lld elements; an even number is possible", kOp, (long long)block);
  LF_CHECK(expect_dtype(ctx, kOp, "x", x, LF_F32));
  LF_CHECK(expect_contiguous(ctx, kOp, "x", x));
  LF_CHECK(expect_dtype(ctx, kOp, "table", table, LF_F32));
  LF_CHECK(expect_shape(ctx, kOp, "table", table, kCodes));
  LF_CHECK(expect_contiguous(ctx, kOp, "table", table));
  LF_CHECK(expect_dtype(ctx, kOp, "codes", codes, LF_U8));
  LF_CHECK(expect_shape(ctx, kOp, "codes", codes, ceil_div(n, 2)));
  LF_CHECK(expect_contiguous(ctx, kOp, "codes", codes));
  LF_CHECK(expect_dtype(ctx, kOp, "absmax", absmax, LF_F32));
  LF_CHECK(expect_shape(ctx, kOp, "absmax", absmax, ceil_div(n, block)));
  return expect_contiguous(ctx, kOp, "absmax", absmax);
}

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  const int64_t block = params[0], n = element_count(o[0]), blocks = ceil_div(n, block);
  const float *x = o[0].as<const float>(), *table = o[1].as<const float>();
  float middle[kCodes - 1];
  for (int i = 0; i + 1 < kCodes; i++) middle[i] = 0.5f * (table[i] + table[i + 1]);
  ctx.for_each(ceil_div(blocks, kTaskBlocks), [&](int64_t task, int) {
    for (int64_t b = task * kTaskBlocks; b < smaller(blocks, (task + 1) * kTaskBlocks); b++) {
      const int64_t start = b * block, end = smaller(n, start + block);
      float largest = 0.0f;
      for (int64_t i = start; i < end; i++) largest = larger(largest, __builtin_fabsf(x[i]));
      o[3].as<float>()[b] = largest;
      const float divisor = largest > 0.0f ? largest : 1.0f;
      auto code = [&](int64_t i) {
        const float value = i < end ? x[i] / divisor : 0.0f;
        uint8_t c = 0;
        for (float m : middle) c += m < value;
        return c;
      };
      for (int64_t i = start; i < end; i += 2) o[2].as<uint8_t>()[i / 2] = uint8_t(code(i) << 4 | code(i + 1));
    }
  });
  return nullptr;
}

}  // namespace

void register_quantize_table(KernelTable& table) { table.entry[LF_OP_QUANTIZE_TABLE] = {run, check}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
