// DIVERGENCE: distance of a student's distribution from a teacher's, and its gradient by the student's logits.
//
// With z the student's logits over the temperature T, q their softmax, and g the derivative of the loss by q, a logit's
// derivative is q (g - sum(q g)) / T. g is -p/q for KL(p || q), ln(q / p) for KL(q || p) and (1 - beta) ln(q / m) for the
// mixture; what is constant in it drops out of the difference. A row is one task, so its sums have a fixed order.
#include "simd_functions.h"
#include "strided.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

enum Kind { kForward, kReverse, kMixture };

// Elements whose sum is formed in f32 lanes before it joins a sum in double precision.
constexpr int64_t kSumRun = 1024;

LF_INLINE f32v within(f32v v, int64_t lanes, f32v otherwise) {
  return lanes < kLanes ? select(lane_index() < broadcast_i32(int32_t(lanes)), v, otherwise) : v;
}

// A sum over a row; `of` gives the terms of some lanes.
template <typename Term>
LF_INLINE double sum_of_row(int64_t n, Term of) {
  double total = 0.0;
  for (int64_t first = 0; first < n; first += kSumRun) {
    const int64_t count = smaller(kSumRun, n - first);
    f32v partial = broadcast(0.0f);
    for_lanes(count, [&](int64_t i, int64_t lanes) {
      partial = partial + within(of(first + i, lanes), lanes, broadcast(0.0f));
    });
    total += sum(partial);
  }
  return total;
}

// ln sum exp(x / T) of a row.
LF_INLINE float log_sum_exp(const float* x, int64_t n, f32v rate) {
  const f32v lowest = broadcast(-__builtin_inff());
  f32v top = lowest;
  for_lanes(n, [&](int64_t i, int64_t lanes) { top = max(top, within(load_lanes(x + i, lanes), lanes, lowest)); });
  const f32v largest = broadcast(max_lane(top)) * rate;
  const double total = sum_of_row(n, [&](int64_t i, int64_t lanes) { return exp(fma(load_lanes(x + i, lanes), rate, -largest)); });
  return float(__builtin_log(total)) + max_lane(largest);
}

struct Row {
  float* student;
  const float* teacher;
  float* slopes;
  int64_t n;
  float rate;  // 1 / T
  float beta;
  float weight;
};

template <Kind kind>
LF_INLINE double divergence_of_row(const Row& row) {
  float *const student = row.student, *const slopes = row.slopes;
  const float* const teacher = row.teacher;
  const int64_t n = row.n;
  const f32v rate = broadcast(row.rate), zero = broadcast(0.0f);
  const f32v student_lse = broadcast(log_sum_exp(student, n, rate)), teacher_lse = broadcast(log_sum_exp(teacher, n, rate));
  const f32v beta = broadcast(row.beta), rest = broadcast(1.0f - row.beta);
  auto log_q = [&](int64_t i, int64_t lanes) { return fma(load_lanes(student + i, lanes), rate, -student_lse); };
  auto log_p = [&](int64_t i, int64_t lanes) { return fma(load_lanes(teacher + i, lanes), rate, -teacher_lse); };
  const f32v step = broadcast(row.weight * row.rate);

  if constexpr (kind == kForward) {
    return sum_of_row(n, [&](int64_t i, int64_t lanes) {
      const f32v lq = log_q(i, lanes), lp = log_p(i, lanes), p = exp(lp);
      store_lanes(student + i, (exp(lq) - p) * step, lanes);
      // The teacher may give a token no chance at all: 0 ln 0 is 0.
      return select(p > zero, p * (lp - lq), zero);
    });
  } else {
    const double loss = sum_of_row(n, [&](int64_t i, int64_t lanes) {
      const f32v lq = log_q(i, lanes), lp = log_p(i, lanes), q = exp(lq);
      if constexpr (kind == kReverse) {
        const f32v slope = lq - lp;
        store_lanes(slopes + i, slope, lanes);
        return select(q > zero, q * slope, zero);
      } else {
        const f32v p = exp(lp), m = beta * p + rest * q, lm = log(m);
        store_lanes(slopes + i, select(q > zero, rest * (lq - lm), zero), lanes);
        return select(q > zero, rest * q * (lq - lm), zero) + select(p > zero, beta * p * (lp - lm), zero);
      }
    });
    const double inner = kind == kReverse ? loss : sum_of_row(n, [&](int64_t i, int64_t lanes) {
      return exp(log_q(i, lanes)) * load_lanes(slopes + i, lanes);
    });
    const f32v mean = broadcast(float(inner));
    for_lanes(n, [&](int64_t i, int64_t lanes) {
      const f32v q = exp(log_q(i, lanes)), g = q * (load_lanes(slopes + i, lanes) - mean) * step;
      store_lanes(student + i, select(q > zero, g, zero), lanes);
    });
    return loss;
  }
}

