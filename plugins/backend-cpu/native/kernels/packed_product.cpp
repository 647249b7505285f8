// Products in 8 bits: activations are rounded to a scale and 32 signed bytes at a time, weights are used in the bits that
// they are packed in, and the dot products of groups are integers (exact), scaled and summed in f32 along K.
//
// One row is decoding, where the time is that of reading the weights; with more rows each panel stays in the L1 cache while
// blocks of rows pass over it, and with more than registers hold sums of, integers are summed on tiles where there are any
// (AMX-INT8). The arithmetic of an element is the same in all cases.
#include "packed_product.h"

#include <cmath>

#include "gemm_output.h"
#include "int8_dot.h"
#include "packed_format.h"
#include "tile_unit.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr bool kTiles = LF_ISA_LEVEL >= 4;
// Registers hold an integer and a float sum for each row, and four words of codes.
constexpr int kRegisterRows = LF_ISA_LEVEL >= 2 ? 8 : LF_ISA_LEVEL == 1 ? 4 : 2;
constexpr int kRows = kTiles ? 2 * kRegisterRows : kRegisterRows;  // of a block
constexpr int64_t kTaskRows = 128;      // rows that a task passes over each panel, a multiple of kRows
constexpr int64_t kTaskBytes = 48 << 10;  // of panels that a task of decoding reads, about
constexpr float kLeast = 0x1p-100f;     // groups whose largest element is smaller count as zero

// Activations [m][k] in 8 bits, in blocks of kRows rows. A block has a record for each group of its rows, in which what the
// rows have at one place lies side by side, so that a product runs through it with one pointer:
//   codes       [kGroupWords][rows]  four signed bytes each; [rows][kGroupWords] for tiles
//   scales      [rows]
//   corrections [2][rows]            what the format's offset takes away: its product with the sum of the codes, negative,
//                                    for each half of the group where halves have scales of their own, else once
//   weighted    [rows]               scale times the sum of the codes, for formats with a minimum
constexpr int kScales = kGroupWords, kCorrections = kScales + 1, kWeighted = kCorrections + 2, kRecord = kWeighted + 1;

constexpr int64_t code_at(int64_t word, int64_t row, int64_t rows) {
  return kTiles ? row * kGroupWords + word : word * rows + row;
}

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
LF_INLINE void quantise_group(const float* values, const Correction& correction, uint32_t* record, int64_t row,
                              int64_t rows) {
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
  for (int w = 0; w < kGroupWords; w++) record[code_at(w, row, rows)] = words[w];
  record += row;
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
      quantise_group(values, correction, x.record(block, g), row % kRows, x.rows_of(block));
    }
  });
}

LF_INLINE f32v broadcast_at(const uint32_t* at) {
  float value;
  __builtin_memcpy(&value, at, 4);
  return broadcast(value);
}

