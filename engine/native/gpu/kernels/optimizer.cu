// CLIP_SCALE and ADAMW.
#include "optimizer.h"

#include "access.h"

namespace lf_gpu {

LF_KERNEL(clip_scale, ClipArgs, kOptimizerThreads) {
  if (thread_id() != 0) return;
  const float norm = a.grad_scale * sqrt_of(load(a.sum_squares)), ratio = a.max_norm / (norm + 1e-6f);
  store(a.out, norm);
  store(a.out + a.out_stride, a.max_norm > 0.0f ? a.grad_scale * (ratio < 1.0f ? ratio : 1.0f) : a.grad_scale);
}

// Decoupled decay (Loshchilov & Hutter 2019, algorithm 2), in PyTorch's order of operations.
LF_KERNEL(adamw, AdamwArgs, kOptimizerThreads) {
  const float scale = a.scale ? load(a.scale + a.scale_stride) : 1.0f;
  const float keep = 1.0f - a.lr * a.weight_decay, step = a.lr / a.bias_correction1, root = sqrt_of(a.bias_correction2);
  const int64_t stride = int64_t(grid_x()) * block_threads() * 8;
  for (int64_t first = (int64_t(block_x()) * block_threads() + thread_id()) * 8; first < a.n; first += stride) {
    float p[8], g[8], m[8], v[8];
    read8(a.param, first, a.n, p);
    read8(a.grad, first, a.n, g);
    read8(a.m, first, a.n, m);
    read8(a.v, first, a.n, v);
    for (int i = 0; i < 8; i++) {
      g[i] *= scale;
      m[i] = a.beta1 * m[i] + (1.0f - a.beta1) * g[i];
      v[i] = a.beta2 * v[i] + (1.0f - a.beta2) * g[i] * g[i];
      p[i] = p[i] * keep - step * m[i] / (sqrt_of(v[i]) / root + a.eps);
    }
    write8(a.param, first, a.n, p);
    write8(a.m, first, a.n, m);
    write8(a.v, first, a.n, v);
    if (a.copy.data) write8(a.copy, first, a.n, p);
  }
}

}  // namespace lf_gpu
