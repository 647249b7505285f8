// Products of 16 x 16 tiles by one warp, whatever the target has for them: mma.sync, MFMA, or plain arithmetic.
//
// Mma<T> multiplies tiles that lie in shared memory as T, and keeps sums in registers: element e of a lane's `Sums` is
// (row(e), column(e)) of the tile. A row is spread over kRowLanes neighbouring lanes; a lane has kRows rows, of which
// element e belongs to number slot(e).
#pragma once
#include "language.h"

namespace lf_gpu {

constexpr int kTile = 16;
constexpr int kTileSums = kTile * kTile / kWarp;

// By arithmetic: a lane sums a patch of kRows x 4.
template <typename T>
struct ArithmeticMma {
  static constexpr int kRows = kTileSums / 4, kRowLanes = 4;
  struct Sums {
    float v[kTileSums];
  };
  LF_ON_DEVICE static int slot(int e) { return e / 4; }
  LF_ON_DEVICE static int row_of_slot(int s) { return lane_id() / 4 * kRows + s; }
  LF_ON_DEVICE static int row(int e) { return row_of_slot(e / 4); }
  LF_ON_DEVICE static int column(int e) { return lane_id() % 4 * 4 + e % 4; }

  // Where an operand's tile lies: element (i, k) at i * major + k * minor.
  struct Operand {
    Shared<T> at;
    int major, minor;
  };
  using A = Operand;
  using B = Operand;
  LF_ON_DEVICE static A load_a(Shared<T> s, int stride) { return {s, stride, 1}; }
  LF_ON_DEVICE static A load_a_transposed(Shared<T> s, int stride) { return {s, 1, stride}; }
  LF_ON_DEVICE static B load_b(Shared<T> s, int stride) { return {s, stride, 1}; }
  LF_ON_DEVICE static B load_b_transposed(Shared<T> s, int stride) { return {s, 1, stride}; }

  LF_ON_DEVICE static void multiply(Sums& sums, const A& a, const B& b) {
    const int first_row = lane_id() / 4 * kRows, first_column = lane_id() % 4 * 4;
    // Not all of it: the kernels repeat this for every tile, and compilers would take minutes.
#pragma unroll 2
    for (int k = 0; k < kTile; k++) {
      float x[kRows], y[4];
#pragma unroll
      for (int i = 0; i < kRows; i++) x[i] = widen(T(a.at[(first_row + i) * a.major + k * a.minor]));
#pragma unroll
      for (int j = 0; j < 4; j++) y[j] = widen(T(b.at[(first_column + j) * b.major + k * b.minor]));
#pragma unroll
      for (int i = 0; i < kRows; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sums.v[i * 4 + j] += x[i] * y[j];
    }
  }
};

#if defined(LF_MMA_PTX_F16)

// mma.sync.m16n8k16, twice side by side. Operands come by ldmatrix.
template <typename T>
struct PtxMma {
  static constexpr int kRows = 2, kRowLanes = 4;
  struct Sums {
    float v[8];
  };
  LF_ON_DEVICE static int slot(int e) { return e / 2 % 2; }
  LF_ON_DEVICE static int row_of_slot(int s) { return lane_id() / 4 + 8 * s; }
  LF_ON_DEVICE static int row(int e) { return row_of_slot(slot(e)); }
  LF_ON_DEVICE static int column(int e) { return e / 4 * 8 + lane_id() % 4 * 2 + e % 2; }

