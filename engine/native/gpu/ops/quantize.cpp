// QUANTIZE_GROUPS, QUANTIZE_BLOCK and QUANTIZE_SWEEP.
#include "../kernels/quantize.h"

#include "checks.h"

namespace lf_gpu {
namespace {

const char* check_grid(Context& c, const uint32_t* p) {
  if (p[0] < 2 || p[0] > 8) return c.fail(LF_INVALID, "%u bits, expected 2 to 8", p[0]);
  if (p[1] < 1) return c.fail(LF_INVALID, "groups of 0");
  if (p[3] < 1 || p[3] > 50) return c.fail(LF_INVALID, "%u shares, expected 1 to 50", p[3]);
  if (p[4] > 100) return c.fail(LF_INVALID, "%u refits, expected 100 at most", p[4]);
  return p[5] == LF_F32 || p[5] == LF_F16 || p[5] == LF_BF16 ? nullptr : c.fail(LF_INVALID, "scales of data type %u", p[5]);
}
QuantizeGrid grid_of(const uint32_t* p) {
  QuantizeGrid grid{};
  grid.levels = static_cast<float>((1u << p[0]) - 1), grid.half = static_cast<float>(1u << (p[0] - 1));
  grid.group = p[1], grid.symmetric = p[2];
  grid.shares = static_cast<int32_t>(p[3]), grid.refits = static_cast<int32_t>(p[4]);
  grid.dtype = p[5];
  return grid;
}
Strided strided(const View& v) { return {v.data, v.stride[0], v.stride[1]}; }

const char* expect_of(Context& c, const View& v, const char* name, lf_dtype dtype, std::initializer_list<int64_t> shape) {
  LF_RETURN_IF(expect_dtype(c, v, name, dtype));
  return expect_shape(c, v, name, shape);
}
// The weight, whose columns are whole groups unless `any`.
const char* expect_weight_of_groups(Context& c, const uint32_t* p, const View& w, bool any) {
  LF_RETURN_IF(check_grid(c, p));
  LF_RETURN_IF(expect_dtype(c, w, "w", LF_F32));
  LF_RETURN_IF(expect_rank(c, w, "w", 2, 2));
  if (any || w.shape[1] % p[1] == 0) return nullptr;
  return c.fail(LF_INVALID, "groups of %u do not divide the %lld columns of operand w", p[1], (long long)w.shape[1]);
}

// Warps of a block, each with `numbers` of shared memory.
uint32_t warps_of(const Context& c, int64_t numbers) {
  const int64_t most = static_cast<int64_t>(c.info().shared_limit) / (numbers * 4), fit = kQuantizeThreads / c.info().warp;
  return static_cast<uint32_t>(std::min(most, fit));
}
const char* expect_room(Context& c, int64_t width, int64_t numbers) {
  return warps_of(c, numbers) ? nullptr : c.fail(LF_UNSUPPORTED, "blocks of %lld columns do not fit into this device's shared memory", (long long)width);
}
const char* launch_rows(Context& c, const char* kernel, QuantizeArgs args, int64_t numbers) {
  args.shared_numbers = numbers;
  const uint32_t warps = warps_of(c, numbers);
  return c.launch(kernel, {static_cast<uint32_t>(ceil_div(args.rows, warps))}, warps * c.info().warp, warps * static_cast<uint32_t>(numbers) * 4, args);
}

const char* check_groups(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_weight_of_groups(c, p, o[0], false));
  const int64_t n = o[0].shape[0], k = o[0].shape[1];
  if (o[1].present()) LF_RETURN_IF(expect_of(c, o[1], "importance", LF_F32, {k}));
  LF_RETURN_IF(expect_of(c, o[2], "codes", LF_U8, {n, k}));
  LF_RETURN_IF(expect_of(c, o[3], "scales", LF_F32, {n, k / p[1]}));
  LF_RETURN_IF(expect_of(c, o[4], "zeros", LF_F32, {n, k / p[1]}));
  return o[5].present() ? expect_of(c, o[5], "values", LF_F32, {n, k}) : nullptr;
}
const char* run_groups(Context& c, const uint32_t* p, const View* o, int) {
  QuantizeArgs args{};
  args.grid = grid_of(p);
  args.w = strided(o[0]), args.codes = strided(o[2]), args.scales = strided(o[3]), args.zeros = strided(o[4]), args.values = strided(o[5]);
  args.importance = o[1].as<const float>(), args.importance_stride = o[1].stride[0];
  args.rows = o[0].shape[0], args.width = o[0].shape[1];
  const int64_t lanes = args.rows * (args.width / args.grid.group) * c.info().warp;
  const uint32_t threads = threads_for(c, lanes, kQuantizeThreads);
  return c.launch("quantize_groups", {static_cast<uint32_t>(ceil_div(lanes, threads))}, threads, 0, args);
}

const char* check_block(Context& c, const uint32_t* p, const View* o, int) {
  const bool fixed = o[3].present();
  LF_RETURN_IF(expect_weight_of_groups(c, p, o[0], fixed));
  const int64_t n = o[0].shape[0], width = o[0].shape[1];
  if (o[1].present()) LF_RETURN_IF(expect_of(c, o[1], "carried", LF_F32, {n, width}));
  LF_RETURN_IF(expect_of(c, o[2], "upper", LF_F32, {width, width}));
  LF_RETURN_IF(expect_rank(c, o[4], "scales", 2, 2));
  if (fixed) LF_RETURN_IF(expect_indices(c, o[3], "columns", {width}));
  LF_RETURN_IF(expect_of(c, o[4], "scales", LF_F32, {n, fixed ? o[4].shape[1] : width / p[1]}));
  LF_RETURN_IF(expect_of(c, o[5], "zeros", LF_F32, {n, o[4].shape[1]}));
  LF_RETURN_IF(expect_of(c, o[6], "codes", LF_U8, {n, width}));
  LF_RETURN_IF(expect_of(c, o[7], "errors", LF_F32, {n, width}));
  return expect_room(c, width, block_numbers(width, p[1]));
}
const char* run_block(Context& c, const uint32_t* p, const View* o, int) {
  QuantizeArgs args{};
  args.grid = grid_of(p);
  args.w = strided(o[0]), args.carried = strided(o[1]), args.matrix = strided(o[2]), args.scales = strided(o[4]), args.zeros = strided(o[5]);
  args.codes = strided(o[6]), args.errors = strided(o[7]);
  args.rows = o[0].shape[0], args.width = o[0].shape[1];
  if (o[3].present()) {
    LF_RETURN_IF(c.check_indices(o, {3, 0, static_cast<int32_t>(o[4].shape[1]) - 1}));
    args.columns = o[3].as<const int32_t>(), args.column_stride = o[3].stride[0];
  }
  if (args.width == 0) return nullptr;
  return launch_rows(c, "quantize_block", args, block_numbers(args.width, args.grid.group));
}

const char* check_sweep(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_weight_of_groups(c, p, o[0], false));
  const int64_t n = o[0].shape[0], width = o[0].shape[1];
  LF_RETURN_IF(expect_of(c, o[1], "slope", LF_F32, {n, width}));
  LF_RETURN_IF(expect_of(c, o[2], "square", LF_F32, {width, width}));
  LF_RETURN_IF(expect_of(c, o[3], "scales", LF_F32, {n, width / p[1]}));
  LF_RETURN_IF(expect_of(c, o[4], "zeros", LF_F32, {n, width / p[1]}));
  LF_RETURN_IF(expect_of(c, o[5], "codes", LF_U8, {n, width}));
  LF_RETURN_IF(expect_of(c, o[6], "errors", LF_F32, {n, width}));
  return expect_room(c, width, sweep_numbers(width, p[1]));
}
const char* run_sweep(Context& c, const uint32_t* p, const View* o, int) {
  QuantizeArgs args{};
  args.grid = grid_of(p);
  args.w = strided(o[0]), args.slope = strided(o[1]), args.matrix = strided(o[2]), args.scales = strided(o[3]), args.zeros = strided(o[4]);
  args.codes = strided(o[5]), args.errors = strided(o[6]);
  args.rows = o[0].shape[0], args.width = o[0].shape[1];
  if (args.width == 0) return nullptr;
  return launch_rows(c, "quantize_sweep", args, sweep_numbers(args.width, args.grid.group));
}

const OpRegistration kGroups{LF_OP_QUANTIZE_GROUPS, run_groups, check_groups}, kBlock{LF_OP_QUANTIZE_BLOCK, run_block, check_block},
    kSweep{LF_OP_QUANTIZE_SWEEP, run_sweep, check_sweep};

}  // namespace
}  // namespace lf_gpu
