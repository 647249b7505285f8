// QUANTIZE_GROUPS, QUANTIZE_BLOCK and QUANTIZE_SWEEP: weights to codes, with the grid of each group found on the way.
//
// Rows of a weight are independent: kLanes of them are worked on at a time, one a lane, so that no sum runs over lanes and
// results depend on nothing but the row.
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// A share of a group's range is this much less than the one tried before it.
constexpr float kShareStep = 0.02f;
// The smallest number of f16: what a scale becomes that rounds to nothing.
constexpr float kSmallestScale = 0x1p-24f;

struct Grid {
  int64_t group;
  float levels, half;
  bool symmetric;
  int shares, refits;
  lf_dtype dtype;
};

Grid grid_of(const uint32_t* params) {
  Grid grid;
  grid.levels = float((1u << params[0]) - 1u), grid.half = float(1u << (params[0] - 1u));
  grid.group = params[1], grid.symmetric = params[2] != 0;
  grid.shares = int(params[3]), grid.refits = int(params[4]);
  grid.dtype = lf_dtype(params[5]);
  return grid;
}

const char* check_grid(Context& ctx, const char* op, const uint32_t* params) {
  if (params[0] < 2 || params[0] > 8) return ctx.fail(LF_INVALID, "%s: %u bits, expected 2 to 8", op, params[0]);
  if (params[1] < 1) return ctx.fail(LF_INVALID, "%s: groups of 0", op);
  if (params[3] < 1 || params[3] > 50) return ctx.fail(LF_INVALID, "%s: %u shares, expected 1 to 50", op, params[3]);
  if (params[4] > 100) return ctx.fail(LF_INVALID, "%s: %u refits, expected 100 at most", op, params[4]);
  if (params[5] == LF_F32 || params[5] == LF_F16 || params[5] == LF_BF16) return nullptr;
  return ctx.fail(LF_INVALID, "%s: scales of %s, expected f32, f16 or bf16", op, dtype_name(lf_dtype(params[5])));
}

LF_INLINE f32v stored_scale(lf_dtype dtype, f32v scale) {
  if (dtype == LF_F16) scale = widen_f16(narrow_f16(scale));
  if (dtype == LF_BF16) scale = widen_bf16(narrow_bf16(scale));
  return select(scale > broadcast(0.0f), scale, broadcast(kSmallestScale));
}

LF_INLINE f32v clamp(f32v v, f32v low, f32v high) { return min(max(v, low), high); }

// The scales and zeros of one group in each lane, and what rounding to them costs.
struct Choice {
  f32v scale, zero, error;
};

// values: [group][kLanes]. importance: [group].
static void consider(const Grid& grid, const float* values, const float* importance, f32v scale, f32v zero, Choice& best) {
  const f32v inverse = broadcast(1.0f) / scale, low = -zero, high = broadcast(grid.levels) - zero;
  f32v error = broadcast(0.0f);
  for (int64_t i = 0; i < grid.group; i++) {
    const f32v value = load(values + i * kLanes);
    const f32v off = value - clamp(round_even(value * inverse), low, high) * scale;
    error = fma(broadcast(importance[i]) * off, off, error);
  }
  const i32v better = error < best.error;
  best.error = select(better, error, best.error);
  best.scale = select(better, scale, best.scale);
  best.zero = select(better, zero, best.zero);
}

