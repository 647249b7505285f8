// LION.
#include "update.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

const char* check_lion(Context& ctx, const uint32_t*, const View* o, int) { return check_update(ctx, "LION", o, 1); }

const char* lion(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_lion(ctx, params, o, count));
  float* const m = o[2].as<float>();
  const float lr = param_f32(params, 0), beta1 = param_f32(params, 1), beta2 = param_f32(params, 2);
  const f32v decay = broadcast(1.0f - lr * param_f32(params, 3)), vbeta1 = broadcast(beta1),
             keep1 = broadcast(1.0f - beta1), vbeta2 = broadcast(beta2), keep2 = broadcast(1.0f - beta2),
             up = broadcast(lr), down = broadcast(-lr), zero = broadcast(0.0f);
  update(ctx, o, 1, [&](f32v g, int64_t at, float* p, int64_t lanes) {
    const f32v vm = load_lanes(m + at, lanes);
    const f32v direction = fma(g, keep1, vm * vbeta1);
    // The sign alone moves the parameter; a NaN goes on.
    f32v step = select(direction < zero, up, select(direction <= zero, zero, down));
    step = select(direction <= direction, step, direction);
    store_lanes(p, fma(load_lanes(p, lanes), decay, step), lanes);
    store_lanes(m + at, fma(g, keep2, vm * vbeta2), lanes);
  });
  return nullptr;
}

}  // namespace

void register_lion(KernelTable& table) { table.entry[LF_OP_LION] = {lion, check_lion}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
