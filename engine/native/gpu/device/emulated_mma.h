// The matrix units, from the vendors' descriptions of which lane holds what: PTX ISA, "Matrix Fragments for mma.m16n8k16"
// and "ldmatrix"; AMD's "CDNA2 Instruction Set Architecture", V_MFMA_F32_16X16X16. Written independently of mma.h, which
// relies on them.
#pragma once

namespace lf_gpu {

struct MatrixStep {
  float* c;
  const uint32_t *a, *b;
};
inline float half_of(uint32_t word, int which, bool brain) {
  const uint16_t bits = uint16_t(which ? word >> 16 : word);
  if (!brain) return half_bits_to_float(bits);
  const uint32_t u = uint32_t(bits) << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}

#if LF_EMULATED_TARGET == 80
#define LF_MMA_PTX_BF16 1
#define LF_MMA_PTX_F16 1

// fma.rn.bf16x2 of normal numbers: the sum is exact in f64, and rounded once.
#define LF_BF16_PAIRS 1
inline uint32_t multiply_add_bf16x2(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t word = 0;
  for (int i = 0; i < 2; i++) {
    const double sum = double(half_of(a, i, true)) * double(half_of(b, i, true)) + double(half_of(c, i, true));
    int exponent = 0;
    const double digits = std::frexp(sum, &exponent);
    const float rounded = float(std::ldexp(std::nearbyint(std::ldexp(digits, 8)), exponent - 8));
    uint32_t bits;
    memcpy(&bits, &rounded, 4);
    word |= bits >> 16 << (16 * i);
  }
  return word;
}

template <bool kBrain>
inline void mma_16x8x16(void* const* lanes, uint32_t) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; lane++) {
    const auto* step = static_cast<const MatrixStep*>(lanes[lane]);
    const int group = lane >> 2, in_group = lane & 3;
    for (int i = 0; i < 8; i++) {
      const int row = (i < 2 || (i >= 4 && i < 6)) ? group : group + 8;
      const int column = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
      a[row][column] = half_of(step->a[i / 2], i & 1, kBrain);
    }
    for (int i = 0; i < 4; i++) b[in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0)][group] = half_of(step->b[i / 2], i & 1, kBrain);
  }
  for (int lane = 0; lane < 32; lane++) {
    const auto* step = static_cast<const MatrixStep*>(lanes[lane]);
    for (int i = 0; i < 4; i++) {
      const int row = (lane >> 2) + (i >= 2 ? 8 : 0), column = (lane & 3) * 2 + (i & 1);
      float sum = step->c[i];
      for (int k = 0; k < 16; k++) sum += a[row][k] * b[k][column];
      step->c[i] = sum;
    }
  }
}
LF_ON_DEVICE void mma_16x8x16_bf16(float* c, const uint32_t* a, const uint32_t* b, LF_HERE) {
  MatrixStep mine{c, a, b};
  simt::warp_meet(mma_16x8x16<true>, &mine, LF_PLACE);
}
LF_ON_DEVICE void mma_16x8x16_f16(float* c, const uint32_t* a, const uint32_t* b, LF_HERE) {
  MatrixStep mine{c, a, b};
  simt::warp_meet(mma_16x8x16<false>, &mine, LF_PLACE);
}

struct MatrixLoad {
  const void* row;
  uint32_t* r;
};
template <bool kTransposed>
inline void ldmatrix(void* const* lanes, uint32_t) {
  for (int matrix = 0; matrix < 4; matrix++) {
    uint16_t m[8][8];
    for (int row = 0; row < 8; row++) memcpy(m[row], static_cast<const MatrixLoad*>(lanes[matrix * 8 + row])->row, 16);
    for (int lane = 0; lane < 32; lane++) {
      const int i = lane / 4, j = lane % 4 * 2;
      const uint32_t low = kTransposed ? m[j][i] : m[i][j], high = kTransposed ? m[j + 1][i] : m[i][j + 1];
      static_cast<MatrixLoad*>(lanes[lane])->r[matrix] = low | high << 16;
    }
  }
}
LF_ON_DEVICE void load_matrices(uint32_t (&r)[4], const void* row, LF_HERE) {
  simt::shared_read(row, 16, LF_PLACE);
  MatrixLoad mine{row, r};
  simt::warp_meet(ldmatrix<false>, &mine, LF_PLACE);
}
LF_ON_DEVICE void load_matrices_transposed(uint32_t (&r)[4], const void* row, LF_HERE) {
  simt::shared_read(row, 16, LF_PLACE);
  MatrixLoad mine{row, r};
  simt::warp_meet(ldmatrix<true>, &mine, LF_PLACE);
}
#endif

#if LF_EMULATED_TARGET == 90
#define LF_MMA_MFMA 1

template <bool kBrain>
inline void mfma_16x16x16(void* const* lanes, uint32_t) {
  float a[16][16], b[16][16];
  for (int lane = 0; lane < 64; lane++) {
    const auto* step = static_cast<const MatrixStep*>(lanes[lane]);
    for (int i = 0; i < 4; i++) {
      a[lane % 16][lane / 16 * 4 + i] = half_of(step->a[i / 2], i & 1, kBrain);
      b[lane / 16 * 4 + i][lane % 16] = half_of(step->b[i / 2], i & 1, kBrain);
    }
  }
  for (int lane = 0; lane < 64; lane++) {
    const auto* step = static_cast<const MatrixStep*>(lanes[lane]);
    for (int i = 0; i < 4; i++) {
      float sum = step->c[i];
      for (int k = 0; k < 16; k++) sum += a[lane / 16 * 4 + i][k] * b[k][lane % 16];
      step->c[i] = sum;
    }
  }
}
LF_ON_DEVICE void mfma_16x16x16_bf16(float* c, const uint32_t* a, const uint32_t* b, LF_HERE) {
  MatrixStep mine{c, a, b};
  simt::warp_meet(mfma_16x16x16<true>, &mine, LF_PLACE);
}
LF_ON_DEVICE void mfma_16x16x16_f16(float* c, const uint32_t* a, const uint32_t* b, LF_HERE) {
  MatrixStep mine{c, a, b};
  simt::warp_meet(mfma_16x16x16<false>, &mine, LF_PLACE);
}
#endif

}  // namespace lf_gpu