static Choice find_grid(const Grid& grid, const float* values, const float* importance) {
  f32v low = broadcast(0.0f), high = broadcast(0.0f);
  for (int64_t i = 0; i < grid.group; i++) {
    const f32v value = load(values + i * kLanes);
    low = min(low, value), high = max(high, value);
  }
  const f32v zero = broadcast(0.0f), half = broadcast(grid.half), levels = broadcast(grid.levels);
  f32v range = grid.symmetric ? max(-low, high) * 2.0f : high - low;
  const i32v empty = range == zero;
  range = select(empty, levels, range);
  const f32v step = range / levels;
  const f32v middle = grid.symmetric ? half : select(empty, half, clamp(round_even(-low / step), zero, levels));
  Choice best{broadcast(1.0f), half, broadcast(__builtin_inff())};
  for (int i = 0; i < grid.shares; i++) {
    consider(grid, values, importance, stored_scale(grid.dtype, step * (1.0f - kShareStep * float(i))), middle, best);
  }
  for (int r = 0; r < grid.refits; r++) {
    // The scale that is best for the codes as they are.
    const f32v inverse = broadcast(1.0f) / best.scale, bottom = -best.zero, top = levels - best.zero;
    f32v products = zero, squares = zero;
    for (int64_t i = 0; i < grid.group; i++) {
      const f32v value = load(values + i * kLanes), code = clamp(round_even(value * inverse), bottom, top);
      const f32v weighted = broadcast(importance[i]) * code;
      products = fma(weighted, value, products), squares = fma(weighted, code, squares);
    }
    const f32v refit = select((squares > zero) & (products > zero), products / squares, best.scale);
    consider(grid, values, importance, stored_scale(grid.dtype, refit), best.zero, best);
  }
  return {select(empty, broadcast(1.0f), best.scale), select(empty, half, best.zero), best.error};
}

// Up to kLanes rows of a matrix from column `from`, as [columns][kLanes]; lanes beyond the last row are 0.
static void gather(const View& m, int64_t row, int64_t rows, int64_t from, int64_t columns, float* tile) {
  for (int64_t lane = 0; lane < kLanes; lane++) {
    const float* src = m.as<const float>() + (row + lane) * m.stride[0] + from * m.stride[1];
    for (int64_t j = 0; j < columns; j++) tile[j * kLanes + lane] = lane < rows ? src[j * m.stride[1]] : 0.0f;
  }
}

static void scatter(const View& m, int64_t row, int64_t rows, int64_t from, int64_t columns, const float* tile) {
  for (int64_t lane = 0; lane < rows; lane++) {
    const int64_t at = (row + lane) * m.stride[0] + from * m.stride[1];
    for (int64_t j = 0; j < columns; j++) {
      const float value = tile[j * kLanes + lane];
      if (m.dtype == LF_U8) m.as<uint8_t>()[at + j * m.stride[1]] = uint8_t(value);
      else m.as<float>()[at + j * m.stride[1]] = value;
    }
  }
}

const char* expect_matrix(Context& ctx, const char* op, const char* name, const View& v, lf_dtype dtype, int64_t rows,
                          int64_t columns) {
  LF_CHECK(expect_dtype(ctx, op, name, v, dtype));
  return expect_shape(ctx, op, name, v, rows, columns);
}

// ------------------------------------------------------------------------------------------------- QUANTIZE_GROUPS --

const char* check_groups(Context& ctx, const uint32_t* params, const View* o, int) {
  const char* op = "QUANTIZE_GROUPS";
  LF_CHECK(check_grid(ctx, op, params));
  const View &w = o[0], &importance = o[1];
  LF_CHECK(expect_dtype(ctx, op, "w", w, LF_F32));
  LF_CHECK(expect_rank(ctx, op, "w", w, 2));
  const int64_t n = w.shape[0], k = w.shape[1], group = params[1];
  if (k % group) return ctx.fail(LF_INVALID, "%s: groups of %lld do not divide the columns of w %s", op, (long long)group, shape_text(w).text);
  if (importance.present()) {
    LF_CHECK(expect_dtype(ctx, op, "importance", importance, LF_F32));
    LF_CHECK(expect_shape(ctx, op, "importance", importance, k));
  }
  LF_CHECK(expect_matrix(ctx, op, "codes", o[2], LF_U8, n, k));
  LF_CHECK(expect_matrix(ctx, op, "scales", o[3], LF_F32, n, k / group));
  LF_CHECK(expect_matrix(ctx, op, "zeros", o[4], LF_F32, n, k / group));
  return o[5].present() ? expect_matrix(ctx, op, "values", o[5], LF_F32, n, k) : nullptr;
}

