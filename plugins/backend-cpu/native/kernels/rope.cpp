// ROPE: rotary position embedding (Su et al. 2021).
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr int64_t kTaskTokens = 16;

const char* check_rope(Context& ctx, const uint32_t* params, const View* o, int) {
  const char* op = "ROPE";
  const View &x = o[0], &positions = o[1], &inv_freq = o[2], &out = o[3];
  const int32_t sign = int32_t(params[0]);
  if (sign != 1 && sign != -1) return ctx.fail(LF_INVALID, "ROPE: sign is %d, expected 1 or -1", sign);
  LF_CHECK(expect_float(ctx, op, "x", x));
  LF_CHECK(expect_rank(ctx, op, "x", x, 3));
  LF_CHECK(expect_dtype(ctx, op, "positions", positions, LF_I32));
  LF_CHECK(expect_shape(ctx, op, "positions", positions, x.shape[0]));
  LF_CHECK(expect_dtype(ctx, op, "inv_freq", inv_freq, LF_F32));
  if (inv_freq.rank == 2) LF_CHECK(expect_shape(ctx, op, "inv_freq", inv_freq, x.shape[0], inv_freq.shape[1]));
  else LF_CHECK(expect_rank(ctx, op, "inv_freq", inv_freq, 1));
  LF_CHECK(expect_float(ctx, op, "out", out));
  LF_CHECK(expect_same_shape(ctx, op, "out", out, "x", x));
  if (2 * row_length(inv_freq) <= x.shape[2]) return nullptr;
  return ctx.fail(LF_INVALID, "ROPE: operand inv_freq has shape %s and rotates %lld elements, but x %s has heads of %lld",
                  shape_text(inv_freq).text, (long long)(2 * row_length(inv_freq)), shape_text(x).text,
                  (long long)x.shape[2]);
}

// cos and sin of position * inv_freq, formed in double precision: exact for any position.
void rotation(int32_t position, const View& inv_freq, int64_t token, float sign, float scale, float* cosines,
              float* sines) {
  const int64_t half = row_length(inv_freq);
  const float* own = inv_freq.as<const float>() + (inv_freq.rank == 2 ? token * inv_freq.stride[0] : 0);
  const double p = position;
  for (int64_t i = 0; i < half; i += kLanes) {
    const int64_t n = smaller<int64_t>(kLanes, half - i);
    f32v frequency;
    if (row_stride(inv_freq) == 1) {
      frequency = load_lanes(own + i, n);
    } else {
      float f[kLanes] = {};
      for (int64_t l = 0; l < n; l++) f[l] = own[(i + l) * row_stride(inv_freq)];
      frequency = load(f);
    }
    f32v s, c;
    sincos(low_f64(frequency) * p, high_f64(frequency) * p, s, c);
    store(cosines + i, c * scale);  // the rows are padded to whole vectors
    store(sines + i, s * (scale * sign));
  }
}

// One head whose pairs are (i, i + half); dst may be src.
template <typename T>
void rotate_halves(const T* src, const float* cosines, const float* sines, int64_t half, int64_t n, T* dst) {
  for_lanes(half, [&](int64_t i, int64_t lanes) {
    const f32v a = load_lanes(src + i, lanes), b = load_lanes(src + half + i, lanes);
    const f32v c = load(cosines + i), s = load(sines + i);
    store_lanes(dst + i, fnma(b, s, a * c), lanes);
    store_lanes(dst + half + i, fma(a, s, b * c), lanes);
  });
  if (dst == src) return;
  for (int64_t i = 2 * half; i < n; i++) dst[i] = src[i];
}

const char* rope(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_rope(ctx, params, o, count));
  const View &x = o[0], &positions = o[1], &inv_freq = o[2], &out = o[3];
  const float sign = float(int32_t(params[0])), scale = param_f32(params, 2);
  const bool interleaved = params[1] != 0;
  const int64_t tokens = x.shape[0], heads = x.shape[1], n = x.shape[2], half = row_length(inv_freq);
  const int64_t padded = round_up(larger<int64_t>(n, 1), 16);
  const size_t bytes = padded * 4 * 4;
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, bytes)) return out_of_scratch(ctx, "ROPE", bytes);
  const bool as_it_lies = !interleaved && x.dtype == out.dtype && x.stride[2] == 1 && out.stride[2] == 1;
  ctx.for_each(ceil_div(tokens, kTaskTokens), [&](int64_t task, int worker) {
    float* cosines = static_cast<float*>(ctx.local(worker, bytes));
    float *sines = cosines + padded, *scratch = sines + padded, *rotated = scratch + padded;
    for (int64_t t = task * kTaskTokens; t < smaller(tokens, (task + 1) * kTaskTokens); t++) {
      rotation(positions.as<const int32_t>()[t * positions.stride[0]], inv_freq, t, sign, scale, cosines, sines);
      for (int64_t head = 0; head < heads; head++) {
        const int64_t from = t * x.stride[0] + head * x.stride[1], to = t * out.stride[0] + head * out.stride[1];
        if (as_it_lies) {
          with_float(x.dtype, [&](auto type) {
            using T = decltype(type);
            rotate_halves(x.as<const T>() + from, cosines, sines, half, n, out.as<T>() + to);
          });
          continue;
        }
        const float* src = read_row(x, from, n, x.stride[2], scratch);
        float* dst = row_target(out, to, out.stride[2], rotated);
        if (interleaved) {
          for (int64_t i = 0; i < half; i++) {
            const float a = src[2 * i], b = src[2 * i + 1];
            dst[2 * i] = a * cosines[i] - b * sines[i];
            dst[2 * i + 1] = b * cosines[i] + a * sines[i];
          }
        } else {
          rotate_halves(src, cosines, sines, half, n, dst);
        }
        if (interleaved && dst != src)
          for (int64_t i = 2 * half; i < n; i++) dst[i] = src[i];
        finish_row(out, to, n, out.stride[2], dst);
      }
    }
  });
  return nullptr;
}

}  // namespace

void register_rope(KernelTable& table) { table.entry[LF_OP_ROPE] = {rope, check_rope}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
