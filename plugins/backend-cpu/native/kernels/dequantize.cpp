// DEQUANTIZE: weights in codes of 4 or 8 bits to floats.
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr const char* kOp = "DEQUANTIZE";
constexpr int64_t kPiece = 1024;
constexpr int64_t kTaskElements = 32768;

const char* check(Context& ctx, const uint32_t* params, const View* o, int) {
  const View &codes = o[0], &scale = o[1], &table = o[2], &zero = o[3], &index = o[4], &out = o[5];
  const View &nested_map = o[6], &nested_scale = o[7];
  const uint32_t bits = params[0], block = params[1], nested = params[2];
  LF_CHECK(expect_float(ctx, kOp, "out", out));
  LF_CHECK(expect_rank(ctx, kOp, "out", out, 2));
  LF_CHECK(expect_contiguous(ctx, kOp, "out", out));
  const int64_t rows = out.shape[0], columns = out.shape[1], n = rows * columns;
  if (bits != 4 && bits != 8) return ctx.fail(LF_INVALID, "%s: codes of %u bits; 4 or 8 are possible", kOp, bits);
  LF_CHECK(expect_dtype(ctx, kOp, "codes", codes, LF_U8));
  LF_CHECK(expect_contiguous(ctx, kOp, "codes", codes));
  LF_CHECK(expect_shape(ctx, kOp, "codes", codes, bits == 4 ? ceil_div(n, 2) : n));
  LF_CHECK(expect_present(ctx, kOp, "scale", scale));
  LF_CHECK(expect_contiguous(ctx, kOp, "scale", scale));
  if (table.present()) {
    if (block == 0) return ctx.fail(LF_INVALID, "%s: blocks of 0 elements", kOp);
    LF_CHECK(expect_dtype(ctx, kOp, "table", table, LF_F32));
    LF_CHECK(expect_contiguous(ctx, kOp, "table", table));
    LF_CHECK(expect_shape(ctx, kOp, "table", table, int64_t{1} << bits));
    if (zero.present() || index.present()) return ctx.fail(LF_INVALID, "%s: a table has neither zeros nor group_index", kOp);
    const int64_t blocks = ceil_div(n, int64_t{block});
    LF_CHECK(expect_dtype(ctx, kOp, "scale", scale, nested_map.present() ? LF_U8 : LF_F32));
    LF_CHECK(expect_shape(ctx, kOp, "scale", scale, blocks));
    if (!nested_map.present()) return nullptr;
    if (nested == 0) return ctx.fail(LF_INVALID, "%s: nested blocks of 0 scales", kOp);
    LF_CHECK(expect_dtype(ctx, kOp, "nested_map", nested_map, LF_F32));
    LF_CHECK(expect_shape(ctx, kOp, "nested_map", nested_map, 256));
    LF_CHECK(expect_contiguous(ctx, kOp, "nested_map", nested_map));
    LF_CHECK(expect_dtype(ctx, kOp, "nested_scale", nested_scale, LF_F32));
    LF_CHECK(expect_contiguous(ctx, kOp, "nested_scale", nested_scale));
    return expect_shape(ctx, kOp, "nested_scale", nested_scale, ceil_div(blocks, int64_t{nested}));
  }
  LF_CHECK(expect_float(ctx, kOp, "scale", scale));
  LF_CHECK(expect_rank(ctx, kOp, "scale", scale, 2));
  const int64_t groups = scale.shape[1];
  LF_CHECK(expect_shape(ctx, kOp, "scale", scale, rows, groups));
  LF_CHECK(expect_dtype(ctx, kOp, "zero", zero, LF_U8));
  LF_CHECK(expect_contiguous(ctx, kOp, "zero", zero));
  LF_CHECK(expect_shape(ctx, kOp, "zero", zero, rows, groups));
  if (index.present()) {
    LF_CHECK(expect_dtype(ctx, kOp, "group_index", index, LF_I32));
    LF_CHECK(expect_contiguous(ctx, kOp, "group_index", index));
    return expect_shape(ctx, kOp, "group_index", index, columns);
  }
  if (groups == 0 || columns % groups)
    return ctx.fail(LF_INVALID, "%s: %lld columns are no whole number of %lld groups", kOp, (long long)columns, (long long)groups);
  return nullptr;
}