const char* quantize_groups(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_groups(ctx, params, o, count));
  const View &w = o[0], &importance = o[1], &codes = o[2], &scales = o[3], &zeros = o[4], &values = o[5];
  const Grid grid = grid_of(params);
  const int64_t n = w.shape[0], k = w.shape[1], groups = k / grid.group;
  float* weights = static_cast<float*>(ctx.shared(size_t(larger<int64_t>(k, 1)) * 4));
  const size_t bytes = size_t(grid.group) * kLanes * 4;
  if (!weights) return out_of_scratch(ctx, "QUANTIZE_GROUPS", size_t(k) * 4);
  for (int64_t i = 0; i < k; i++) weights[i] = importance.present() ? importance.as<const float>()[i * importance.stride[0]] : 1.0f;
  for (int worker = 0; worker < ctx.workers(); worker++)
    if (!ctx.local(worker, 2 * bytes)) return out_of_scratch(ctx, "QUANTIZE_GROUPS", 2 * bytes);
  ctx.for_each(ceil_div(n, kLanes), [&](int64_t tile, int worker) {
    float* const group = static_cast<float*>(ctx.local(worker, 2 * bytes));
    float* const rounded = group + grid.group * kLanes;
    const int64_t row = tile * kLanes, rows = smaller<int64_t>(kLanes, n - row);
    for (int64_t g = 0; g < groups; g++) {
      const int64_t from = g * grid.group;
      gather(w, row, rows, from, grid.group, group);
      const Choice choice = find_grid(grid, group, weights + from);
      const f32v inverse = broadcast(1.0f) / choice.scale, low = -choice.zero, high = broadcast(grid.levels) - choice.zero;
      for (int64_t i = 0; i < grid.group; i++) {
        const f32v step = clamp(round_even(load(group + i * kLanes) * inverse), low, high);
        store(group + i * kLanes, step + choice.zero);
        store(rounded + i * kLanes, step * choice.scale);
      }
      scatter(codes, row, rows, from, grid.group, group);
      if (values.present()) scatter(values, row, rows, from, grid.group, rounded);
      float pair[2][kLanes];
      store(pair[0], choice.scale), store(pair[1], choice.zero);
      scatter(scales, row, rows, g, 1, pair[0]);
      scatter(zeros, row, rows, g, 1, pair[1]);
    }
  });
  return nullptr;
}

// -------------------------------------------------------------------------------------------------- QUANTIZE_BLOCK --

const char* check_block(Context& ctx, const uint32_t* params, const View* o, int) {
  const char* op = "QUANTIZE_BLOCK";
  LF_CHECK(check_grid(ctx, op, params));
  const View &w = o[0], &carried = o[1], &upper = o[2], &columns = o[3], &scales = o[4];
  LF_CHECK(expect_dtype(ctx, op, "w", w, LF_F32));
  LF_CHECK(expect_rank(ctx, op, "w", w, 2));
  const int64_t n = w.shape[0], width = w.shape[1], group = params[1];
  if (carried.present()) LF_CHECK(expect_matrix(ctx, op, "carried", carried, LF_F32, n, width));
  LF_CHECK(expect_matrix(ctx, op, "upper", upper, LF_F32, width, width));
  LF_CHECK(expect_dtype(ctx, op, "scales", scales, LF_F32));
  LF_CHECK(expect_rank(ctx, op, "scales", scales, 2));
  if (columns.present()) {
    LF_CHECK(expect_dtype(ctx, op, "columns", columns, LF_I32));
    LF_CHECK(expect_shape(ctx, op, "columns", columns, width));
    LF_CHECK(expect_shape(ctx, op, "scales", scales, n, scales.shape[1]));
  } else {
    if (width % group) return ctx.fail(LF_INVALID, "%s: groups of %lld do not divide the columns of w %s", op, (long long)group, shape_text(w).text);
    LF_CHECK(expect_shape(ctx, op, "scales", scales, n, width / group));
  }
  LF_CHECK(expect_dtype(ctx, op, "zeros", o[5], LF_F32));
  LF_CHECK(expect_same_shape(ctx, op, "zeros", o[5], "scales", scales));
  LF_CHECK(expect_matrix(ctx, op, "codes", o[6], LF_U8, n, width));
  return expect_matrix(ctx, op, "errors", o[7], LF_F32, n, width);
}