// tile [kCount][kPackedColumns] = one block of kCount rows, whose records begin at `record`, times one panel. The panel
// `ahead` bytes further on is fetched meanwhile, unless that is 0.
template <lf_dtype kType, int kCount>
void multiply_panel(const PackedPanel& p, const uint32_t* first, int64_t groups, int64_t ahead, float* tile) {
  constexpr PackedFormat f = packed_format(kType);
  constexpr bool kHalves = correction_of(f).halves;
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
          for (int r = 0; r < kCount; r++) acc[r] = dot4<f.bits>(acc[r], words[w], record[code_at(4 * half + w, r, kCount)]);
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

// One for each number of rows, 1 .. kRegisterRows.
template <lf_dtype kType>
struct PanelProducts {
  PanelProduct at[kRegisterRows];
  constexpr PanelProducts() : at{} { fill<kRegisterRows>(); }

 private:
  template <int kCount>
  constexpr void fill() {
    at[kCount - 1] = multiply_panel<kType, kCount>;
    if constexpr (kCount > 1) fill<kCount - 1>();
  }
};

#if LF_ISA_LEVEL >= 4
// The codes of a panel as a tile takes them, [groups][kGroupWords][kPackedColumns] words: as they lie, or spread at `spread`.
template <lf_dtype kType>
const uint32_t* spread_codes(const PackedPanel& p, int64_t groups, uint32_t* spread) {
  constexpr PackedFormat f = packed_format(kType);
  static_assert(kPackedColumns == kLanes, "a row of a tile is a vector");
  if constexpr (f.bits == 8) return reinterpret_cast<const uint32_t*>(p.codes);
  for (int64_t i = 0; i < 2 * groups; i++) {
    u32v words[4];
    packed_codes<kType>(p, i / 2, int(i % 2), 0, words);
    __builtin_memcpy(spread + i * 4 * kPackedColumns, words, sizeof words);
  }
  return spread;
}

// What multiply_panel computes, for kCount rows, more than kRegisterRows. Compiled and emulated; not yet run on hardware.
template <lf_dtype kType, int kCount>
void multiply_panel_on_tiles(TileUse& use, const PackedPanel& p, const uint32_t* codes, const uint32_t* first, int64_t groups,
                             float* tile) {
  constexpr PackedFormat f = packed_format(kType);
  constexpr int kParts = correction_of(f).halves ? 2 : 1, kWords = kGroupWords / kParts;
  use.configure(kCount, kWords);
  f32v sums[kCount] = {};
  alignas(64) int32_t products[4][kCount][kPackedColumns];
  const uint32_t* record = first;
  // Part `part` of the group `group`, on the tile `t`.
  const auto multiply = [&](auto t, int64_t group, int part) __attribute__((always_inline)) {
    constexpr int kTile = decltype(t)::value;
    const int words = part * kWords;
    zero_tile<kTile>();
    load_tile<6>(record + (group * kRecord * kCount + words), kGroupWords * 4);
    load_tile<7>(codes + (group * kGroupWords + words) * kPackedColumns, kPackedColumns * 4);
    multiply_byte_tiles<kTile>();
    store_tile<kTile>(products[kTile], kPackedColumns * 4);
  };
  const auto add = [&](int64_t group, int part, int t) __attribute__((always_inline)) {
    const uint32_t* x = record + group * kRecord * kCount;
    const f32v scale = packed_scale<kType>(p, group, part, 0);
#pragma GCC unroll 16
    for (int r = 0; r < kCount; r++) {
      i32v acc;
      __builtin_memcpy(&acc, products[t][r], sizeof acc);
      if constexpr (f.offset != 0) acc += broadcast_i32(int32_t(x[(kCorrections + part) * kCount + r]));
      sums[r] = fma(to_f32(acc), scale * broadcast_at(x + kScales * kCount + r), sums[r]);
    }
    if (!f.has_minimum() || part + 1 < kParts) return;
    const f32v minimum = packed_minimum<kType>(p, group, 0);
#pragma GCC unroll 16
    for (int r = 0; r < kCount; r++) sums[r] = fma(minimum, broadcast_at(x + kWeighted * kCount + r), sums[r]);
  };
  // Four products at a time, so that their latencies overlap.
  const int64_t count = groups * kParts;
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    multiply(std::integral_constant<int, 0>(), i / kParts, int(i % kParts));
    multiply(std::integral_constant<int, 1>(), (i + 1) / kParts, int((i + 1) % kParts));
    multiply(std::integral_constant<int, 2>(), (i + 2) / kParts, int((i + 2) % kParts));
    multiply(std::integral_constant<int, 3>(), (i + 3) / kParts, int((i + 3) % kParts));
    for (int t = 0; t < 4; t++) add((i + t) / kParts, int((i + t) % kParts), t);
  }
  for (; i < count; i++) {
    multiply(std::integral_constant<int, 0>(), i / kParts, int(i % kParts));
    add(i / kParts, int(i % kParts), 0);
  }
  for (int r = 0; r < kCount; r++) store(tile + r * kPackedColumns, sums[r]);
}

using TiledProduct = void (*)(TileUse& use, const PackedPanel& p, const uint32_t* codes, const uint32_t* first, int64_t groups,
                              float* tile);

// One for each number of rows, kRegisterRows + 1 .. kRows.
template <lf_dtype kType>
struct TiledProducts {
  TiledProduct at[kRows - kRegisterRows];
  constexpr TiledProducts() : at{} { fill<kRows>(); }

 private:
  template <int kCount>
  constexpr void fill() {
    at[kCount - kRegisterRows - 1] = multiply_panel_on_tiles<kType, kCount>;
    if constexpr (kCount > kRegisterRows + 1) fill<kCount - 1>();
  }
};
#endif

// Passes blocks of rows over one panel after another.
template <lf_dtype kType>
class PanelPass {
 public:
  // `spread` has room for a panel's codes, where there are tiles.
  PanelPass(const Activations& x, int64_t panel_bytes, [[maybe_unused]] uint32_t* spread)
      : x_(x),
        panel_bytes_(panel_bytes)
#if LF_ISA_LEVEL >= 4
        ,
        spread_(spread)
#endif
  {
  }