LF_INLINE uint32_t code_at(const uint8_t* codes, uint32_t bits, int64_t i) {
  if (bits == 8) return codes[i];
  return i & 1 ? codes[i >> 1] & 15u : codes[i >> 1] >> 4;
}

// Codes name values of a table, scaled by block of the elements in a row (NF4).
void by_table(Context& ctx, const uint32_t* params, const View* o) {
  const uint32_t bits = params[0];
  const int64_t block = params[1], nested = params[2], n = element_count(o[5]);
  const float offset = param_f32(params, 3);
  const float* table = o[2].as<const float>();
  const uint8_t* codes = o[0].as<const uint8_t>();
  auto scale_of = [&](int64_t b) {
    if (!o[6].present()) return o[1].as<const float>()[b];
    return o[6].as<const float>()[o[1].as<const uint8_t>()[b]] * o[7].as<const float>()[b / nested] + offset;
  };
  ctx.for_each(ceil_div(n, kTaskElements), [&](int64_t task, int) {
    float piece[kPiece];
    const int64_t end = smaller(n, (task + 1) * kTaskElements);
    for (int64_t start = task * kTaskElements; start < end; start += kPiece) {
      const int64_t size = smaller(kPiece, end - start);
      for (int64_t i = 0; i < size;) {
        const int64_t b = (start + i) / block, stop = smaller(size, (b + 1) * block - start);
        const float scale = scale_of(b);
        for (; i < stop; i++) piece[i] = table[code_at(codes, bits, start + i)] * scale;
      }
      write_row(o[5], start, size, 1, piece);
    }
  });
}

// Codes are whole numbers with a scale and a zero for each group of columns (AWQ, GPTQ).
const char* by_group(Context& ctx, const uint32_t* params, const View* o) {
  const uint32_t bits = params[0];
  const View &scale = o[1], &out = o[5];
  const int64_t rows = out.shape[0], columns = out.shape[1], groups = scale.shape[1];
  const int64_t width = groups ? columns / groups : 0;
  const uint8_t *codes = o[0].as<const uint8_t>(), *zero = o[3].as<const uint8_t>();
  const int32_t* index = o[4].present() ? o[4].as<const int32_t>() : nullptr;
  for (int64_t c = 0; index && c < columns; c++)
    if (index[c] < 0 || index[c] >= groups)
      return ctx.fail(LF_INVALID, "%s: group_index[%lld] is %d, there are %lld groups", kOp, (long long)c, index[c], (long long)groups);
  const size_t bytes = size_t(columns + groups) * sizeof(float);
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, bytes)) return out_of_scratch(ctx, kOp, bytes);
  ctx.for_each(rows, [&](int64_t r, int worker) {
    float *line = static_cast<float*>(ctx.local(worker, bytes)), *scratch = line + columns;
    const float* scales = read_row(scale, r * groups, groups, 1, scratch);
    const uint8_t* zeros = zero + r * groups;
    for (int64_t c = 0; c < columns; c++) {
      const int64_t g = index ? index[c] : c / width;
      line[c] = (float(code_at(codes, bits, r * columns + c)) - float(zeros[g])) * scales[g];
    }
    write_row(out, r * columns, columns, 1, line);
  });
  return nullptr;
}

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  if (!o[2].present()) return by_group(ctx, params, o);
  by_table(ctx, params, o);
  return nullptr;
}

}  // namespace

void register_dequantize(KernelTable& table) { table.entry[LF_OP_DEQUANTIZE] = {run, check}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
