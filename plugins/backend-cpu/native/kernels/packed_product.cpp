// Products in 8 bits: activations are rounded to a scale and 32 signed bytes at a time, weights are used in the bits that
// they are packed in, and the dot products of groups are integers (exact), scaled and summed in f32 along K.
//
// One row is decoding, where the time is that of reading the weights; with more rows each panel stays in the L1 cache while
// blocks of rows pass over it. The arithmetic of an element is the same in both cases.
#include "packed_product.h"

#include "gemm_output.h"
#include "int8_dot.h"
#include "packed_format.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// Registers hold an integer and a float sum for each row, and four words of codes.
constexpr int kRows = LF_ISA_LEVEL >= 2 ? 8 : LF_ISA_LEVEL == 1 ? 4 : 2;
constexpr int64_t kTaskRows = 128;      // rows that a task passes over each panel
constexpr int64_t kTaskBytes = 48 << 10;  // of panels that a task of decoding reads, about
constexpr float kLeast = 0x1p-100f;     // groups whose largest element is smaller count as zero

// Activations [m][k] in 8 bits.
struct Activations {
  uint32_t* words;   // [m][k / 4], four codes each
  float* scales;     // [m][groups]
  int32_t* sums;     // [m][2 * groups], of the codes of half a group
  float* weighted;   // [m][groups]: scale times the sum of the group's codes
  int64_t groups;
};

LF_INLINE int64_t activation_bytes(int64_t m, int64_t k) {
  return round_up(m * k, 64) + round_up(m * (k / kGroup) * 16, 64);
}
Activations activations_at(uint8_t* memory, int64_t m, int64_t k) {
  Activations x;
  x.groups = k / kGroup;
  x.words = reinterpret_cast<uint32_t*>(memory);
  x.scales = reinterpret_cast<float*>(memory + round_up(m * k, 64));
  x.weighted = x.scales + m * x.groups;
  x.sums = reinterpret_cast<int32_t*>(x.weighted + m * x.groups);
  return x;
}

// scale = largest / 127, codes = x * (127 / largest) to the nearest, ties to even. What is not finite makes the scale NaN.
LF_INLINE void quantise_group(const float* values, uint32_t* words, float& scale, int32_t* half_sums, float& weighted) {
  f32v largest{}, taint{};
  for (int i = 0; i < kGroup; i += kLanes) {
    const f32v v = load(values + i);
    largest = max(largest, abs(v));
    taint += v * 0.0f;
  }
  const float most = max_lane(largest), nan = sum(taint);
  const bool zero = !(most >= kLeast);
  const float inverse = zero || nan != nan ? 0.0f : 127.0f / most;
  scale = zero ? nan : most / 127.0f + nan;
  for (int half = 0; half < 2; half++) {
    f32v sums{};
    for (int i = 0; i < 16; i += kLanes) {
      const f32v code = round_even(load(values + 16 * half + i) * inverse);
      sums += code;
      typedef int8_t i8v __attribute__((vector_size(kLanes)));
      const i8v bytes = __builtin_convertvector(truncate_i32(code), i8v);
      __builtin_memcpy(reinterpret_cast<char*>(words) + 16 * half + i, &bytes, sizeof bytes);
    }
    half_sums[half] = int32_t(sum(sums));  // exact
  }
  weighted = scale * float(half_sums[0] + half_sums[1]);
}

void quantise_row(const Rows& a, int64_t row, const Activations& x) {
  const int64_t at = (a.index ? a.index[row] : row) * a.row_stride;
  with_float(a.dtype, [&](auto type) {
    const auto* src = reinterpret_cast<const decltype(type)*>(a.data) + at;
    for (int64_t g = 0; g < x.groups; g++) {
      float values[kGroup];
      widen_row(src + g * kGroup * a.k_stride, kGroup, a.k_stride, values);
      const int64_t i = row * x.groups + g;
      quantise_group(values, x.words + i * kGroupWords, x.scales[i], x.sums + 2 * i, x.weighted[i]);
    }
  });
}

