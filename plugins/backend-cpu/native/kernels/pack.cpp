// PACK: lays a weight out for LINEAR (forward) or LINEAR_BACKWARD_INPUT (backward), and the size of that.
#include "gemm.h"
#include "linear_operands.h"
#include "packed_format.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr const char* kOp = "PACK";
constexpr int64_t kDepth = 512;     // elements of a panel laid out at a time; whole blocks of every format
constexpr int64_t kBlockRows = 32;  // rows of a block format decoded at a time for the backward layout

uint64_t packed_size(uint32_t dtype, uint32_t layout, uint32_t n, uint32_t k, uint32_t group) {
  if (layout != LF_LAYOUT_PACKED_FORWARD && layout != LF_LAYOUT_PACKED_BACKWARD) return 0;
  const bool forward = layout == LF_LAYOUT_PACKED_FORWARD;
  if (!forward && is_block_format(lf_dtype(dtype))) return 0;
  return packed_bytes(lf_dtype(dtype), forward ? n : k, forward ? k : n, group);
}

const char* check(Context& ctx, const uint32_t*, const View* o, int) {
  const View &src = o[0], &dst = o[1];
  LF_CHECK(expect_present(ctx, kOp, "dst", dst));
  if (dst.layout == LF_LAYOUT_STRIDED) return ctx.fail(LF_INVALID, "%s: operand dst has a strided layout", kOp);
  LF_CHECK(expect_weight(ctx, kOp, "dst", dst, dst.layout, false));
  LF_CHECK(expect_present(ctx, kOp, "src", src));
  LF_CHECK(expect_strided(ctx, kOp, "src", src));
  LF_CHECK(expect_weight(ctx, kOp, "src", src, LF_LAYOUT_STRIDED, true));
  LF_CHECK(expect_shape(ctx, kOp, "src", src, dst.shape[0], dst.shape[1]));
  if (is_block_format(dst.dtype) && src.dtype != dst.dtype)
    return ctx.fail(LF_UNSUPPORTED, "%s: operand dst keeps the bits of %s, but src is %s", kOp, dtype_name(dst.dtype),
                    dtype_name(src.dtype));
  return nullptr;
}

// Blocks of weights, kept in their own bits.
const char* pack_blocks(Context& ctx, const View& src, const View& dst) {
  ctx.for_each(ceil_div(src.shape[0], kPackedColumns), [&](int64_t panel, int) {
    pack_format_panel(src.dtype, dst.group, src.data, src.shape[0], src.shape[1], panel, dst.data);
  });
  return nullptr;
}

// Each panel holds columns of N, along K.
const char* pack_forward(Context& ctx, const View& src, const View& dst) {
  const int64_t n = src.shape[0], k = src.shape[1], width = panel_width();
  bool failed = false;
  ctx.for_each(ceil_div(n, width), [&](int64_t task, int worker) {
    float* scratch = static_cast<float*>(ctx.local(worker, pack_scratch(kDepth)));
    if (!scratch) return __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
    const int64_t first = task * width;
    for (int64_t k0 = 0; k0 < k; k0 += kDepth)
      pack_columns(columns_of(src), dst.dtype, n, k, first, smaller(width, n - first), k0, smaller(kDepth, k - k0),
                   dst.data, scratch);
  });
  return failed ? out_of_scratch(ctx, kOp, pack_scratch(kDepth)) : nullptr;
}

// Each panel holds columns of K, along N.
const char* pack_backward(Context& ctx, const View& src, const View& dst) {
  const int64_t n = src.shape[0], k = src.shape[1], width = panel_width();
  const bool blocks = is_block_format(src.dtype);
  const size_t decoded_bytes = blocks ? round_up(kBlockRows * k * 4, 64) : 0;
  const size_t bytes = decoded_bytes + pack_scratch(kDepth);
  bool failed = false;
  const int64_t tasks = blocks ? ceil_div(n, kBlockRows) : ceil_div(k, width);
  ctx.for_each(tasks, [&](int64_t task, int worker) {
    uint8_t* memory = static_cast<uint8_t*>(ctx.local(worker, bytes));
    if (!memory) return __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
    float* scratch = reinterpret_cast<float*>(memory + decoded_bytes);
    if (!blocks) {
      const int64_t first = task * width;
      for (int64_t n0 = 0; n0 < n; n0 += kDepth)
        pack_columns(columns_of(src, true), dst.dtype, k, n, first, smaller(width, k - first), n0,
                     smaller(kDepth, n - n0), dst.data, scratch);
      return;
    }
    const int64_t n0 = task * kBlockRows, rows = smaller(kBlockRows, n - n0);
    float* decoded = reinterpret_cast<float*>(memory);
    const int64_t row_bytes = k / block_elements(src.dtype) * block_bytes(src.dtype);
    dequantize_row(src.dtype, src.data + n0 * row_bytes, rows * k, decoded);
    Columns columns;  // element (0, 0) is where row 0 would be
    columns.data = reinterpret_cast<const uint8_t*>(uintptr_t(decoded) - n0 * k * 4);
    columns.column_stride = 1, columns.k_stride = k;
    pack_columns(columns, dst.dtype, k, n, 0, k, n0, rows, dst.data, scratch);
  });
  return failed ? out_of_scratch(ctx, kOp, bytes) : nullptr;
}

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  if (is_block_format(o[1].dtype)) return pack_blocks(ctx, o[0], o[1]);
  return o[1].layout == LF_LAYOUT_PACKED_FORWARD ? pack_forward(ctx, o[0], o[1]) : pack_backward(ctx, o[0], o[1]);
}

}  // namespace

void register_pack(KernelTable& table) {
  table.entry[LF_OP_PACK] = {run, check};
  table.packed_size = packed_size;
}

}  // namespace LF_ISA
}  // namespace lf_cpu
