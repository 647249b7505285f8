// CLIP_SCALE, ADAMW, LION and ADAMW_8BIT.
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

// Lion (Chen et al. 2023, algorithm 2): the sign alone moves the parameter.
LF_KERNEL(lion, LionArgs, kOptimizerThreads) {
  const float scale = a.scale ? load(a.scale + a.scale_stride) : 1.0f, keep = 1.0f - a.lr * a.weight_decay;
  const int64_t stride = int64_t(grid_x()) * block_threads() * 8;
  for (int64_t first = (int64_t(block_x()) * block_threads() + thread_id()) * 8; first < a.n; first += stride) {
    float p[8], g[8], m[8];
    read8(a.param, first, a.n, p);
    read8(a.grad, first, a.n, g);
    read8(a.m, first, a.n, m);
    for (int i = 0; i < 8; i++) {
      g[i] *= scale;
      const float direction = a.beta1 * m[i] + (1.0f - a.beta1) * g[i];
      // A NaN goes on.
      p[i] = p[i] * keep - (direction > 0.0f ? a.lr : direction < 0.0f ? -a.lr : direction == 0.0f ? 0.0f : direction);
      m[i] = a.beta2 * m[i] + (1.0f - a.beta2) * g[i];
    }
    write8(a.param, first, a.n, p);
    write8(a.m, first, a.n, m);
    if (a.copy.data) write8(a.copy, first, a.n, p);
  }
}

// The code of the map's value nearest to x; `middle` lies between neighbours, the lower of two that are as near wins.
LF_ON_DEVICE int nearest_code(float x, Shared<float> middle) {
  int code = 0;
  for (int half = kMomentCodes / 2; half > 0; half /= 2) code += float(middle[code + half - 1]) < x ? half : 0;
  return code;
}

// AdamW with moments in codes of 8 bits (Dettmers et al. 2022). One block for the elements that share a largest magnitude.
LF_KERNEL(adamw_8bit, Adamw8BitArgs, kMomentBlock) {
  const Shared<float> scratch = shared_at<float>(0), m_map = shared_at<float>(256), v_map = m_map + kMomentCodes,
                      m_middle = v_map + kMomentCodes, v_middle = m_middle + kMomentCodes;
  const int t = thread_id();
  const int64_t block = block_x(), i = block * kMomentBlock + t;
  const float m_value = load(a.m_map + t), v_value = load(a.v_map + t);
  m_map[t] = m_value;
  v_map[t] = v_value;
  const bool last = t + 1 == kMomentCodes;
  m_middle[t] = last ? __builtin_inff() : 0.5f * (m_value + load(a.m_map + t + 1));
  v_middle[t] = last ? __builtin_inff() : 0.5f * (v_value + load(a.v_map + t + 1));
  sync_block();
  float m = 0.0f, v = 0.0f;
  if (i < a.n) {
    const float scale = a.scale ? load(a.scale + a.scale_stride) : 1.0f;
    const float g = read_float(a.grad.data, a.grad.dtype, i) * scale;
    m = float(m_map[load(a.m + i)]) * load(a.m_absmax + block) * a.beta1 + (1.0f - a.beta1) * g;
    v = float(v_map[load(a.v + i)]) * load(a.v_absmax + block) * a.beta2 + (1.0f - a.beta2) * g * g;
    const float p = read_float(a.param.data, LF_F32, i) * (1.0f - a.lr * a.weight_decay) -
                    a.lr / a.bias_correction1 * (m / (sqrt_of(v) / sqrt_of(a.bias_correction2) + a.eps));
    write_float(a.param.data, LF_F32, i, p);
    if (a.copy.data) write_float(a.copy.data, a.copy.dtype, i, p);
  }
  const float m_most = block_max(abs_of(m), scratch);
  sync_block();
  const float v_most = block_max(abs_of(v), scratch);
  if (t == 0) {
    store(a.m_absmax + block, m_most);
    store(a.v_absmax + block, v_most);
  }
  if (i >= a.n) return;
  store(a.m + i, uint8_t(nearest_code(m / (m_most > 0.0f ? m_most : 1.0f), m_middle)));
  store(a.v + i, uint8_t(nearest_code(v / (v_most > 0.0f ? v_most : 1.0f), v_middle)));
}

}  // namespace lf_gpu
