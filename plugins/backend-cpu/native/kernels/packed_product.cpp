// Products in 8 bits: activations are rounded to a scale and 32 signed bytes at a time, weights are used in the bits that
// they are packed in, and the dot products of groups are integers (exact), scaled and summed in f32 along K.
//
// One row is decoding, where the time is that of reading the weights; with more rows each panel stays in the L1 cache while
// blocks of rows pass over it. The arithmetic of an element is the same in both cases.
#include "packed_product.h"

#include <cmath>

#include "gemm_output.h"
#include "int8_dot.h"
#include "packed_format.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// Registers hold an integer and a float sum for each row, and four words of codes.
constexpr int kRows = LF_ISA_LEVEL >= 2 ? 8 : LF_ISA_LEVEL == 1 ? 4 : 2;
constexpr int64_t kTaskRows = 128;      // rows that a task passes over each panel, a multiple of kRows
constexpr int64_t kTaskBytes = 48 << 10;  // of panels that a task of decoding reads, about
constexpr float kLeast = 0x1p-100f;     // groups whose largest element is smaller count as zero

// Activations [m][k] in 8 bits, in blocks of kRows rows. A block has a record for each group of its rows, in which what the
// rows have at one place lies side by side, so that a product runs through it with one pointer:
//   codes       [kGroupWords][rows]  four signed bytes each
//   scales      [rows]
//   corrections [2][rows]            what the format's offset takes away: its product with the sum of the codes, negative,
//                                    for each half of the group where halves have scales of their own, else once
//   weighted    [rows]               scale times the sum of the codes, for formats with a minimum
constexpr int kScales = kGroupWords, kCorrections = kScales + 1, kWeighted = kCorrections + 2, kRecord = kWeighted + 1;

struct Activations {
  uint32_t* words;
  int64_t m, groups;

  int64_t rows_of(int64_t block) const { return smaller<int64_t>(kRows, m - block * kRows); }
  uint32_t* record(int64_t block, int64_t group) const {
    return words + (block * kRows * groups + group * rows_of(block)) * kRecord;
  }
};

// A format's offset, and whether halves of its groups have scales of their own.
struct Correction {
  int offset;
  bool halves;
};
constexpr Correction correction_of(const PackedFormat& f) { return {f.offset, f.scales == Scales::kSuperSigned}; }

// scale = largest / 127, codes = x * (127 / largest) to the nearest, ties to even. What is not finite makes the scale NaN.
LF_INLINE void quantise_group(const float* values, const Correction& correction, uint32_t* record, int64_t rows) {
  f32v largest{};
  // The smaller of NaN and infinity is infinity.
  for (int i = 0; i < kGroup; i += kLanes) largest = max(largest, min(abs(load(values + i)), broadcast(INFINITY)));
  const float most = max_lane(largest);
  const bool zero = most < kLeast, finite = most < INFINITY;
  const float inverse = zero || !finite ? 0.0f : 127.0f / most;
  const float scale = zero ? 0.0f : finite ? most / 127.0f : NAN;
  f32v sums[2] = {};
  uint32_t words[kGroupWords];
  for (int i = 0; i < kGroup; i += kLanes) {
    f32v code = round_even(load(values + i) * inverse);
    if (!finite) code = f32v{};
    sums[i >= kGroup / 2] += code;
    typedef int8_t i8v __attribute__((vector_size(kLanes)));
    const i8v bytes = __builtin_convertvector(truncate_i32(code), i8v);
    __builtin_memcpy(reinterpret_cast<char*>(words) + i, &bytes, sizeof bytes);
  }
  for (int w = 0; w < kGroupWords; w++) record[w * rows] = words[w];
  float whole;  // sums of codes are exact
  int32_t halves[2] = {};
  if (correction.halves) {
    for (int half = 0; half < 2; half++) halves[half] = int32_t(sum(sums[half]));
    whole = float(halves[0] + halves[1]);
  } else {
    whole = sum(sums[0] + sums[1]);
    halves[0] = int32_t(whole);
  }
  const float weighted = scale * whole;
  __builtin_memcpy(record + kScales * rows, &scale, 4);
  for (int half = 0; half < 2; half++) record[(kCorrections + half) * rows] = uint32_t(-correction.offset * halves[half]);
  __builtin_memcpy(record + kWeighted * rows, &weighted, 4);
}

