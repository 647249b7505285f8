// BLOCKS_OF_CODES: 4-bit codes as quantised checkpoints store them, as blocks of Q4_Z.
#include "operands.h"
#include "quant_formats.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr const char* kOp = "BLOCKS_OF_CODES";
constexpr int64_t kBlock = 32;      // elements
constexpr int64_t kBlockBytes = 20;
constexpr int64_t kWordCodes = 8;

const char* check(Context& ctx, const uint32_t* params, const View* o, int) {
  const View &codes = o[0], &scales = o[1], &zeros = o[2], &dst = o[3];
  const int64_t group = params[1];
  if (params[0] > LF_CODES_AWQ) return ctx.fail(LF_UNSUPPORTED, "%s: there is no order %u of codes", kOp, params[0]);
  if (group == 0 || group % kBlock)
    return ctx.fail(LF_INVALID, "%s: groups of %lld elements are no multiple of %lld", kOp, (long long)group, (long long)kBlock);
  LF_CHECK(expect_dtype(ctx, kOp, "dst", dst, LF_Q4_Z));
  LF_CHECK(expect_strided(ctx, kOp, "dst", dst));
  LF_CHECK(expect_rank(ctx, kOp, "dst", dst, 2));
  const int64_t n = dst.shape[0], k = dst.shape[1];
  LF_CHECK(expect_dtype(ctx, kOp, "codes", codes, LF_I32));
  if (params[0] == LF_CODES_AWQ) {
    if (n % kWordCodes) return ctx.fail(LF_INVALID, "%s: operand dst has shape %s, whose rows are no multiple of 8", kOp, shape_text(dst).text);
    LF_CHECK(expect_shape(ctx, kOp, "codes", codes, n / kWordCodes, k));
  } else {
    LF_CHECK(expect_shape(ctx, kOp, "codes", codes, n, k / kWordCodes));
  }
  LF_CHECK(expect_float(ctx, kOp, "scales", scales));
  LF_CHECK(expect_shape(ctx, kOp, "scales", scales, n, ceil_div(k, group)));
  if (!zeros.present()) return nullptr;
  LF_CHECK(expect_dtype(ctx, kOp, "zeros", zeros, LF_U8));
  return expect_shape(ctx, kOp, "zeros", zeros, n, ceil_div(k, group));
}

// The eight codes of a word, a byte each.
uint64_t spread(uint32_t word) {
  uint64_t x = word;
  x = (x | x << 16) & 0x0000ffff0000ffffu;
  x = (x | x << 8) & 0x00ff00ff00ff00ffu;
  return (x | x << 4) & 0x0f0f0f0f0f0f0f0fu;
}

// Element i of a block is the low half of byte i, element 16 + i the high one.
void codes_along_k(const int32_t* words, int64_t stride, uint8_t* bytes) {
  for (int half = 0; half < 2; half++) {
    const uint64_t low = spread(uint32_t(words[half * stride])), high = spread(uint32_t(words[(half + 2) * stride]));
    const uint64_t both = low | high << 4;
    __builtin_memcpy(bytes + 8 * half, &both, 8);
  }
}

// `words` are those of 32 neighbours along K; column 0 to 7 is one of those that share them.
void codes_of_awq(const uint32_t* words, int column, uint8_t* bytes) {
  const int shift = 4 * (column % 2 * 4 + column / 2);
  for (int i = 0; i < 16; i++) bytes[i] = uint8_t((words[i] >> shift & 15) | (words[i + 16] >> shift & 15) << 4);
}

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  const View &codes = o[0], &scales = o[1], &zeros = o[2], &dst = o[3];
  const int64_t n = dst.shape[0], k = dst.shape[1], group = params[1], blocks = k / kBlock;
  const bool awq = params[0] == LF_CODES_AWQ;
  const int32_t* source = codes.as<const int32_t>();
  // Rows that share words, or whose words are neighbours in the files of GPTQ.
  constexpr int64_t kRows = 16;
  ctx.for_each(ceil_div(n, kRows), [&](int64_t task, int) {
    const int64_t first = task * kRows, rows = smaller(kRows, n - first);
    for (int64_t b = 0; b < blocks; b++) {
      const int64_t g = b * kBlock / group;
      uint32_t words[kBlock];
      for (int64_t r = 0; r < rows; r++) {
        const int64_t row = first + r;
        uint8_t* block = dst.data + (row * blocks + b) * kBlockBytes;
        float scale;
        with_float(scales.dtype, [&](auto type) {
          scale = widen(scales.as<const decltype(type)>()[row * scales.stride[0] + g * scales.stride[1]]);
        });
        const f16 stored = narrow<f16>(scale);
        __builtin_memcpy(block, &stored, 2);
        block[2] = zeros.present() ? zeros.as<const uint8_t>()[row * zeros.stride[0] + g * zeros.stride[1]] : 8;
        block[3] = 0;
        if (awq) {
          if (r % kWordCodes == 0)
            for (int64_t i = 0; i < kBlock; i++)
              words[i] = uint32_t(source[row / kWordCodes * codes.stride[0] + (b * kBlock + i) * codes.stride[1]]);
          codes_of_awq(words, int(r % kWordCodes), block + 4);
        } else {
          codes_along_k(source + row * codes.stride[0] + b * 4 * codes.stride[1], codes.stride[1], block + 4);
        }
      }
    }
  });
  return nullptr;
}

}  // namespace

void register_code_blocks(KernelTable& table) { table.entry[LF_OP_BLOCKS_OF_CODES] = {run, check}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
