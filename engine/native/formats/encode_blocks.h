// Encoding weights in the GGUF block formats, on every backend. Scales are those with the least weighted squared error among
// some that are tried, each followed by the least-squares fit to the codes that it gives (the method of ggml's own quantiser).
//
// `Numbers` says what the target has for abs, floor, round (halves away from 0) and half precision (half, from_half);
// LF_ENCODER is what the target wants in front of a function. Numbers, codes and bytes lie in whatever has operator[] (and, but for
// codes, operator+): pointers, or a GPU's shared memory. The sub-blocks of the K formats can be fitted apart from each other.
#pragma once
#include <cstdint>

#include "../include/largeforge/backend.h"

namespace lf {

template <typename Numbers>
struct BlockEncoder {
  LF_ENCODER static float stored(float value) { return Numbers::from_half(Numbers::half(value)); }
  template <typename Bytes>
  LF_ENCODER static void put_half(Bytes p, float value) {
    const uint16_t bits = Numbers::half(value);
    p[0] = uint8_t(bits), p[1] = uint8_t(bits >> 8);
  }
  LF_ENCODER static float nearest(float x, float low, float high) {
    const float r = Numbers::floor(x + 0.5f);
    return r < low ? low : r > high ? high : r;
  }
  LF_ENCODER static float inverse_of(float d) { return d != 0.0f ? 1.0f / d : 0.0f; }

  // Squared error of x as codes low..high times d, weighted.
  template <int n, typename In>
  LF_ENCODER static float symmetric_error(In x, In w, float d, float low, float high) {
    const float inverse = inverse_of(d);
    float error = 0.0f;
    for (int i = 0; i < n; i++) {
      const float q = nearest(x[i] * inverse, low, high), off = x[i] - q * d;
      error += w[i] * off * off;
    }
    return error;
  }
  // Those codes, counted from `low`.
  template <int n, typename In, typename Codes>
  LF_ENCODER static void symmetric_codes(In x, float d, float low, float high, Codes codes) {
    const float inverse = inverse_of(d);
    for (int i = 0; i < n; i++) codes[i] = nearest(x[i] * inverse, low, high) - low;
  }

  // The scale d, rounded to f16 if `half`, of n numbers that are codes low..high times it. high = -low - 1.
  template <int n, typename In>
  LF_ENCODER static float fit_symmetric(In x, In w, float low, float high, bool half) {
    float extreme = 0.0f;
    for (int i = 0; i < n; i++)
      if (Numbers::abs(x[i]) > Numbers::abs(extreme)) extreme = x[i];
    if (extreme == 0.0f) return 0.0f;
    float best = 0.0f, least = __builtin_inff();
    auto consider = [&](float d) {
      if (half) d = stored(d);
      const float error = symmetric_error<n>(x, w, d, low, high);
      if (error < least) least = error, best = d;
    };
    consider(extreme / low);
    for (int t = -9; t <= 9; t++) {
      for (float sign = -1.0f; sign <= 1.0f; sign += 2.0f) {
        const float inverse = sign * (high + 1.0f + 0.1f * float(t)) / extreme;
        float products = 0.0f, squares = 0.0f;
        for (int i = 0; i < n; i++) {
          const float q = nearest(x[i] * inverse, low, high);
          products += w[i] * q * x[i], squares += w[i] * q * q;
        }
        if (squares > 0.0f) consider(products / squares);
      }
    }
    return best;
  }

  struct Affine {
    float scale, minimum;
  };

  template <int n, typename In>
  LF_ENCODER static float affine_error(In x, In w, Affine a, float levels) {
    const float inverse = inverse_of(a.scale);
    float error = 0.0f;
    for (int i = 0; i < n; i++) {
      const float q = nearest((x[i] - a.minimum) * inverse, 0.0f, levels), off = x[i] - (q * a.scale + a.minimum);
      error += w[i] * off * off;
    }
    return error;
  }
  template <int n, typename In, typename Codes>
  LF_ENCODER static void affine_codes(In x, Affine a, float levels, Codes codes) {
    const float inverse = inverse_of(a.scale);
    for (int i = 0; i < n; i++) codes[i] = nearest((x[i] - a.minimum) * inverse, 0.0f, levels);
  }