  struct A {
    uint32_t r[4];
  };
  struct B {
    uint32_t r[4];  // two of the left half, two of the right half
  };
  // The four 8 x 8 matrices: rows 0-7, rows 8-15, then the same of the second half of the depth.
  LF_ON_DEVICE static A load_a(Shared<T> s, int stride) {
    const int lane = lane_id();
    A a;
    load_matrices(a.r, (s + (lane % 16) * stride + lane / 16 * 8).data);
    return a;
  }
  LF_ON_DEVICE static A load_a_transposed(Shared<T> s, int stride) {
    const int lane = lane_id();
    A a;
    load_matrices_transposed(a.r, (s + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8).data);
    return a;
  }
  // Columns 0-7 of both halves of the depth, then columns 8-15.
  LF_ON_DEVICE static B load_b(Shared<T> s, int stride) {
    const int lane = lane_id();
    B b;
    load_matrices(b.r, (s + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8).data);
    return b;
  }
  LF_ON_DEVICE static B load_b_transposed(Shared<T> s, int stride) {
    const int lane = lane_id();
    B b;
    load_matrices_transposed(b.r, (s + (lane % 16) * stride + lane / 16 * 8).data);
    return b;
  }
  // Operands by eights: a lane has eight neighbours of a depth of 32, from eight_depth() on, of row (of b: column) eight_row(i).
  // Two steps of the depth come from them. Which of the depth a step takes is another order than that of load_a and load_b.
  static constexpr int kEights = 2;
  LF_ON_DEVICE static int eight_row(int i) { return lane_id() / 4 + 8 * i; }
  LF_ON_DEVICE static int eight_depth() { return lane_id() % 4 * 8; }
  LF_ON_DEVICE static A a_of_eights(const Words4 (&e)[2], int step) {
    return {{e[0].w[2 * step], e[1].w[2 * step], e[0].w[2 * step + 1], e[1].w[2 * step + 1]}};
  }
  LF_ON_DEVICE static B b_of_eights(const Words4 (&e)[2], int step) {
    return {{e[0].w[2 * step], e[0].w[2 * step + 1], e[1].w[2 * step], e[1].w[2 * step + 1]}};
  }
  LF_ON_DEVICE static void multiply(Sums& sums, const A& a, const B& b);
};
template <>
LF_ON_DEVICE void PtxMma<f16>::multiply(Sums& sums, const A& a, const B& b) {
  mma_16x8x16_f16(sums.v, a.r, b.r);
  mma_16x8x16_f16(sums.v + 4, a.r, b.r + 2);
}
#if defined(LF_MMA_PTX_BF16)
template <>
LF_ON_DEVICE void PtxMma<bf16>::multiply(Sums& sums, const A& a, const B& b) {
  mma_16x8x16_bf16(sums.v, a.r, b.r);
  mma_16x8x16_bf16(sums.v + 4, a.r, b.r + 2);
}
#endif
#endif

#if defined(LF_MMA_MFMA)

// v_mfma_f32_16x16x16: lane l holds four of the depth, from 4 (l / 16), of row or column l % 16.
template <typename T>
struct MatrixCoreMma {
  static constexpr int kRows = 4, kRowLanes = 16;
  struct Sums {
    float v[4];
  };
  LF_ON_DEVICE static int slot(int e) { return e; }
  LF_ON_DEVICE static int row_of_slot(int s) { return lane_id() / 16 * 4 + s; }
  LF_ON_DEVICE static int row(int e) { return row_of_slot(e); }
  LF_ON_DEVICE static int column(int) { return lane_id() % 16; }

  struct Operand {
    uint32_t r[2];
  };
  using A = Operand;
  using B = Operand;
  LF_ON_DEVICE static Operand gather(Shared<T> s, int major, int minor) {
    const int lane = lane_id(), first = lane % 16 * major + lane / 16 * 4 * minor;
    Operand o;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const uint32_t low = T(s[first + 2 * i * minor]).bits, high = T(s[first + (2 * i + 1) * minor]).bits;
      o.r[i] = low | high << 16;
    }
    return o;
  }
  LF_ON_DEVICE static A load_a(Shared<T> s, int stride) { return gather(s, stride, 1); }
  LF_ON_DEVICE static A load_a_transposed(Shared<T> s, int stride) { return gather(s, 1, stride); }
  LF_ON_DEVICE static B load_b(Shared<T> s, int stride) { return gather(s, stride, 1); }
  LF_ON_DEVICE static B load_b_transposed(Shared<T> s, int stride) { return gather(s, 1, stride); }
  // As PtxMma's.
  static constexpr int kEights = 1;
  LF_ON_DEVICE static int eight_row(int) { return lane_id() % 16; }
  LF_ON_DEVICE static int eight_depth() { return lane_id() / 16 * 8; }
  LF_ON_DEVICE static A a_of_eights(const Words4 (&e)[1], int step) { return {{e[0].w[2 * step], e[0].w[2 * step + 1]}}; }
  LF_ON_DEVICE static B b_of_eights(const Words4 (&e)[1], int step) { return a_of_eights(e, step); }
  LF_ON_DEVICE static void multiply(Sums& sums, const A& a, const B& b);
};
template <>
LF_ON_DEVICE void MatrixCoreMma<f16>::multiply(Sums& sums, const A& a, const B& b) {
  mfma_16x16x16_f16(sums.v, a.r, b.r);
}
template <>
LF_ON_DEVICE void MatrixCoreMma<bf16>::multiply(Sums& sums, const A& a, const B& b) {
  mfma_16x16x16_bf16(sums.v, a.r, b.r);
}
#endif

// The best that the target has for T.
template <typename T>
struct MmaOf {
  using Type = ArithmeticMma<T>;
};
#if defined(LF_MMA_PTX_F16)
template <>
struct MmaOf<f16> {
  using Type = PtxMma<f16>;
};
#endif
#if defined(LF_MMA_PTX_BF16)
template <>
struct MmaOf<bf16> {
  using Type = PtxMma<bf16>;
};
#endif
#if defined(LF_MMA_MFMA)
template <>
struct MmaOf<f16> {
  using Type = MatrixCoreMma<f16>;
};
template <>
struct MmaOf<bf16> {
  using Type = MatrixCoreMma<bf16>;
};
#endif
template <typename T>
using Mma = typename MmaOf<T>::Type;
#if defined(LF_MMA_PTX_BF16) || defined(LF_MMA_MFMA)
#define LF_MMA_BF16 1
#endif

}  // namespace lf_gpu
