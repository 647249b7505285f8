// ROUTE and ROUTE_BACKWARD: which experts each token goes to, and the gradient of the router's logits.
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr const char* kRoute = "ROUTE";
constexpr const char* kBackward = "ROUTE_BACKWARD";

const char* check_route(Context& ctx, const uint32_t* params, const View* o, int) {
  const View &probs = o[0], &rows = o[1], &offsets = o[2], &weights = o[3];
  const int64_t top_k = params[0];
  LF_CHECK(expect_dtype(ctx, kRoute, "probs", probs, LF_F32));
  LF_CHECK(expect_rank(ctx, kRoute, "probs", probs, 2));
  if (top_k < 1 || top_k > probs.shape[1])
    return ctx.fail(LF_INVALID, "%s: %lld experts cannot be chosen of the %lld that probs has", kRoute, (long long)top_k,
                    (long long)probs.shape[1]);
  LF_CHECK(expect_dtype(ctx, kRoute, "rows", rows, LF_I32));
  LF_CHECK(expect_shape(ctx, kRoute, "rows", rows, probs.shape[0] * top_k));
  LF_CHECK(expect_dtype(ctx, kRoute, "offsets", offsets, LF_I32));
  LF_CHECK(expect_shape(ctx, kRoute, "offsets", offsets, probs.shape[1] + 1));
  LF_CHECK(expect_dtype(ctx, kRoute, "weights", weights, LF_F32));
  return expect_shape(ctx, kRoute, "weights", weights, probs.shape[0] * top_k);
}

// The top_k largest of a row, the larger first and the lower index on a tie. Of a row that is not a number, the first.
void choose(const View& probs, int64_t row, int64_t top_k, int32_t* experts, float* chosen) {
  const float* p = probs.as<const float>() + row * probs.stride[0];
  const int64_t n = probs.shape[1], stride = probs.stride[1];
  for (int64_t j = 0; j < top_k; j++) {
    int64_t best = -1;
    for (int64_t e = 0; e < n; e++) {
      const float value = p[e * stride];
      const bool left = j == 0 || value < chosen[j - 1] || (value == chosen[j - 1] && e > experts[j - 1]);
      if (left && (best < 0 || value > p[best * stride])) best = e;
    }
    if (best < 0 || p[best * stride] != p[best * stride]) best = j;
    experts[j] = int32_t(best);
    chosen[j] = p[best * stride];
  }
}

const char* route(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_route(ctx, params, o, count));
  const View &probs = o[0], &rows = o[1], &offsets = o[2], &weights = o[3];
  const int64_t tokens = probs.shape[0], experts = probs.shape[1], top_k = params[0], pairs = tokens * top_k;
  const size_t bytes = pairs * 8 + experts * 4;
  uint8_t* memory = static_cast<uint8_t*>(ctx.shared(larger<size_t>(bytes, 1)));
  if (!memory) return out_of_scratch(ctx, kRoute, bytes);
  int32_t* expert_of = reinterpret_cast<int32_t*>(memory);
  float* weight_of = reinterpret_cast<float*>(memory + pairs * 4);
  int32_t* next = reinterpret_cast<int32_t*>(memory + pairs * 8);
  constexpr int64_t kStep = 16;
  ctx.for_each(ceil_div(tokens, kStep), [&](int64_t task, int) {
    for (int64_t t = task * kStep; t < smaller(tokens, (task + 1) * kStep); t++) {
      float* chosen = weight_of + t * top_k;
      choose(probs, t, top_k, expert_of + t * top_k, chosen);
      if (!params[1]) continue;
      float total = 0.0f;
      for (int64_t j = 0; j < top_k; j++) total += chosen[j];
      for (int64_t j = 0; j < top_k; j++) chosen[j] /= total;
    }
  });
  // A counting sort keeps the order of tokens.
  for (int64_t e = 0; e < experts; e++) next[e] = 0;
  for (int64_t i = 0; i < pairs; i++) next[expert_of[i]]++;
  int32_t first = 0;
  for (int64_t e = 0; e < experts; e++) {
    offsets.as<int32_t>()[e * offsets.stride[0]] = first;
    const int32_t own = next[e];
    next[e] = first;
    first += own;
  }
  offsets.as<int32_t>()[experts * offsets.stride[0]] = first;
  for (int64_t i = 0; i < pairs; i++) {
    const int64_t at = next[expert_of[i]]++;
    rows.as<int32_t>()[at * rows.stride[0]] = int32_t(i / top_k);
    weights.as<float>()[at * weights.stride[0]] = weight_of[i];
  }
  return nullptr;
}

