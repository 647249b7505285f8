// ADAMW_8BIT: AdamW whose moments are codes of 8 bits in blocks of kMomentBlock elements.
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr const char* kOp = "ADAMW_8BIT";
constexpr int64_t kMomentBlock = 256;
constexpr int64_t kTaskBlocks = 64;
constexpr int kCodes = 256;
// Codes are looked for in as many elements at once as fill the widest registers.
constexpr int64_t kTogether = 16;

const char* check(Context& ctx, const uint32_t*, const View* o, int) {
  const View &param = o[0], &grad = o[1], &scale = o[8], &copy = o[9];
  LF_CHECK(expect_dtype(ctx, kOp, "param", param, LF_F32));
  LF_CHECK(expect_float(ctx, kOp, "grad", grad));
  LF_CHECK(expect_dtype(ctx, kOp, "m", o[2], LF_U8));
  LF_CHECK(expect_dtype(ctx, kOp, "v", o[3], LF_U8));
  const View* all[] = {&param, &grad, &o[2], &o[3], &copy};
  const char* names[] = {"param", "grad", "m", "v", "copy"};
  for (int i = 0; i < (copy.present() ? 5 : 4); i++) {
    LF_CHECK(expect_same_shape(ctx, kOp, names[i], *all[i], "param", param));
    LF_CHECK(expect_contiguous(ctx, kOp, names[i], *all[i]));
  }
  if (copy.present()) LF_CHECK(expect_float(ctx, kOp, "copy", copy));
  const int64_t blocks = ceil_div(element_count(param), kMomentBlock);
  const char* tables[] = {"m_absmax", "v_absmax", "m_map", "v_map"};
  for (int i = 0; i < 4; i++) {
    LF_CHECK(expect_dtype(ctx, kOp, tables[i], o[4 + i], LF_F32));
    LF_CHECK(expect_shape(ctx, kOp, tables[i], o[4 + i], i < 2 ? blocks : kCodes));
    LF_CHECK(expect_contiguous(ctx, kOp, tables[i], o[4 + i]));
  }
  if (!scale.present()) return nullptr;
  LF_CHECK(expect_dtype(ctx, kOp, "scale", scale, LF_F32));
  return expect_shape(ctx, kOp, "scale", scale, 2);
}

// Where one code ends and the next begins: half-way between their values.
void midpoints(const float* map, float* middle) {
  for (int i = 0; i + 1 < kCodes; i++) middle[i] = 0.5f * (map[i] + map[i + 1]);
  middle[kCodes - 1] = __builtin_inff();
}

// Codes of x / largest; `size` elements, scratch up to a multiple of kTogether may be read.
void encode(const float* x, int64_t size, const float* middle, uint8_t* codes, float* absmax) {
  float largest = 0.0f;
  for (int64_t i = 0; i < size; i++) largest = larger(largest, __builtin_fabsf(x[i]));
  *absmax = largest;
  const float divisor = largest > 0.0f ? largest : 1.0f;
  for (int64_t start = 0; start < size; start += kTogether) {
    const int64_t n = smaller(kTogether, size - start);
    float value[kTogether];
    int32_t code[kTogether];
    for (int64_t i = 0; i < kTogether; i++) {
      value[i] = i < n ? x[start + i] / divisor : 0.0f;
      code[i] = 0;
    }
    for (int32_t half = kCodes / 2; half > 0; half /= 2)
      for (int64_t i = 0; i < kTogether; i++) code[i] += middle[code[i] + half - 1] < value[i] ? half : 0;
    for (int64_t i = 0; i < n; i++) codes[start + i] = uint8_t(code[i]);
  }
}

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  const View &param = o[0], &grad = o[1], &scale = o[8], &copy = o[9];
  const float lr = param_f32(params, 0), beta1 = param_f32(params, 1), beta2 = param_f32(params, 2),
              eps = param_f32(params, 3), weight_decay = param_f32(params, 4);
  const double correction1 = param_f32(params, 5), correction2 = param_f32(params, 6);
  const float grad_scale = scale.present() ? scale.as<const float>()[scale.stride[0]] : 1.0f;
  const float decay = 1.0f - lr * weight_decay, step = float(-lr / correction1),
              root2 = float(__builtin_sqrt(correction2));
  const float *m_map = o[6].as<const float>(), *v_map = o[7].as<const float>();
  float m_middle[kCodes], v_middle[kCodes];
  midpoints(m_map, m_middle);
  midpoints(v_map, v_middle);
  const int64_t n = element_count(param), blocks = ceil_div(n, kMomentBlock);
  ctx.for_each(ceil_div(blocks, kTaskBlocks), [&](int64_t task, int) {
    float scratch[kMomentBlock], m[kMomentBlock], v[kMomentBlock];
    for (int64_t block = task * kTaskBlocks; block < smaller(blocks, (task + 1) * kTaskBlocks); block++) {
      const int64_t start = block * kMomentBlock, size = smaller(kMomentBlock, n - start);
      const float* g = read_row(grad, start, size, 1, scratch);
      float* p = param.as<float>() + start;
      uint8_t *m_code = o[2].as<uint8_t>() + start, *v_code = o[3].as<uint8_t>() + start;
      float *m_absmax = o[4].as<float>() + block, *v_absmax = o[5].as<float>() + block;
      for (int64_t i = 0; i < size; i++) {
        const float gradient = g[i] * grad_scale;
        m[i] = m_map[m_code[i]] * *m_absmax * beta1 + (1.0f - beta1) * gradient;
        v[i] = v_map[v_code[i]] * *v_absmax * beta2 + (1.0f - beta2) * gradient * gradient;
        p[i] = p[i] * decay + step * (m[i] / (__builtin_sqrtf(v[i]) / root2 + eps));
      }
      if (copy.present()) write_row(copy, start, size, 1, p);
      encode(m, size, m_middle, m_code, m_absmax);
      encode(v, size, v_middle, v_code, v_absmax);
    }
  });
  return nullptr;
}

}  // namespace

void register_adamw_8bit(KernelTable& table) { table.entry[LF_OP_ADAMW_8BIT] = {run, check}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