  void begin(const PackedPanel& panel) {
    panel_ = panel;
    fetched_ = false;
#if LF_ISA_LEVEL >= 4
    codes_ = nullptr;
#endif
  }

  // tile [rows][kPackedColumns] = the block times the panel.
  void multiply(int64_t block, float* tile) {
    const int64_t rows = x_.rows_of(block), ahead = fetched_ ? 0 : panel_bytes_;
    fetched_ = true;
#if LF_ISA_LEVEL >= 4
    if (rows > kRegisterRows) {
      static constexpr TiledProducts<kType> tiled;
      if (!codes_) codes_ = spread_codes<kType>(panel_, x_.groups, spread_);
      return tiled.at[rows - kRegisterRows - 1](use_, panel_, codes_, x_.record(block, 0), x_.groups, tile);
    }
#endif
    static constexpr PanelProducts<kType> products;
    products.at[rows - 1](panel_, x_.record(block, 0), x_.groups, ahead, tile);
  }

 private:
  const Activations& x_;
  int64_t panel_bytes_;
  PackedPanel panel_{};
  bool fetched_ = false;
#if LF_ISA_LEVEL >= 4
  uint32_t* spread_;
  const uint32_t* codes_ = nullptr;
  TileUse use_;
#endif
};

// Bytes that a worker spreads codes to.
constexpr int64_t spread_bytes(int64_t k) { return kTiles ? k * kPackedColumns : 0; }

template <lf_dtype kType>
void multiply_panels(Context& ctx, const Product* products, int count, const Activations& x, uint8_t* spread) {
  const PackedFormat f = packed_format(kType, products->b.group);
  const int64_t m = products->m, k = products->k, panel_bytes = packed_panel_bytes(f, k);
  int64_t ends[kMaxJoint], panels = 0;  // of each weight's panels, in the sequence of all
  for (int i = 0; i < count; i++) ends[i] = panels += ceil_div(products[i].n, kPackedColumns);
  const int64_t blocks = ceil_div(m, kTaskRows);
  // Few and equal tasks: each costs an exchange between the threads.
  int64_t groups = larger<int64_t>(ctx.workers() == 1 ? 1 : 2 * ctx.workers(), panels * panel_bytes / kTaskBytes);
  groups = smaller(panels, ctx.workers() == 1 ? 1 : round_up(groups, ctx.workers()));
  ctx.for_each(blocks * groups, [&](int64_t task, int worker) {
    PanelPass<kType> pass(x, panel_bytes, reinterpret_cast<uint32_t*>(spread + worker * spread_bytes(k)));
    const int64_t group = task % groups, row0 = task / groups * kTaskRows, rows = smaller(kTaskRows, m - row0);
    int at = 0;
    for (int64_t i = panels * group / groups; i < panels * (group + 1) / groups; i++) {
      while (i >= ends[at]) at++;
      const Product& p = products[at];
      const int64_t panel = at == 0 ? i : i - ends[at - 1];
      pass.begin(packed_panel(f, p.b.data, panel, k));
      const int64_t column = panel * kPackedColumns, columns = smaller<int64_t>(kPackedColumns, p.n - column);
      for (int64_t r = 0; r < rows; r += kRows) {
        const int64_t block = (row0 + r) / kRows, some = x.rows_of(block);
        float tile[kRows * kPackedColumns];
        pass.multiply(block, tile);
        write_tile<kPackedColumns>(p.out, row0 + r, some, column, columns, p.n, tile);
      }
    }
  });
}

}  // namespace

static int64_t activation_bytes(const Product& product) {
  return round_up(product.m * (product.k / kGroup) * kRecord * int64_t(sizeof(uint32_t)), 64);
}

size_t packed_product_scratch(Context& ctx, const Product& product) {
  return activation_bytes(product) + ctx.workers() * spread_bytes(product.k);
}

const char* multiply_packed(Context& ctx, const char*, const Product* products, int count, void* scratch) {
  const Product& product = *products;
  const Activations x{static_cast<uint32_t*>(scratch), product.m, product.k / kGroup};
  uint8_t* spread = static_cast<uint8_t*>(scratch) + activation_bytes(product);
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
  with_packed_format(product.b.dtype, [&](auto type) {
    multiply_panels<decltype(type)::value>(ctx, products, count, x, spread);
  });
  return nullptr;
}

}  // namespace LF_ISA
}  // namespace lf_cpu
