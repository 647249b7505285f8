// QUANTIZE_GROUPS, QUANTIZE_BLOCK and QUANTIZE_SWEEP: weights to codes, with the grid of each group found on the way (GPTQ,
// Frantar et al. 2022, with the errors of a column handed to those after it as soon as it is rounded). Rows are independent:
// a warp has one, its lanes share the columns, and sums run over lanes in a fixed order.
#include "quantize.h"

#include "access.h"

namespace lf_gpu {

constexpr float kShareStep = 0.02f;        // a share of a group's range is this much less than the one before it
constexpr float kSmallestScale = 5.9604644775390625e-08f;  // 2^-24, the smallest number of f16: a scale that rounds to nothing

LF_ON_DEVICE float number(const Strided& m, int64_t row, int64_t column) {
  return load(reinterpret_cast<const float*>(m.data) + row * m.row + column * m.column);
}
LF_ON_DEVICE void set_number(const Strided& m, int64_t row, int64_t column, float v) {
  store(reinterpret_cast<float*>(m.data) + row * m.row + column * m.column, v);
}
LF_ON_DEVICE void set_code(const Strided& m, int64_t row, int64_t column, float v) {
  store(m.data + row * m.row + column * m.column, uint8_t(v));
}
LF_ON_DEVICE float stored_scale(uint32_t dtype, float scale) {
  if (dtype == LF_F16) scale = widen(narrow<f16>(scale));
  if (dtype == LF_BF16) scale = widen(narrow<bf16>(scale));
  return scale > 0.0f ? scale : kSmallestScale;
}
LF_ON_DEVICE float clamp(float v, float low, float high) { return v < low ? low : v > high ? high : v; }

struct Choice {
  float scale, zero;
};
// The grid of a group; all lanes of the warp take part. `value(i)` and `importance(i)` are of element i.
template <typename Value, typename Importance>
LF_ON_DEVICE Choice find_grid(const QuantizeGrid& grid, Value value, Importance importance) {
  float low = 0.0f, high = 0.0f;
  for (int64_t i = lane_id(); i < grid.group; i += kWarp) {
    const float v = value(i);
    low = v < low ? v : low, high = v > high ? v : high;
  }
  low = -warp_max(-low), high = warp_max(high);
  const float range = grid.symmetric ? 2.0f * larger_of(-low, high) : high - low;
  if (range == 0.0f) return {1.0f, grid.half};
  const float step = range / grid.levels;
  const float zero = grid.symmetric ? grid.half : clamp(round_of(-low / step), 0.0f, grid.levels);
  const float bottom = -zero, top = grid.levels - zero;
  float best = 1.0f, least = __builtin_inff();
  auto consider = [&](float wanted) {
    const float scale = stored_scale(grid.dtype, wanted), inverse = 1.0f / scale;
    float error = 0.0f;
    for (int64_t i = lane_id(); i < grid.group; i += kWarp) {
      const float v = value(i), off = v - clamp(round_of(v * inverse), bottom, top) * scale;
      error += importance(i) * off * off;
    }
    error = warp_sum(error);
    if (error < least) least = error, best = scale;
  };
  for (int s = 0; s < grid.shares; s++) consider(step * (1.0f - kShareStep * float(s)));
  for (int r = 0; r < grid.refits; r++) {
    // The scale that is best for the codes as they are.
    const float inverse = 1.0f / best;
    float products = 0.0f, squares = 0.0f;
    for (int64_t i = lane_id(); i < grid.group; i += kWarp) {
      const float v = value(i), code = clamp(round_of(v * inverse), bottom, top), weighted = importance(i) * code;
      products += weighted * v, squares += weighted * code;
    }
    products = warp_sum(products), squares = warp_sum(squares);
    consider(squares > 0.0f && products > 0.0f ? products / squares : best);
  }
  return {best, zero};
}

// A warp for each group of a row.
LF_KERNEL(quantize_groups, QuantizeArgs, kQuantizeThreads) {
  const QuantizeGrid& grid = a.grid;
  const int64_t groups = a.width / grid.group, i = (int64_t(block_x()) * block_threads() + thread_id()) / kWarp;
  if (i >= a.rows * groups) return;
  const int64_t row = i / groups, g = i % groups, from = g * grid.group;
  auto value = [&](int64_t e) { return number(a.w, row, from + e); };
  auto importance = [&](int64_t e) { return a.importance ? load(a.importance + (from + e) * a.importance_stride) : 1.0f; };
  const Choice choice = find_grid(grid, value, importance);
  const float inverse = 1.0f / choice.scale;
  for (int64_t e = lane_id(); e < grid.group; e += kWarp) {
    const float step = clamp(round_of(value(e) * inverse), -choice.zero, grid.levels - choice.zero);
    set_code(a.codes, row, from + e, step + choice.zero);
    if (a.values.data) set_number(a.values, row, from + e, step * choice.scale);
  }
  if (lane_id() != 0) return;
  set_number(a.scales, row, g, choice.scale);
  set_number(a.zeros, row, g, choice.zero);
}

// A warp for each row. Column j's error goes to the targets of the columns after it: errors[j] upper[j, m] / upper[m, m].
LF_KERNEL(quantize_block, QuantizeArgs, kQuantizeThreads) {
  const QuantizeGrid& grid = a.grid;
  const int64_t row = (int64_t(block_x()) * block_threads() + thread_id()) / kWarp;
  if (row >= a.rows) return;
  const int lane = lane_id(), width = int(a.width), group = int(grid.group);
  const Shared<float> targets = shared_at<float>(uint32_t(thread_id() / kWarp * a.shared_numbers * 4));
  const Shared<float> inverse = targets + width, ahead = inverse + width;
  for (int j = lane; j < width; j += kWarp) {
    const float one = 1.0f / number(a.matrix, j, j);
    inverse[j] = one;
    targets[j] = number(a.w, row, j) + (a.carried.data ? number(a.carried, row, j) * one : 0.0f);
  }
  sync_warp();
  Choice choice{1.0f, 0.0f};
  for (int j = 0; j < width; j++) {
    if (!a.columns && j % group == 0) {
      // What the columns of the group would best be: each as if those of the group before it were not rounded.
      for (int m = lane; m < group; m += kWarp) ahead[m] = float(targets[j + m]);
      sync_warp();
      for (int m = 0; m < group; m++) {
        const float off = number(a.w, row, j + m) - float(ahead[m]);
        for (int k = m + 1 + lane; k < group; k += kWarp) ahead[k] += off * number(a.matrix, j + m, j + k) * float(inverse[j + k]);
        sync_warp();
      }
      choice = find_grid(grid, [&](int64_t e) { return float(ahead[int(e)]); },
                         [&](int64_t e) {
                           const float d = number(a.matrix, j + e, j + e);
                           return d * d;
                         });
      if (lane == 0) {
        set_number(a.scales, row, j / group, choice.scale);
        set_number(a.zeros, row, j / group, choice.zero);
      }
    } else if (a.columns) {
      const int64_t g = load(a.columns + j * a.column_stride);
      choice = {number(a.scales, row, g), number(a.zeros, row, g)};
      if (!(choice.scale > 0.0f)) choice.scale = 1.0f;
    }
    const float step = clamp(round_of(float(targets[j]) * (1.0f / choice.scale)), -choice.zero, grid.levels - choice.zero);
    const float error = number(a.w, row, j) - step * choice.scale;
    if (lane == 0) {
      set_code(a.codes, row, j, step + choice.zero);
      set_number(a.errors, row, j, error);
    }
    for (int m = j + 1 + lane; m < width; m += kWarp) targets[m] += error * number(a.matrix, j, m) * float(inverse[m]);
    sync_warp();
  }
}

// A warp for each row. A change of a column's error changes the slopes of the others by its row of the square.
LF_KERNEL(quantize_sweep, QuantizeArgs, kQuantizeThreads) {
  const QuantizeGrid& grid = a.grid;
  const int64_t row = (int64_t(block_x()) * block_threads() + thread_id()) / kWarp;
  if (row >= a.rows) return;
  const int lane = lane_id(), width = int(a.width), group = int(grid.group);
  const Shared<float> slope = shared_at<float>(uint32_t(thread_id() / kWarp * a.shared_numbers * 4));
  const Shared<float> off = slope + width, step = off + width, moved = step + group;
  for (int j = lane; j < width; j += kWarp) {
    slope[j] = number(a.slope, row, j);
    off[j] = number(a.errors, row, j);
  }
  sync_warp();
  for (int first = 0; first < width; first += group) {
    const float zero = number(a.zeros, row, first / group), old = number(a.scales, row, first / group);
    for (int j = lane; j < group; j += kWarp)
      step[j] = float(load(a.codes.data + row * a.codes.row + (first + j) * a.codes.column)) - zero;
    sync_warp();
    // With codes c, E' = E - c d changes the quadratic by -2 d (c . slope) + d^2 (c H c).
    float products = 0.0f, squares = 0.0f;
    for (int j = lane; j < group; j += kWarp) {
      float pull = 0.0f;
      for (int k = 0; k < group; k++) pull += float(step[k]) * number(a.matrix, first + k, first + j);
      moved[j] = pull;
      products += float(step[j]) * float(slope[first + j]), squares += float(step[j]) * pull;
    }
    products = warp_sum(products), squares = warp_sum(squares);
    const float wanted = old + (squares > 0.0f ? products / squares : 0.0f);
    const float candidate = stored_scale(grid.dtype, wanted > 0.0f ? wanted : old), change = candidate - old;
    const float taken = change * (change * squares - 2.0f * products) < 0.0f ? change : 0.0f, scale = old + taken;
    for (int j = lane; j < group; j += kWarp) {
      const float by = -float(step[j]) * taken;
      slope[first + j] += -float(moved[j]) * taken;
      off[first + j] += by;
      moved[j] = by;
    }
    if (lane == 0) set_number(a.scales, row, first / group, scale);
    const float inverse = 1.0f / (scale > 0.0f ? scale : 1.0f);
    sync_warp();
    for (int j = 0; j < group; j++) {
      const float own = number(a.w, row, first + j), error = off[first + j];
      const float target = own - error + float(slope[first + j]) / number(a.matrix, first + j, first + j);
      const float code = clamp(round_of(target * inverse), -zero, grid.levels - zero), next = own - code * scale;
      sync_warp();
      if (lane == 0) {
        moved[j] += next - error;
        set_number(a.errors, row, first + j, next);
        set_code(a.codes, row, first + j, code + zero);
      }
      for (int k = j + 1 + lane; k < group; k += kWarp) slope[first + k] += (next - error) * number(a.matrix, first + j, first + k);
      sync_warp();
    }
    for (int k = first + group + lane; k < width; k += kWarp) {
      float sum = 0.0f;
      for (int j = 0; j < group; j++) sum += float(moved[j]) * number(a.matrix, first + j, k);
      slope[k] += sum;
    }
    sync_warp();
  }
}

}  // namespace lf_gpu
