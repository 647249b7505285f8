// DEQUANTIZE, QUANTIZE_TABLE, BLOCKS_OF_CODES and ENCODE_BLOCKS.
#include "../kernels/codes.h"

#include "checks.h"
#include "packed.h"

namespace lf_gpu {
namespace {

const char* expect_flat(Context& c, const View& v, const char* name, lf_dtype dtype, std::initializer_list<int64_t> shape) {
  LF_RETURN_IF(expect_dtype(c, v, name, dtype));
  LF_RETURN_IF(expect_shape(c, v, name, shape));
  return expect_contiguous(c, v, name);
}

// ---- DEQUANTIZE ----

enum { kCodes, kScale, kTable, kZero, kIndex, kOut, kNestedMap, kNestedScale };

const char* check_dequantize(Context& c, const uint32_t* p, const View* o, int) {
  const uint32_t bits = p[0], block = p[1], nested = p[2];
  LF_RETURN_IF(expect_float(c, o[kOut], "out"));
  LF_RETURN_IF(expect_rank(c, o[kOut], "out", 2, 2));
  LF_RETURN_IF(expect_contiguous(c, o[kOut], "out"));
  if (bits != 4 && bits != 8) return c.fail(LF_INVALID, "codes of %u bits; 4 or 8 are possible", bits);
  const int64_t rows = o[kOut].shape[0], columns = o[kOut].shape[1], n = rows * columns;
  LF_RETURN_IF(expect_flat(c, o[kCodes], "codes", LF_U8, {bits == 4 ? ceil_div(n, 2) : n}));
  LF_RETURN_IF(expect_strided(c, o[kScale], "scale"));
  LF_RETURN_IF(expect_contiguous(c, o[kScale], "scale"));
  if (o[kTable].present()) {
    if (block == 0) return c.fail(LF_INVALID, "blocks of 0 elements");
    LF_RETURN_IF(expect_flat(c, o[kTable], "table", LF_F32, {int64_t{1} << bits}));
    if (o[kZero].present() || o[kIndex].present()) return c.fail(LF_INVALID, "a table has neither zeros nor group_index");
    const int64_t blocks = ceil_div(n, int64_t{block});
    const bool twice = o[kNestedMap].present();
    LF_RETURN_IF(expect_flat(c, o[kScale], "scale", twice ? LF_U8 : LF_F32, {blocks}));
    if (!twice) return nullptr;
    if (nested == 0) return c.fail(LF_INVALID, "nested blocks of 0 scales");
    LF_RETURN_IF(expect_flat(c, o[kNestedMap], "nested_map", LF_F32, {256}));
    return expect_flat(c, o[kNestedScale], "nested_scale", LF_F32, {ceil_div(blocks, int64_t{nested})});
  }
  LF_RETURN_IF(expect_float(c, o[kScale], "scale"));
  LF_RETURN_IF(expect_rank(c, o[kScale], "scale", 2, 2));
  const int64_t groups = o[kScale].shape[1];
  LF_RETURN_IF(expect_shape(c, o[kScale], "scale", {rows, groups}));
  LF_RETURN_IF(expect_flat(c, o[kZero], "zero", LF_U8, {rows, groups}));
  if (o[kIndex].present()) return expect_flat(c, o[kIndex], "group_index", LF_I32, {columns});
  if (groups > 0 && columns % groups == 0) return nullptr;
  return c.fail(LF_INVALID, "%lld columns are no whole number of %lld groups", (long long)columns, (long long)groups);
}
const char* run_dequantize(Context& c, const uint32_t* p, const View* o, int) {
  DequantizeArgs args{};
  args.codes = o[kCodes].data, args.scale = o[kScale].data, args.zero = o[kZero].data;
  args.table = o[kTable].as<const float>(), args.nested_map = o[kNestedMap].as<const float>(), args.nested_scale = o[kNestedScale].as<const float>();
  args.out = elements_of(o[kOut]);
  args.n = o[kOut].elements(), args.columns = o[kOut].shape[1];
  args.scale_dtype = o[kScale].dtype;
  args.bits = p[0], args.block = p[1], args.nested_block = p[2], args.offset = param_f32(p, 3);
  if (args.n == 0) return nullptr;
  if (!args.table) args.groups = o[kScale].shape[1];
  if (o[kIndex].present()) {
    LF_RETURN_IF(c.check_indices(o, {kIndex, 0, static_cast<int32_t>(args.groups) - 1}));
    args.index = o[kIndex].as<const int32_t>();
  }
  const int64_t pieces = ceil_div(args.n, 8);
  const uint32_t threads = threads_for(c, pieces, kCodeThreads);
  return c.launch("dequantize", grid_for(c, ceil_div(pieces, threads)), threads, 0, args);
}

// ---- QUANTIZE_TABLE: x, table, codes, absmax ----

const char* check_table(Context& c, const uint32_t* p, const View* o, int) {
  const int64_t block = p[0], n = o[0].elements();
  if (block == 0 || block % 2) return c.fail(LF_INVALID, "blocks of %lld elements; an even number is possible", (long long)block);
  LF_RETURN_IF(expect_dtype(c, o[0], "x", LF_F32));
  LF_RETURN_IF(expect_contiguous(c, o[0], "x"));
  LF_RETURN_IF(expect_flat(c, o[1], "table", LF_F32, {kTableCodes}));
  LF_RETURN_IF(expect_flat(c, o[2], "codes", LF_U8, {ceil_div(n, 2)}));
  return expect_flat(c, o[3], "absmax", LF_F32, {ceil_div(n, block)});
}
const char* run_table(Context& c, const uint32_t* p, const View* o, int) {
  TableArgs args{};
  args.x = o[0].as<const float>(), args.table = o[1].as<const float>();
  args.codes = o[2].data, args.absmax = o[3].as<float>();
  args.n = o[0].elements(), args.block = p[0];
  const int64_t lanes = ceil_div(args.n, args.block) * c.info().warp;
  const uint32_t threads = threads_for(c, lanes, kCodeThreads);
  return c.launch("quantize_table", {static_cast<uint32_t>(ceil_div(lanes, threads))}, threads, 0, args);
}

// ---- BLOCKS_OF_CODES: codes, scales, zeros?, dst ----

const char* check_code_blocks(Context& c, const uint32_t* p, const View* o, int) {
  const View &scales = o[1], &zeros = o[2], &dst = o[3];
  const int64_t group = p[1];
  if (p[0] > LF_CODES_AWQ) return c.fail(LF_UNSUPPORTED, "there is no order %u of codes", p[0]);
  if (group == 0 || group % 32) return c.fail(LF_INVALID, "groups of %lld elements are no multiple of 32", (long long)group);
  LF_RETURN_IF(expect_dtype(c, dst, "dst", LF_Q4_Z));
  LF_RETURN_IF(expect_rank(c, dst, "dst", 2, 2));
  const int64_t n = dst.shape[0], k = dst.shape[1];
  LF_RETURN_IF(expect_dtype(c, o[0], "codes", LF_I32));
  if (p[0] == LF_CODES_AWQ && n % 8) return c.fail(LF_INVALID, "operand dst has %lld rows, no multiple of 8", (long long)n);
  LF_RETURN_IF(p[0] == LF_CODES_AWQ ? expect_shape(c, o[0], "codes", {n / 8, k}) : expect_shape(c, o[0], "codes", {n, k / 8}));
  LF_RETURN_IF(expect_floats(c, scales, "scales", {n, ceil_div(k, group)}));
  if (!zeros.present()) return nullptr;
  LF_RETURN_IF(expect_dtype(c, zeros, "zeros", LF_U8));
  return expect_shape(c, zeros, "zeros", {n, ceil_div(k, group)});
}
const char* run_code_blocks(Context& c, const uint32_t* p, const View* o, int) {
  CodeBlocksArgs args{};
  args.codes = o[0].as<const uint32_t>(), args.scales = o[1].data, args.zeros = o[2].data, args.out = o[3].data;
  for (int d = 0; d < 2; d++) args.code_stride[d] = o[0].stride[d], args.scale_stride[d] = o[1].stride[d], args.zero_stride[d] = o[2].stride[d];
  args.rows = o[3].shape[0], args.columns = o[3].shape[1], args.group = p[1];
  args.awq = p[0] == LF_CODES_AWQ, args.scale_dtype = o[1].dtype;
  const int64_t blocks = args.rows * args.columns / 32;
  const uint32_t threads = threads_for(c, blocks, kCodeThreads);
  return c.launch("blocks_of_codes", {static_cast<uint32_t>(ceil_div(blocks, threads))}, threads, 0, args);
}

// ---- ENCODE_BLOCKS: src, importance?, dst ----

const char* check_encode(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "src"));
  LF_RETURN_IF(expect_rank(c, o[0], "src", 2, 2));
  LF_RETURN_IF(expect_strided(c, o[2], "dst"));
  if (!is_blocks(o[2].dtype) || o[2].dtype == LF_Q4_Z) return c.fail(LF_INVALID, "operand dst has data type %d, expected a block format", o[2].dtype);
  LF_RETURN_IF(expect_same_shape(c, o[2], "dst", o[0], "src"));
  if (!o[1].present()) return nullptr;
  LF_RETURN_IF(expect_dtype(c, o[1], "importance", LF_F32));
  return expect_shape(c, o[1], "importance", {o[0].shape[1]});
}
const char* run_encode(Context& c, const uint32_t*, const View* o, int) {
  EncodeArgs args{};
  args.source = rows_of(o[0]);
  args.importance = o[1].as<const float>(), args.importance_stride = o[1].stride[0];
  args.rows = o[0].shape[0], args.columns = o[0].shape[1];
  args.out = o[2].data, args.dtype = static_cast<uint32_t>(o[2].dtype);
  const int64_t parts = args.rows * args.columns / (args.dtype == LF_Q6_K ? 16 : 32);
  return c.launch("encode_blocks", {static_cast<uint32_t>(ceil_div(parts, kEncodeThreads))}, kEncodeThreads, kEncodeShared, args);
}

const OpRegistration kDequantize{LF_OP_DEQUANTIZE, run_dequantize, check_dequantize}, kQuantizeTable{LF_OP_QUANTIZE_TABLE, run_table, check_table},
    kCodeBlocks{LF_OP_BLOCKS_OF_CODES, run_code_blocks, check_code_blocks}, kEncode{LF_OP_ENCODE_BLOCKS, run_encode, check_encode};

}  // namespace
}  // namespace lf_gpu
