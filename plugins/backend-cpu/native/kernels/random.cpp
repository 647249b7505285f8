// RANDOM and DROPOUT.
#include "philox.h"
#include "strided.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr int64_t kWords = kPiece + 8 * kLanes;

const char* check_random(Context& ctx, const uint32_t* params, const View* operands, int) {
  if (params[0] > LF_NORMAL) return ctx.fail(LF_INVALID, "RANDOM: unknown kind %u", params[0]);
  return expect_float(ctx, "RANDOM", "out", operands[0]);
}

// Elements 4j, 4j + 1 come from words 0 and 1 of block j, elements 4j + 2, 4j + 3 from words 2 and 3: the cosine and the
// sine of one Box-Muller pair. `words` starts at an even element.
void box_muller(const uint32_t* words, int64_t pairs, float* out) {
  for (int64_t i = 0; i < pairs; i += kLanes) {
    const int64_t n = smaller<int64_t>(kLanes, pairs - i);
    uint32_t first[kLanes] = {}, second[kLanes] = {};
    for (int64_t l = 0; l < n; l++) first[l] = words[2 * (i + l)], second[l] = words[2 * (i + l) + 1];
    u32v a, b;
    __builtin_memcpy(&a, first, sizeof a);
    __builtin_memcpy(&b, second, sizeof b);
    // 1 - u is in (0, 1], so that its logarithm is finite.
    const f32v radius = sqrt(-2.0f * log(1.0f - uniform_of(a)));
    const f32v turn = uniform_of(b);
    f32v sine, cosine;
    sincos(low_f64(turn) * 6.283185307179586, high_f64(turn) * 6.283185307179586, sine, cosine);
    float c[kLanes], s[kLanes];
    store(c, radius * cosine);
    store(s, radius * sine);
    for (int64_t l = 0; l < n; l++) out[2 * (i + l)] = c[l], out[2 * (i + l) + 1] = s[l];
  }
}

const char* random_op(Context& ctx, const uint32_t* params, const View* operands, int count) {
  LF_CHECK(check_random(ctx, params, operands, count));
  const View& out = operands[0];
  const bool normal = params[0] == LF_NORMAL, accumulate = params[6] != 0;
  const float a = param_f32(params, 1), b = param_f32(params, 2);
  const PhiloxKey key{params[3], params[4]};
  const uint32_t stream = params[5];
  // Rounding may carry a + (b - a) * u up to b itself.
  const float below_b = a < b ? __builtin_nextafterf(b, a) : b;
  const View* views[] = {&out};
  const StridedLoop loop = strided_loop(views, 1);
  const int64_t stride = loop.stride[0][loop.rank - 1];
  for_each_run(ctx, loop, [&](const int64_t* offsets, int64_t index, int64_t n, int) {
    uint32_t words[kWords];
    float values[kPiece + 8], scratch[kScratch];
    const int64_t odd = index & 1;  // a run may begin in the middle of a pair
    const uint32_t* w = philox_words(key, stream, index - odd, n + odd + 1, words);
    if (normal) {
      box_muller(w, (n + odd + 1) / 2, values);
      for (int64_t i = 0; i < n + odd; i++) values[i] = fma(b, values[i], a);
    } else {
      for (int64_t i = 0; i < n + odd; i++) {
        values[i] = fma(b - a, uniform_of(w[i]), a);
        if (a < b && values[i] >= b) values[i] = below_b;
      }
    }
    const float* result = values + odd;
    if (accumulate) {
      const float* old = read_row(out, offsets[0], n, stride, scratch);
      for (int64_t i = 0; i < n; i++) values[odd + i] += old[i];
    }
    write_row(out, offsets[0], n, stride, result);
  });
  return nullptr;
}

const char* check_dropout(Context& ctx, const uint32_t* params, const View* operands, int) {
  const float p = param_f32(params, 0);
  if (!(p >= 0.0f && p < 1.0f)) return ctx.fail(LF_INVALID, "DROPOUT: p is %g, expected 0 <= p < 1", double(p));
  LF_CHECK(expect_float(ctx, "DROPOUT", "x", operands[0]));
  LF_CHECK(expect_float(ctx, "DROPOUT", "out", operands[1]));
  return expect_same_shape(ctx, "DROPOUT", "out", operands[1], "x", operands[0]);
}

const char* dropout(Context& ctx, const uint32_t* params, const View* operands, int count) {
  LF_CHECK(check_dropout(ctx, params, operands, count));
  const View &x = operands[0], &out = operands[1];
  const float p = param_f32(params, 0);
  const PhiloxKey key{params[1], params[2]};
  const uint32_t stream = params[3];
  const f32v scale = broadcast(1.0f / (1.0f - p)), threshold = broadcast(p);
  const View* views[] = {&x, &out};
  const StridedLoop loop = strided_loop(views, 2);
  const int inner = loop.rank - 1;
  for_each_run(ctx, loop, [&](const int64_t* offsets, int64_t index, int64_t n, int) {
    uint32_t words[kWords];
    float scratch_x[kScratch], scratch_out[kScratch];
    const uint32_t* w = philox_words(key, stream, index, n, words);
    const float* px = read_row(x, offsets[0], n, loop.stride[0][inner], scratch_x);
    float* po = row_target(out, offsets[1], loop.stride[1][inner], scratch_out);
    for_lanes(n, [&](int64_t i, int64_t lanes) {
      u32v bits;
      __builtin_memcpy(&bits, w + i, sizeof bits);  // `words` extends beyond the run
      const i32v keep = uniform_of(bits) >= threshold;
      store_lanes(po + i, select(keep, load_lanes(px + i, lanes) * scale, broadcast(0.0f)), lanes);
    });
    finish_row(out, offsets[1], n, loop.stride[1][inner], po);
  });
  return nullptr;
}

}  // namespace

void register_random(KernelTable& table) {
  table.entry[LF_OP_RANDOM] = {random_op, check_random};
  table.entry[LF_OP_DROPOUT] = {dropout, check_dropout};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