const char* check(Context& ctx, const uint32_t* params, const View* o, int) {
  const View &student = o[0], &teacher = o[1], &weight = o[2], &loss = o[3];
  const float temperature = param_f32(params, 0), beta = param_f32(params, 1);
  if (!(temperature > 0.0f)) return ctx.fail(LF_INVALID, "DIVERGENCE: the temperature is %g, expected more than 0", double(temperature));
  if (!(beta >= 0.0f && beta <= 1.0f)) return ctx.fail(LF_INVALID, "DIVERGENCE: beta is %g, expected 0 to 1", double(beta));
  LF_CHECK(expect_dtype(ctx, "DIVERGENCE", "student", student, LF_F32));
  LF_CHECK(expect_rank(ctx, "DIVERGENCE", "student", student, 2));
  LF_CHECK(expect_float(ctx, "DIVERGENCE", "teacher", teacher));
  LF_CHECK(expect_same_shape(ctx, "DIVERGENCE", "teacher", teacher, "student", student));
  if (student.shape[1] > 1 && (student.stride[1] != 1 || teacher.stride[1] != 1))
    return ctx.fail(LF_INVALID, "DIVERGENCE: rows of logits must be contiguous");
  LF_CHECK(expect_dtype(ctx, "DIVERGENCE", "loss", loss, LF_F32));
  LF_CHECK(expect_shape(ctx, "DIVERGENCE", "loss", loss, student.shape[0]));
  if (!weight.present()) return nullptr;
  LF_CHECK(expect_dtype(ctx, "DIVERGENCE", "row_weight", weight, LF_F32));
  return expect_shape(ctx, "DIVERGENCE", "row_weight", weight, student.shape[0]);
}

const char* run(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check(ctx, params, o, count));
  const View &student = o[0], &teacher = o[1], &weight = o[2], &loss = o[3];
  const float rate = 1.0f / param_f32(params, 0), beta = param_f32(params, 1), scale = param_f32(params, 2);
  const int64_t n = student.shape[1];
  const size_t bytes = round_up(larger<int64_t>(1, n), 16) * 4;
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, 2 * bytes)) return out_of_scratch(ctx, "DIVERGENCE", 2 * bytes);
  ctx.for_each(student.shape[0], [&](int64_t r, int worker) {
    uint8_t* scratch = static_cast<uint8_t*>(ctx.local(worker, 2 * bytes));
    Row row;
    row.student = student.as<float>() + r * student.stride[0];
    row.teacher = read_row(teacher, r * teacher.stride[0], n, 1, reinterpret_cast<float*>(scratch));
    row.slopes = reinterpret_cast<float*>(scratch + bytes);
    row.n = n, row.rate = rate, row.beta = beta;
    row.weight = scale * (weight.present() ? weight.as<float>()[r * weight.stride[0]] : 1.0f);
    const double value = beta == 0.0f   ? divergence_of_row<kForward>(row)
                         : beta == 1.0f ? divergence_of_row<kReverse>(row)
                                        : divergence_of_row<kMixture>(row);
    loss.as<float>()[r * loss.stride[0]] = float(value);
  });
  return nullptr;
}

}  // namespace

void register_divergence(KernelTable& table) { table.entry[LF_OP_DIVERGENCE] = {run, check}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