// Sum of errors[i] * factor[i] for from <= i < to, over the lanes.
LF_INLINE f32v carry(const float* errors, const float* factor, int64_t from, int64_t to) {
  f32v sums[4] = {};
  int64_t i = from;
  for (; i + 4 <= to; i += 4)
    for (int p = 0; p < 4; p++) sums[p] = fma(load(errors + (i + p) * kLanes), broadcast(factor[i + p]), sums[p]);
  for (; i < to; i++) sums[0] = fma(load(errors + i * kLanes), broadcast(factor[i]), sums[0]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

const char* quantize_block(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_block(ctx, params, o, count));
  const View &w = o[0], &carried = o[1], &upper = o[2], &columns = o[3], &scales = o[4], &zeros = o[5], &codes = o[6],
             &errors = o[7];
  const Grid grid = grid_of(params);
  const int64_t n = w.shape[0], width = w.shape[1];
  const bool fixed = columns.present();
  if (fixed) {
    for (int64_t j = 0; j < width; j++) {
      const int32_t g = columns.as<const int32_t>()[j * columns.stride[0]];
      if (g < 0 || g >= scales.shape[1])
        return ctx.fail(LF_INVALID, "QUANTIZE_BLOCK: column %lld is of group %d, but there are %lld", (long long)j, g, (long long)scales.shape[1]);
    }
  }
  // factor[j][i] = upper[i, j] / upper[j, j] for i < j; then what the squared error of each column costs, and the inverse
  // of the diagonal.
  const size_t shared_bytes = size_t(width + 2) * size_t(larger<int64_t>(width, 1)) * 4;
  float* const factor = static_cast<float*>(ctx.shared(shared_bytes));
  if (!factor) return out_of_scratch(ctx, "QUANTIZE_BLOCK", shared_bytes);
  float* const importance = factor + width * width;
  float* const inverse_diagonal = importance + width;
  auto at = [&](int64_t i, int64_t j) { return upper.as<const float>()[i * upper.stride[0] + j * upper.stride[1]]; };
  for (int64_t j = 0; j < width; j++) {
    importance[j] = at(j, j) * at(j, j), inverse_diagonal[j] = 1.0f / at(j, j);
    for (int64_t i = 0; i < j; i++) factor[j * width + i] = at(i, j) / at(j, j);
  }
  const size_t bytes = size_t(4 * width + 2 * grid.group) * kLanes * 4;
  for (int worker = 0; worker < ctx.workers(); worker++)
    if (!ctx.local(worker, bytes)) return out_of_scratch(ctx, "QUANTIZE_BLOCK", bytes);
  ctx.for_each(ceil_div(n, kLanes), [&](int64_t tile, int worker) {
    float* const weights = static_cast<float*>(ctx.local(worker, bytes));
    float *const targets = weights + width * kLanes, *const off = targets + width * kLanes, *const own_codes = off + width * kLanes;
    float* const ahead = own_codes + width * kLanes;
    const int64_t row = tile * kLanes, rows = smaller<int64_t>(kLanes, n - row);
    gather(w, row, rows, 0, width, weights);
    if (carried.present()) {
      gather(carried, row, rows, 0, width, targets);
      for (int64_t j = 0; j < width; j++)
        store(targets + j * kLanes, fma(load(targets + j * kLanes), broadcast(inverse_diagonal[j]), load(weights + j * kLanes)));
    } else {
      __builtin_memcpy(targets, weights, size_t(width) * kLanes * 4);
    }
    f32v scale = broadcast(1.0f), zero = broadcast(0.0f);
    for (int64_t j = 0; j < width; j++) {
      if (!fixed && j % grid.group == 0) {
        // What the columns of the group would best be, given the errors before it: each as if those of the group before
        // it were not rounded.
        for (int64_t m = j; m < j + grid.group; m++) {
          const f32v target = load(targets + m * kLanes) + carry(off, factor + m * width, 0, j);
          store(targets + m * kLanes, target);
          const f32v best = target + carry(off, factor + m * width, j, m);
          store(ahead + (m - j) * kLanes, best);
          store(off + m * kLanes, load(weights + m * kLanes) - best);
        }
        const Choice choice = find_grid(grid, ahead, importance + j);
        scale = choice.scale, zero = choice.zero;
        float pair[2][kLanes];
        store(pair[0], scale), store(pair[1], zero);
        scatter(scales, row, rows, j / grid.group, 1, pair[0]);
        scatter(zeros, row, rows, j / grid.group, 1, pair[1]);
      }
      if (fixed) {
        float pair[2][kLanes];
        const int64_t g = columns.as<const int32_t>()[j * columns.stride[0]];
        gather(scales, row, rows, g, 1, pair[0]);
        gather(zeros, row, rows, g, 1, pair[1]);
        // Lanes beyond the last row have no scale.
        scale = load(pair[0]), zero = load(pair[1]);
        scale = select(scale > broadcast(0.0f), scale, broadcast(1.0f));
      }
      const f32v target = load(targets + j * kLanes) + carry(off, factor + j * width, fixed ? 0 : j - j % grid.group, j);
      const f32v step = clamp(round_even(target * (broadcast(1.0f) / scale)), -zero, broadcast(grid.levels) - zero);
      const f32v value = step * scale;
      store(own_codes + j * kLanes, step + zero);
      store(off + j * kLanes, load(weights + j * kLanes) - value);
    }
    scatter(codes, row, rows, 0, width, own_codes);
    scatter(errors, row, rows, 0, width, off);
  });
  return nullptr;
}

// -------------------------------------------------------------------------------------------------- QUANTIZE_SWEEP --

const char* check_sweep(Context& ctx, const uint32_t* params, const View* o, int) {
  const char* op = "QUANTIZE_SWEEP";
  LF_CHECK(check_grid(ctx, op, params));
  const View& w = o[0];
  LF_CHECK(expect_dtype(ctx, op, "w", w, LF_F32));
  LF_CHECK(expect_rank(ctx, op, "w", w, 2));
  const int64_t n = w.shape[0], width = w.shape[1], group = params[1];
  if (width % group) return ctx.fail(LF_INVALID, "%s: groups of %lld do not divide the columns of w %s", op, (long long)group, shape_text(w).text);
  LF_CHECK(expect_matrix(ctx, op, "slope", o[1], LF_F32, n, width));
  LF_CHECK(expect_matrix(ctx, op, "square", o[2], LF_F32, width, width));
  LF_CHECK(expect_matrix(ctx, op, "scales", o[3], LF_F32, n, width / group));
  LF_CHECK(expect_matrix(ctx, op, "zeros", o[4], LF_F32, n, width / group));
  LF_CHECK(expect_matrix(ctx, op, "codes", o[5], LF_U8, n, width));
  return expect_matrix(ctx, op, "errors", o[6], LF_F32, n, width);
}

const char* quantize_sweep(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_sweep(ctx, params, o, count));
  const View &w = o[0], &slopes = o[1], &square = o[2], &scales = o[3], &zeros = o[4], &codes = o[5], &errors = o[6];
  const Grid grid = grid_of(params);
  const int64_t n = w.shape[0], width = w.shape[1], group = grid.group;
  const size_t shared_bytes = size_t(width) * size_t(larger<int64_t>(width, 1)) * 4;
  float* const h = static_cast<float*>(ctx.shared(shared_bytes));
  if (!h) return out_of_scratch(ctx, "QUANTIZE_SWEEP", shared_bytes);
  for (int64_t i = 0; i < width; i++)
    for (int64_t j = 0; j < width; j++) h[i * width + j] = square.as<const float>()[i * square.stride[0] + j * square.stride[1]];
  const size_t bytes = size_t(5 * width + group) * kLanes * 4;
  for (int worker = 0; worker < ctx.workers(); worker++)
    if (!ctx.local(worker, bytes)) return out_of_scratch(ctx, "QUANTIZE_SWEEP", bytes);
  ctx.for_each(ceil_div(n, kLanes), [&](int64_t tile, int worker) {
    // `moved` is by how much each error has changed: what slopes lag behind by.
    float* const weights = static_cast<float*>(ctx.local(worker, bytes));
    float *const slope = weights + width * kLanes, *const off = slope + width * kLanes, *const moved = off + width * kLanes;
    float *const step = moved + width * kLanes, *const pull = step + width * kLanes;
    const int64_t row = tile * kLanes, rows = smaller<int64_t>(kLanes, n - row);
    gather(w, row, rows, 0, width, weights);
    gather(slopes, row, rows, 0, width, slope);
    gather(errors, row, rows, 0, width, off);
    for (int64_t lane = 0; lane < kLanes; lane++)
      for (int64_t j = 0; j < width; j++)
        step[j * kLanes + lane] = lane < rows ? float(codes.as<const uint8_t>()[(row + lane) * codes.stride[0] + j * codes.stride[1]]) : 0.0f;
    const f32v none = broadcast(0.0f);
    for (int64_t j = 0; j < width; j++) store(moved + j * kLanes, none);
    for (int64_t first = 0; first < width; first += group) {
      float pair[2][kLanes];
      gather(scales, row, rows, first / group, 1, pair[0]);
      gather(zeros, row, rows, first / group, 1, pair[1]);
      const f32v zero = load(pair[1]), old = load(pair[0]);
      // With codes c, E' = E - c d changes the quadratic by -2 d (c . slope) + d^2 (c H c).
      f32v products = none, squares = none;
      for (int64_t j = first; j < first + group; j++) {
        const f32v c = load(step + j * kLanes) - zero;
        store(step + j * kLanes, c);
        store(slope + j * kLanes, load(slope + j * kLanes) + carry(moved, h + j * width, 0, first));
        products = fma(c, load(slope + j * kLanes), products);
      }
      for (int64_t j = first; j < first + group; j++) {
        const f32v sum = carry(step, h + j * width, first, first + group);
        store(pull + (j - first) * kLanes, sum);
        squares = fma(load(step + j * kLanes), sum, squares);
      }
      const f32v wanted = old + select(squares > none, products / squares, none);
      const f32v candidate = stored_scale(grid.dtype, select(wanted > none, wanted, old)), change = candidate - old;
      const i32v better = change * fma(change, squares, products * -2.0f) < none;
      const f32v taken = select(better, change, none), scale = old + taken;
      const f32v safe = select(scale > none, scale, broadcast(1.0f));
      for (int64_t j = first; j < first + group; j++) {
        const f32v by = -load(step + j * kLanes) * taken;
        store(moved + j * kLanes, by);
        store(off + j * kLanes, load(off + j * kLanes) + by);
        store(slope + j * kLanes, load(slope + j * kLanes) - load(pull + (j - first) * kLanes) * taken);
      }
      store(pair[0], scale);
      scatter(scales, row, rows, first / group, 1, pair[0]);
      // From here `pull` is what each column has moved since its slope was last brought up to date.
      for (int64_t j = first; j < first + group; j++) store(pull + (j - first) * kLanes, none);
      const f32v inverse = broadcast(1.0f) / safe, low = -zero, high = broadcast(grid.levels) - zero;
      for (int64_t j = first; j < first + group; j++) {
        const f32v current = load(slope + j * kLanes) + carry(pull, h + j * width + first, 0, j - first);
        const f32v own = load(weights + j * kLanes), error = load(off + j * kLanes);
        const f32v target = own - error + current * broadcast(1.0f / h[j * width + j]);
        const f32v code = clamp(round_even(target * inverse), low, high), next = own - code * scale;
        store(pull + (j - first) * kLanes, next - error);
        store(moved + j * kLanes, load(moved + j * kLanes) + (next - error));
        store(off + j * kLanes, next);
        store(step + j * kLanes, code + zero);
      }
    }
    scatter(codes, row, rows, 0, width, step);
    scatter(errors, row, rows, 0, width, off);
  });
  return nullptr;
}

}  // namespace

void register_quantize(KernelTable& table) {
  table.entry[LF_OP_QUANTIZE_GROUPS] = {quantize_groups, check_groups};
  table.entry[LF_OP_QUANTIZE_BLOCK] = {quantize_block, check_block};
  table.entry[LF_OP_QUANTIZE_SWEEP] = {quantize_sweep, check_sweep};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