  // Scale and minimum of n numbers that are codes 0..levels times the one plus the other; `below`: the minimum is at most 0.
  template <int n, typename In>
  LF_ENCODER static Affine fit_affine(In x, In w, float levels, bool below, bool half) {
    float low = x[0], high = x[0];
    for (int i = 1; i < n; i++) low = x[i] < low ? x[i] : low, high = x[i] > high ? x[i] : high;
    if (below && low > 0.0f) low = 0.0f;
    if (high <= low) return {0.0f, half ? stored(low) : low};
    Affine best{0.0f, low};
    float least = __builtin_inff();
    auto consider = [&](Affine a) {
      if (half) a = {stored(a.scale), stored(a.minimum)};
      const float error = affine_error<n>(x, w, a, levels);
      if (error < least) least = error, best = a;
    };
    consider({(high - low) / levels, low});
    for (int t = -10; t <= 10; t++) {
      const float inverse = (levels + 0.1f * float(t)) / (high - low);
      float sw = 0.0f, sq = 0.0f, sqq = 0.0f, sx = 0.0f, sqx = 0.0f;
      for (int i = 0; i < n; i++) {
        const float q = nearest((x[i] - low) * inverse, 0.0f, levels);
        sw += w[i], sq += w[i] * q, sqq += w[i] * q * q, sx += w[i] * x[i], sqx += w[i] * q * x[i];
      }
      const float determinant = sw * sqq - sq * sq;
      if (!(determinant > 0.0f)) continue;
      Affine a{(sw * sqx - sq * sx) / determinant, (sqq * sx - sq * sqx) / determinant};
      if (below && a.minimum > 0.0f) a = {sqx / sqq, 0.0f};
      if (a.scale > 0.0f) consider(a);
    }
    return best;
  }

  // Codes from `first` on, each with that `half` after it.
  template <typename Bytes, typename Codes>
  LF_ENCODER static void put_nibbles(Bytes bytes, Codes codes, int first, int half) {
    for (int i = 0; i < half; i++) bytes[i] = uint8_t((int(codes[first + i]) & 15) | (int(codes[first + i + half]) & 15) << 4);
  }
  template <typename Bytes, typename Codes>
  LF_ENCODER static void put_fifth_bits(Bytes bytes, Codes codes) {
    for (int b = 0; b < 4; b++) {
      int high = 0;
      for (int i = 0; i < 8; i++) high |= (int(codes[8 * b + i]) >> 4 & 1) << i;
      bytes[b] = uint8_t(high);
    }
  }

  template <typename In, typename Bytes>
  LF_ENCODER static void encode_q8_0(In x, Bytes block) {
    float most = 0.0f;
    for (int i = 0; i < 32; i++) most = Numbers::abs(x[i]) > most ? Numbers::abs(x[i]) : most;
    const float d = most / 127.0f, inverse = inverse_of(d);
    put_half(block, d);
    // Halves away from 0, as roundf has it.
    for (int i = 0; i < 32; i++) block[2 + i] = uint8_t(int8_t(Numbers::round(x[i] * inverse)));
  }

  // `codes` has room for 32, as in the next.
  template <int bits, typename In, typename Codes, typename Bytes>
  LF_ENCODER static void encode_symmetric(In x, In w, Codes codes, Bytes block) {
    const float low = -float(1 << (bits - 1)), high = -low - 1.0f;
    const float d = fit_symmetric<32>(x, w, low, high, true);
    symmetric_codes<32>(x, d, low, high, codes);
    put_half(block, d);
    if (bits == 5) put_fifth_bits(block + 2, codes);
    put_nibbles(block + (bits == 5 ? 6 : 2), codes, 0, 16);
  }