// tile [kCount][kPackedColumns] = rows from `row` on times one panel. The panel `ahead` bytes further on is fetched
// meanwhile, unless that is 0.
template <lf_dtype kType, int kCount>
static void multiply_panel(const PackedPanel& p, const Activations& x, int64_t row, int64_t ahead, float* tile) {
  constexpr PackedFormat f = packed_format(kType);
  constexpr bool kHalves = f.scales == Scales::kSuperSigned;  // each half has its own scale
  const int64_t groups = x.groups;
  for (int lane = 0; lane < kPackedColumns; lane += kLanes) {
    f32v sums[kCount] = {};
    for (int64_t g = 0; g < groups; g++) {
      i32v acc[kCount];
      const int64_t at = row * groups + g;
      if (ahead && lane == 0) prefetch_group(f, p, g, ahead);
#pragma GCC unroll 2
      for (int half = 0; half < 2; half++) {
        u32v words[4];
        packed_codes<kType>(p, g, half, lane, words);
#pragma GCC unroll 8
        for (int r = 0; r < kCount; r++) {
          const int32_t* half_sums = x.sums + 2 * (at + r * groups);
          if constexpr (f.offset == 0) {
            if (half == 0) acc[r] = i32v{};
          } else if constexpr (kHalves) {
            acc[r] = broadcast_i32(-f.offset * half_sums[half]);
          } else {
            if (half == 0) acc[r] = broadcast_i32(-f.offset * (half_sums[0] + half_sums[1]));
          }
          const uint32_t* xs = x.words + (at + r * groups) * kGroupWords + 4 * half;
#pragma GCC unroll 4
          for (int w = 0; w < 4; w++) acc[r] = dot4<f.bits>(acc[r], words[w], xs[w]);
        }
        if (half == 0 && !kHalves) continue;
        const f32v scale = packed_scale<kType>(p, g, half, lane);
#pragma GCC unroll 8
        for (int r = 0; r < kCount; r++)
          sums[r] = fma(to_f32(acc[r]), scale * x.scales[at + r * groups], sums[r]);
      }
      if constexpr (f.has_minimum()) {
        const f32v minimum = packed_minimum<kType>(p, g, lane);
#pragma GCC unroll 8
        for (int r = 0; r < kCount; r++) sums[r] = fma(minimum, broadcast(x.weighted[at + r * groups]), sums[r]);
      }
    }
    for (int r = 0; r < kCount; r++) store(tile + r * kPackedColumns + lane, sums[r]);
  }
}

using PanelProduct = void (*)(const PackedPanel& p, const Activations& x, int64_t row, int64_t ahead, float* tile);

// One for each number of rows, 1 .. kRows.
template <lf_dtype kType>
struct PanelProducts {
  PanelProduct at[kRows];
  constexpr PanelProducts() : at{} { fill<kRows>(); }

 private:
  template <int kCount>
  constexpr void fill() {
    at[kCount - 1] = multiply_panel<kType, kCount>;
    if constexpr (kCount > 1) fill<kCount - 1>();
  }
};

template <lf_dtype kType>
void multiply_panels(Context& ctx, const Product& p, const Activations& x) {
  static constexpr PanelProducts<kType> products;
  const PackedFormat f = packed_format(kType, p.b.group);
  const int64_t panel_bytes = packed_panel_bytes(f, p.k);
  const int64_t panels = ceil_div(p.n, kPackedColumns), blocks = ceil_div(p.m, kTaskRows);
  // Few and equal tasks: each costs an exchange between the threads.
  int64_t groups = larger<int64_t>(ctx.workers() == 1 ? 1 : 2 * ctx.workers(), panels * panel_bytes / kTaskBytes);
  groups = smaller(panels, ctx.workers() == 1 ? 1 : round_up(groups, ctx.workers()));
  ctx.for_each(blocks * groups, [&](int64_t task, int) {
    const int64_t group = task % groups, row0 = task / groups * kTaskRows, rows = smaller(kTaskRows, p.m - row0);
    for (int64_t panel = panels * group / groups; panel < panels * (group + 1) / groups; panel++) {
      const PackedPanel parts = packed_panel(f, p.b.data, panel, p.k);
      const int64_t column = panel * kPackedColumns, count = smaller<int64_t>(kPackedColumns, p.n - column);
      for (int64_t r = 0; r < rows; r += kRows) {
        const int64_t some = smaller<int64_t>(kRows, rows - r);
        float tile[kRows * kPackedColumns];
        products.at[some - 1](parts, x, row0 + r, r == 0 ? panel_bytes : 0, tile);
        write_tile<kPackedColumns>(p.out, row0 + r, some, column, count, p.n, tile);
      }
    }
  });
}

}  // namespace

size_t packed_product_scratch(Context&, const Product& product) { return activation_bytes(product.m, product.k); }

const char* multiply_packed(Context& ctx, const char*, const Product& product, void* scratch) {
  const Activations x = activations_at(static_cast<uint8_t*>(scratch), product.m, product.k);
  constexpr int64_t kRun = 8;  // rows of a task
  if (product.m <= kRun) {
    for (int64_t i = 0; i < product.m; i++) quantise_row(product.a, i, x);
  } else {
    ctx.for_each(ceil_div(product.m, kRun), [&](int64_t task, int) {
      for (int64_t i = task * kRun; i < smaller(product.m, (task + 1) * kRun); i++)
        quantise_row(product.a, i, x);
    });
  }
  with_packed_format(product.b.dtype, [&](auto type) { multiply_panels<decltype(type)::value>(ctx, product, x); });
  return nullptr;
}

}  // namespace LF_ISA
}  // namespace lf_cpu