void quantise_row(const Rows& a, int64_t row, const Correction& correction, const Activations& x) {
  const int64_t at = (a.index ? a.index[row] : row) * a.row_stride, block = row / kRows;
  with_float(a.dtype, [&](auto type) {
    const auto* src = reinterpret_cast<const decltype(type)*>(a.data) + at;
    for (int64_t g = 0; g < x.groups; g++) {
      float values[kGroup];
      widen_row(src + g * kGroup * a.k_stride, kGroup, a.k_stride, values);
      quantise_group(values, correction, x.record(block, g) + row % kRows, x.rows_of(block));
    }
  });
}

// tile [kCount][kPackedColumns] = one block of kCount rows, whose records begin at `record`, times one panel. The panel
// `ahead` bytes further on is fetched meanwhile, unless that is 0.
template <lf_dtype kType, int kCount>
static void multiply_panel(const PackedPanel& p, const uint32_t* first, int64_t groups, int64_t ahead, float* tile) {
  constexpr PackedFormat f = packed_format(kType);
  constexpr bool kHalves = correction_of(f).halves;
  const auto broadcast_at = [](const uint32_t* at) {
    float value;
    __builtin_memcpy(&value, at, 4);
    return broadcast(value);
  };
  for (int lane = 0; lane < kPackedColumns; lane += kLanes) {
    f32v sums[kCount] = {};
    const uint32_t* record = first;
    for (int64_t g = 0; g < groups; g++, record += kRecord * kCount) {
      i32v acc[kCount];
      if (ahead && lane == 0) prefetch_group(f, p, g, ahead);
#pragma GCC unroll 2
      for (int half = 0; half < 2; half++) {
        u32v words[4];
        packed_codes<kType>(p, g, half, lane, words);
        if (half == 0 || kHalves) {
#pragma GCC unroll 8
          for (int r = 0; r < kCount; r++)
            acc[r] = f.offset == 0 ? i32v{} : broadcast_i32(int32_t(record[(kCorrections + half) * kCount + r]));
        }
#pragma GCC unroll 4
        for (int w = 0; w < 4; w++) {
#pragma GCC unroll 8
          for (int r = 0; r < kCount; r++) acc[r] = dot4<f.bits>(acc[r], words[w], record[(4 * half + w) * kCount + r]);
        }
        if (half == 0 && !kHalves) continue;
        const f32v scale = packed_scale<kType>(p, g, half, lane);
#pragma GCC unroll 8
        for (int r = 0; r < kCount; r++)
          sums[r] = fma(to_f32(acc[r]), scale * broadcast_at(record + kScales * kCount + r), sums[r]);
      }
      if constexpr (f.has_minimum()) {
        const f32v minimum = packed_minimum<kType>(p, g, lane);
#pragma GCC unroll 8
        for (int r = 0; r < kCount; r++)
          sums[r] = fma(minimum, broadcast_at(record + kWeighted * kCount + r), sums[r]);
      }
    }
    for (int r = 0; r < kCount; r++) store(tile + r * kPackedColumns + lane, sums[r]);
  }
}

using PanelProduct = void (*)(const PackedPanel& p, const uint32_t* first, int64_t groups, int64_t ahead, float* tile);

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
        const int64_t block = (row0 + r) / kRows, some = x.rows_of(block);
        float tile[kRows * kPackedColumns];
        products.at[some - 1](parts, x.record(block, 0), x.groups, r == 0 ? panel_bytes : 0, tile);
        write_tile<kPackedColumns>(p.out, row0 + r, some, column, count, p.n, tile);
      }
    }
  });
}

}  // namespace

size_t packed_product_scratch(Context&, const Product& product) {
  return product.m * (product.k / kGroup) * kRecord * sizeof(uint32_t);
}

const char* multiply_packed(Context& ctx, const char*, const Product& product, void* scratch) {
  const Activations x{static_cast<uint32_t*>(scratch), product.m, product.k / kGroup};
  const Correction correction = correction_of(packed_format(product.b.dtype));
  constexpr int64_t kRun = 8;  // rows of a task
  if (product.m <= kRun) {
    for (int64_t i = 0; i < product.m; i++) quantise_row(product.a, i, correction, x);
  } else {
    ctx.for_each(ceil_div(product.m, kRun), [&](int64_t task, int) {
      for (int64_t i = task * kRun; i < smaller(product.m, (task + 1) * kRun); i++)
        quantise_row(product.a, i, correction, x);
    });
  }
  with_packed_format(product.b.dtype, [&](auto type) { multiply_panels<decltype(type)::value>(ctx, product, x); });
  return nullptr;
}

}  // namespace LF_ISA
}  // namespace lf_cpu