  template <int bits, typename In, typename Codes, typename Bytes>
  LF_ENCODER static void encode_affine(In x, In w, Codes codes, Bytes block) {
    const float levels = float((1 << bits) - 1);
    const Affine a = fit_affine<32>(x, w, levels, false, true);
    affine_codes<32>(x, a, levels, codes);
    put_half(block, a.scale), put_half(block + 2, a.minimum);
    if (bits == 5) put_fifth_bits(block + 4, codes);
    put_nibbles(block + (bits == 5 ? 8 : 4), codes, 0, 16);
  }

  // Q4_K and Q5_K: eight sub-blocks whose scales and minima are multiples, 0 to 63, of one each. A sub-block's own fit; then, with
  // what the largest of them give, its multiples and codes; then the block.
  template <int bits, typename In>
  LF_ENCODER static Affine fit_super(In x, In w) {
    return fit_affine<32>(x, w, float((1 << bits) - 1), true, false);
  }
  struct Multiples {
    uint8_t scale, minimum;
  };
  template <int bits, typename In, typename Codes>
  LF_ENCODER static Multiples choose_super(In x, In w, Affine own, float d, float d_min, Codes codes) {
    const float levels = float((1 << bits) - 1);
    const float s = nearest(own.scale * inverse_of(d), 0.0f, 63.0f), m = nearest(-own.minimum * inverse_of(d_min), 0.0f, 63.0f);
    float least = __builtin_inff(), best_s = s, best_m = m;
    for (int a = -1; a <= 1; a++) {
      for (int b = -1; b <= 1; b++) {
        const float s1 = s + float(a), m1 = m + float(b);
        if (s1 < 0.0f || s1 > 63.0f || m1 < 0.0f || m1 > 63.0f) continue;
        const float error = affine_error<32>(x, w, Affine{d * s1, -d_min * m1}, levels);
        if (error < least) least = error, best_s = s1, best_m = m1;
      }
    }
    affine_codes<32>(x, Affine{d * best_s, -d_min * best_m}, levels, codes);
    return {uint8_t(best_s), uint8_t(best_m)};
  }
  // `codes`: all 256. `scales` and `minima`: eight each.
  template <int bits, typename Numbers8, typename Codes, typename Bytes>
  LF_ENCODER static void put_super(float d, float d_min, Numbers8 scales, Numbers8 minima, Codes codes, Bytes block) {
    put_half(block, d), put_half(block + 2, d_min);
    for (int j = 0; j < 4; j++) {
      block[4 + j] = uint8_t(scales[j] | (scales[j + 4] >> 4) << 6);
      block[8 + j] = uint8_t(minima[j] | (minima[j + 4] >> 4) << 6);
      block[12 + j] = uint8_t((scales[j + 4] & 15) | (minima[j + 4] & 15) << 4);
    }
    for (int run = 0; run < 4; run++) put_nibbles(block + ((bits == 5 ? 48 : 16) + 32 * run), codes, 64 * run, 32);
    for (int i = 0; bits == 5 && i < 32; i++) {
      int high = 0;
      for (int j = 0; j < 8; j++) high |= (int(codes[32 * j + i]) >> 4 & 1) << j;
      block[16 + i] = uint8_t(high);
    }
  }
  template <int bits>
  LF_ENCODER static void encode_super(const float* x, const float* w, float* codes, uint8_t* block) {
    Affine own[8];
    float scale = 0.0f, minimum = 0.0f;
    for (int j = 0; j < 8; j++) {
      own[j] = fit_super<bits>(x + 32 * j, w + 32 * j);
      scale = own[j].scale > scale ? own[j].scale : scale;
      minimum = -own[j].minimum > minimum ? -own[j].minimum : minimum;
    }
    const float d = stored(scale / 63.0f), d_min = stored(minimum / 63.0f);
    uint8_t scales[8], minima[8];
    for (int j = 0; j < 8; j++) {
      const Multiples chosen = choose_super<bits>(x + 32 * j, w + 32 * j, own[j], d, d_min, codes + 32 * j);
      scales[j] = chosen.scale, minima[j] = chosen.minimum;
    }
    put_super<bits>(d, d_min, static_cast<const uint8_t*>(scales), static_cast<const uint8_t*>(minima), codes, block);
  }