const char* check_backward(Context& ctx, const uint32_t*, const View* o, int) {
  const View &probs = o[0], &rows = o[1], &offsets = o[2];
  LF_CHECK(expect_dtype(ctx, kBackward, "probs", probs, LF_F32));
  LF_CHECK(expect_rank(ctx, kBackward, "probs", probs, 2));
  LF_CHECK(expect_dtype(ctx, kBackward, "rows", rows, LF_I32));
  LF_CHECK(expect_rank(ctx, kBackward, "rows", rows, 1));
  LF_CHECK(expect_dtype(ctx, kBackward, "offsets", offsets, LF_I32));
  LF_CHECK(expect_shape(ctx, kBackward, "offsets", offsets, probs.shape[1] + 1));
  const char* names[] = {"weights", "dweights"};
  for (int i = 0; i < 2; i++) {
    LF_CHECK(expect_dtype(ctx, kBackward, names[i], o[3 + i], LF_F32));
    LF_CHECK(expect_same_shape(ctx, kBackward, names[i], o[3 + i], "rows", rows));
  }
  LF_CHECK(expect_dtype(ctx, kBackward, "dlogits", o[5], LF_F32));
  return expect_same_shape(ctx, kBackward, "dlogits", o[5], "probs", probs);
}

// With d the weighted sum of a token's dweights: the softmax over all experts gives p_e (dp_e - d), where dp_e is 0 for
// those that were not chosen; the normalised weights are a softmax over the chosen ones, w_e (dw_e - d).
const char* route_backward(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_backward(ctx, params, o, count));
  const View &probs = o[0], &rows = o[1], &offsets = o[2], &weights = o[3], &dweights = o[4], &dlogits = o[5];
  const int64_t tokens = probs.shape[0], experts = probs.shape[1], pairs = rows.shape[0];
  float* sums = static_cast<float*>(ctx.shared(larger<size_t>(tokens * 4, 4)));
  if (!sums) return out_of_scratch(ctx, kBackward, tokens * 4);
  auto token = [&](int64_t r) { return int64_t(rows.as<const int32_t>()[r * rows.stride[0]]); };
  auto value = [](const View& v, int64_t r) { return v.as<const float>()[r * v.stride[0]]; };
  auto offset = [&](int64_t e) { return int64_t(offsets.as<const int32_t>()[e * offsets.stride[0]]); };
  for (int64_t e = 0; e < experts; e++)
    if (offset(e) < 0 || offset(e + 1) < offset(e) || offset(e + 1) > pairs)
      return ctx.fail(LF_INVALID, "%s: expert %lld has pairs %lld to %lld of %lld", kBackward, (long long)e,
                      (long long)offset(e), (long long)offset(e + 1), (long long)pairs);
  for (int64_t t = 0; t < tokens; t++) sums[t] = 0.0f;
  for (int64_t r = 0; r < pairs; r++) {
    if (token(r) < 0 || token(r) >= tokens)
      return ctx.fail(LF_INVALID, "%s: rows[%lld] is %lld, but probs has %lld rows", kBackward, (long long)r,
                      (long long)token(r), (long long)tokens);
    sums[token(r)] += value(weights, r) * value(dweights, r);
  }
  const bool normalized = params[0] != 0;
  ctx.for_each(tokens, [&](int64_t t, int) {
    const float* p = probs.as<const float>() + t * probs.stride[0];
    float* d = dlogits.as<float>() + t * dlogits.stride[0];
    for (int64_t e = 0; e < experts; e++)
      d[e * dlogits.stride[1]] = normalized ? 0.0f : -p[e * probs.stride[1]] * sums[t];
  });
  ctx.for_each(experts, [&](int64_t e, int) {
    for (int64_t r = offset(e); r < offset(e + 1); r++) {
      const float shift = normalized ? sums[token(r)] : 0.0f;
      dlogits.as<float>()[token(r) * dlogits.stride[0] + e * dlogits.stride[1]] +=
          value(weights, r) * (value(dweights, r) - shift);
    }
  });
  return nullptr;
}

}  // namespace

void register_route(KernelTable& table) {
  table.entry[LF_OP_ROUTE] = {route, check_route};
  table.entry[LF_OP_ROUTE_BACKWARD] = {route_backward, check_backward};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
