// ENCODE_BLOCKS: weights in the GGUF block formats. Scales are those with the least weighted squared error among some that
// are tried, each followed by the least-squares fit to the codes that it gives (the method of ggml's own quantiser).
#include "quant_formats.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

float stored(float value) { return widen(narrow<f16>(value)); }
void put_half(uint8_t* p, float value) {
  const f16 h = narrow<f16>(value);
  __builtin_memcpy(p, &h, 2);
}
float nearest(float x, float low, float high) {
  const float r = __builtin_floorf(x + 0.5f);
  return r < low ? low : r > high ? high : r;
}
float inverse_of(float d) { return d != 0.0f ? 1.0f / d : 0.0f; }

// Squared error of x as codes low..high times d, weighted; with `codes`, also what they are.
template <int n>
float symmetric_error(const float* x, const float* w, float d, float low, float high, float* codes = nullptr) {
  const float inverse = inverse_of(d);
  float error = 0.0f;
  for (int i = 0; i < n; i++) {
    const float q = nearest(x[i] * inverse, low, high), off = x[i] - q * d;
    error += w[i] * off * off;
    if (codes) codes[i] = q;
  }
  return error;
}

// The scale d, rounded to f16 if `half`, of n numbers that are codes low..high times it. high = -low - 1.
template <int n>
float fit_symmetric(const float* x, const float* w, float low, float high, bool half) {
  float extreme = 0.0f;
  for (int i = 0; i < n; i++)
    if (__builtin_fabsf(x[i]) > __builtin_fabsf(extreme)) extreme = x[i];
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

template <int n>
float affine_error(const float* x, const float* w, Affine a, float levels, float* codes = nullptr) {
  const float inverse = inverse_of(a.scale);
  float error = 0.0f;
  for (int i = 0; i < n; i++) {
    const float q = nearest((x[i] - a.minimum) * inverse, 0.0f, levels), off = x[i] - (q * a.scale + a.minimum);
    error += w[i] * off * off;
    if (codes) codes[i] = q;
  }
  return error;
}

// Scale and minimum of n numbers that are codes 0..levels times the one plus the other; `below`: the minimum is at most 0.
template <int n>
Affine fit_affine(const float* x, const float* w, float levels, bool below, bool half) {
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

void put_nibbles(uint8_t* bytes, const float* codes, int half) {
  for (int i = 0; i < half; i++) bytes[i] = uint8_t((int(codes[i]) & 15) | (int(codes[i + half]) & 15) << 4);
}
void put_fifth_bits(uint8_t* bytes, const float* codes) {
  uint32_t high = 0;
  for (int i = 0; i < 32; i++) high |= uint32_t(int(codes[i]) >> 4 & 1) << i;
  __builtin_memcpy(bytes, &high, 4);
}

void encode_q8_0(const float* x, const float*, uint8_t* block) {
  float most = 0.0f;
  for (int i = 0; i < 32; i++) most = __builtin_fabsf(x[i]) > most ? __builtin_fabsf(x[i]) : most;
  const float d = most / 127.0f, inverse = inverse_of(d);
  put_half(block, d);
  // Halves away from 0, as roundf has it.
  for (int i = 0; i < 32; i++) block[2 + i] = uint8_t(int8_t(__builtin_roundf(x[i] * inverse)));
}

template <int bits>
void encode_symmetric(const float* x, const float* w, uint8_t* block) {
  const float low = -float(1 << (bits - 1)), high = -low - 1.0f;
  float codes[32];
  const float d = fit_symmetric<32>(x, w, low, high, true);
  symmetric_error<32>(x, w, d, low, high, codes);
  for (float& code : codes) code -= low;
  put_half(block, d);
  if (bits == 5) put_fifth_bits(block + 2, codes);
  put_nibbles(block + (bits == 5 ? 6 : 2), codes, 16);
}

template <int bits>
void encode_affine(const float* x, const float* w, uint8_t* block) {
  const float levels = float((1 << bits) - 1);
  float codes[32];
  const Affine a = fit_affine<32>(x, w, levels, false, true);
  affine_error<32>(x, w, a, levels, codes);
  put_half(block, a.scale), put_half(block + 2, a.minimum);
  if (bits == 5) put_fifth_bits(block + 4, codes);
  put_nibbles(block + (bits == 5 ? 8 : 4), codes, 16);
}

// Q4_K and Q5_K: eight sub-blocks whose scales and minima are multiples, 0 to 63, of one each.
template <int bits>
void encode_super(const float* x, const float* w, uint8_t* block) {
  const float levels = float((1 << bits) - 1);
  Affine own[8];
  float scale = 0.0f, minimum = 0.0f;
  for (int j = 0; j < 8; j++) {
    own[j] = fit_affine<32>(x + 32 * j, w + 32 * j, levels, true, false);
    scale = own[j].scale > scale ? own[j].scale : scale;
    minimum = -own[j].minimum > minimum ? -own[j].minimum : minimum;
  }
  const float d = stored(scale / 63.0f), d_min = stored(minimum / 63.0f);
  float codes[256];
  uint8_t scales[8], minima[8];
  for (int j = 0; j < 8; j++) {
    const float s = nearest(own[j].scale * inverse_of(d), 0.0f, 63.0f), m = nearest(-own[j].minimum * inverse_of(d_min), 0.0f, 63.0f);
    float least = __builtin_inff(), best_s = s, best_m = m;
    for (int a = -1; a <= 1; a++) {
      for (int b = -1; b <= 1; b++) {
        const float s1 = s + float(a), m1 = m + float(b);
        if (s1 < 0.0f || s1 > 63.0f || m1 < 0.0f || m1 > 63.0f) continue;
        const float error = affine_error<32>(x + 32 * j, w + 32 * j, {d * s1, -d_min * m1}, levels);
        if (error < least) least = error, best_s = s1, best_m = m1;
      }
    }
    affine_error<32>(x + 32 * j, w + 32 * j, {d * best_s, -d_min * best_m}, levels, codes + 32 * j);
    scales[j] = uint8_t(best_s), minima[j] = uint8_t(best_m);
  }
  put_half(block, d), put_half(block + 2, d_min);
  uint8_t* packed = block + 4;
  for (int j = 0; j < 4; j++) {
    packed[j] = uint8_t(scales[j] | (scales[j + 4] >> 4) << 6);
    packed[j + 4] = uint8_t(minima[j] | (minima[j + 4] >> 4) << 6);
    packed[j + 8] = uint8_t((scales[j + 4] & 15) | (minima[j + 4] & 15) << 4);
  }
  uint8_t* nibbles = block + (bits == 5 ? 48 : 16);
  for (int run = 0; run < 4; run++) put_nibbles(nibbles + 32 * run, codes + 64 * run, 32);
  if (bits != 5) return;
  for (int i = 0; i < 32; i++) {
    int high = 0;
    for (int j = 0; j < 8; j++) high |= (int(codes[32 * j + i]) >> 4 & 1) << j;
    block[16 + i] = uint8_t(high);
  }
}

// Sixteen sub-blocks of 16 whose scales are multiples, -128 to 127, of one.
void encode_q6_k(const float* x, const float* w, uint8_t* block) {
  float own[16], extreme = 0.0f;
  for (int j = 0; j < 16; j++) {
    own[j] = fit_symmetric<16>(x + 16 * j, w + 16 * j, -32.0f, 31.0f, false);
    if (__builtin_fabsf(own[j]) > __builtin_fabsf(extreme)) extreme = own[j];
  }
  const float d = stored(extreme / -128.0f);
  float codes[256];
  uint8_t* scales = block + 192;
  for (int j = 0; j < 16; j++) {
    const float s = nearest(own[j] * inverse_of(d), -128.0f, 127.0f);
    float least = __builtin_inff(), best = s;
    for (int a = -1; a <= 1; a++) {
      const float s1 = s + float(a);
      if (s1 < -128.0f || s1 > 127.0f) continue;
      const float error = symmetric_error<16>(x + 16 * j, w + 16 * j, d * s1, -32.0f, 31.0f);
      if (error < least) least = error, best = s1;
    }
    symmetric_error<16>(x + 16 * j, w + 16 * j, d * best, -32.0f, 31.0f, codes + 16 * j);
    scales[j] = uint8_t(int8_t(best));
  }
  for (float& code : codes) code += 32.0f;
  for (int run = 0; run < 2; run++) {
    const float* q = codes + 128 * run;
    put_nibbles(block + 64 * run, q, 64);
    for (int i = 0; i < 32; i++) {
      int high = 0;
      for (int part = 0; part < 4; part++) high |= (int(q[i + 32 * part]) >> 4) << (2 * part);
      block[128 + 32 * run + i] = uint8_t(high);
    }
  }
  put_half(block + 208, d);
}

using Encode = void (*)(const float* x, const float* w, uint8_t* block);

Encode encoder_of(lf_dtype dtype) {
  switch (dtype) {
    case LF_Q4_0: return encode_symmetric<4>;
    case LF_Q4_1: return encode_affine<4>;
    case LF_Q5_0: return encode_symmetric<5>;
    case LF_Q5_1: return encode_affine<5>;
    case LF_Q8_0: return encode_q8_0;
    case LF_Q4_K: return encode_super<4>;
    case LF_Q5_K: return encode_super<5>;
    case LF_Q6_K: return encode_q6_k;
    default: return nullptr;
  }
}

const char* check(Context& ctx, const uint32_t*, const View* o, int) {
  const char* op = "ENCODE_BLOCKS";
  const View &src = o[0], &importance = o[1], &dst = o[2];
  LF_CHECK(expect_float(ctx, op, "src", src));
  LF_CHECK(expect_rank(ctx, op, "src", src, 2));
  LF_CHECK(expect_present(ctx, op, "dst", dst));
  if (!encoder_of(dst.dtype)) return ctx.fail(LF_INVALID, "%s: operand dst is %s, expected a block format", op, dtype_name(dst.dtype));
  LF_CHECK(expect_same_shape(ctx, op, "dst", dst, "src", src));
  if (!importance.present()) return nullptr;
  LF_CHECK(expect_dtype(ctx, op, "importance", importance, LF_F32));
  return expect_shape(ctx, op, "importance", importance, src.shape[1]);
}

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  const View &src = o[0], &importance = o[1], &dst = o[2];
  const Encode encode = encoder_of(dst.dtype);
  const int64_t k = src.shape[1], elements = block_elements(dst.dtype), bytes = block_bytes(dst.dtype);
  const size_t row_bytes = size_t(larger<int64_t>(k, 1)) * 4;
  float* const weights = static_cast<float*>(ctx.shared(row_bytes));
  if (!weights) return out_of_scratch(ctx, "ENCODE_BLOCKS", row_bytes);
  for (int64_t i = 0; i < k; i++) weights[i] = importance.present() ? importance.as<const float>()[i * importance.stride[0]] : 1.0f;
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, row_bytes)) return out_of_scratch(ctx, "ENCODE_BLOCKS", row_bytes);
  ctx.for_each(src.shape[0], [&](int64_t row, int worker) {
    const float* x = read_row(src, row * src.stride[0], k, src.stride[1], static_cast<float*>(ctx.local(worker, row_bytes)));
    uint8_t* block = dst.data + row * (k / elements) * bytes;
    for (int64_t i = 0; i < k; i += elements, block += bytes) encode(x + i, weights + i, block);
  });
  return nullptr;
}

}  // namespace

void register_encode_blocks(KernelTable& table) { table.entry[LF_OP_ENCODE_BLOCKS] = {run, check}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