  // Q6_K: sixteen sub-blocks of 16 whose scales are multiples, -128 to 127, of one; in the same three steps.
  template <typename In>
  LF_ENCODER static float fit_q6_k(In x, In w) {
    return fit_symmetric<16>(x, w, -32.0f, 31.0f, false);
  }
  // Returns the multiple.
  template <typename In, typename Codes>
  LF_ENCODER static int8_t choose_q6_k(In x, In w, float own, float d, Codes codes) {
    const float s = nearest(own * inverse_of(d), -128.0f, 127.0f);
    float least = __builtin_inff(), best = s;
    for (int a = -1; a <= 1; a++) {
      const float s1 = s + float(a);
      if (s1 < -128.0f || s1 > 127.0f) continue;
      const float error = symmetric_error<16>(x, w, d * s1, -32.0f, 31.0f);
      if (error < least) least = error, best = s1;
    }
    symmetric_codes<16>(x, d * best, -32.0f, 31.0f, codes);
    return int8_t(best);
  }
  // The multiples stand in the block already.
  template <typename Codes, typename Bytes>
  LF_ENCODER static void put_q6_k(float d, Codes codes, Bytes block) {
    for (int run = 0; run < 2; run++) {
      put_nibbles(block + 64 * run, codes, 128 * run, 64);
      for (int i = 0; i < 32; i++) {
        int high = 0;
        for (int part = 0; part < 4; part++) high |= (int(codes[128 * run + i + 32 * part]) >> 4) << (2 * part);
        block[128 + 32 * run + i] = uint8_t(high);
      }
    }
    put_half(block + 208, d);
  }
  LF_ENCODER static void encode_q6_k(const float* x, const float* w, float* codes, uint8_t* block) {
    float own[16], extreme = 0.0f;
    for (int j = 0; j < 16; j++) {
      own[j] = fit_q6_k(x + 16 * j, w + 16 * j);
      if (Numbers::abs(own[j]) > Numbers::abs(extreme)) extreme = own[j];
    }
    const float d = stored(extreme / -128.0f);
    for (int j = 0; j < 16; j++) block[192 + j] = uint8_t(choose_q6_k(x + 16 * j, w + 16 * j, own[j], d, codes + 16 * j));
    put_q6_k(d, codes, block);
  }

  // Encodes a block of 32 elements, from and to memory of any kind; false when `dtype` has others.
  template <typename In, typename Codes, typename Bytes>
  LF_ENCODER static bool encode_32(uint32_t dtype, In x, In w, Codes codes, Bytes block) {
    switch (dtype) {
      case LF_Q4_0: return encode_symmetric<4>(x, w, codes, block), true;
      case LF_Q4_1: return encode_affine<4>(x, w, codes, block), true;
      case LF_Q5_0: return encode_symmetric<5>(x, w, codes, block), true;
      case LF_Q5_1: return encode_affine<5>(x, w, codes, block), true;
      case LF_Q8_0: return encode_q8_0(x, block), true;
      default: return false;
    }
  }
  // Encodes one block of x; w weights the errors. False when `dtype` is not a format of GGUF.
  LF_ENCODER static bool encode(uint32_t dtype, const float* x, const float* w, uint8_t* block) {
    float codes[256];
    switch (dtype) {
      case LF_Q4_K: return encode_super<4>(x, w, codes, block), true;
      case LF_Q5_K: return encode_super<5>(x, w, codes, block), true;
      case LF_Q6_K: return encode_q6_k(x, w, codes, block), true;
      default: return encode_32(dtype, x, w, static_cast<float*>(codes), block);
    }
  }
};

}  // namespace lf
