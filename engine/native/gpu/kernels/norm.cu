// RMS_NORM, LAYER_NORM and their gradients: one block for a row.
#include "norm.h"

#include "access.h"

namespace lf_gpu {

// The row h = x + residual, read from memory once and kept in shared memory where it fits.
struct NormRow {
  const NormArgs& a;
  Row x, residual, sum;
  Shared<float> cache;

  LF_ON_DEVICE void fetch(int64_t first, float (&v)[8], bool again) const {
    if (again && a.cached) {
      for (int i = 0; i < 8; i++) v[i] = first + i < a.n ? float(cache[int(first) + i]) : 0.0f;
      return;
    }
    x.read(first, a.n, v);
    if (a.residual.data) {
      float r[8];
      residual.read(first, a.n, r);
      for (int i = 0; i < 8; i++) v[i] += r[i];
    }
    if (again) return;
    if (a.sum.data) sum.write(first, a.n, v);
    if (!a.cached) return;
    for (int i = 0; i < 8; i++)
      if (first + i < a.n) cache[int(first) + i] = v[i];
  }
};

LF_KERNEL(norm_forward, NormArgs, kNormThreads) {
  const int64_t r = block_x();
  const Shared<float> scratch = shared_at<float>(0);
  const NormRow h{a, row_of(a.x, r), row_of(a.residual, r), row_of(a.sum, r), shared_at<float>(kNormScratch)};
  // Each thread comes back to the elements that it brought: the cache needs no barrier.
  float total = 0.0f;
  for_row8(a.n, [&](int64_t first) {
    float v[8];
    h.fetch(first, v, false);
    for (int i = 0; i < 8; i++)
      if (first + i < a.n) total += a.centred ? v[i] : v[i] * v[i];
  });
  total = block_sum(total, scratch);
  const float mean = a.centred ? total / float(a.n) : 0.0f;
  if (a.centred) {
    total = 0.0f;
    for_row8(a.n, [&](int64_t first) {
      float v[8];
      h.fetch(first, v, true);
      for (int i = 0; i < 8; i++)
        if (first + i < a.n) total += (v[i] - mean) * (v[i] - mean);
    });
    total = block_sum(total, scratch);
  }
  const float rstd = 1.0f / sqrt_of(total / float(a.n) + a.eps);
  const Row y = row_of(a.y, r), weight = row_of(a.weight, 0), bias = row_of(a.bias, 0);
  for_row8(a.n, [&](int64_t first) {
    float v[8], w[8], b[8];
    h.fetch(first, v, true);
    weight.read(first, a.n, w);
    if (a.bias.data) bias.read(first, a.n, b);
    for (int i = 0; i < 8; i++) v[i] = (v[i] - mean) * rstd * (w[i] + a.weight_offset) + (a.bias.data ? b[i] : 0.0f);
    y.write(first, a.n, v);
  });
  if (thread_id() != 0) return;
  if (a.mean.data) store(reinterpret_cast<float*>(a.mean.data) + place_of(a.mean, r), mean);
  if (a.rstd.data) store(reinterpret_cast<float*>(a.rstd.data) + place_of(a.rstd, r), rstd);
}

LF_ON_DEVICE float statistic(const Operand& o, int64_t r) { return load(reinterpret_cast<const float*>(o.data) + place_of(o, r)); }

LF_KERNEL(norm_input_gradient, NormGradientArgs, kNormThreads) {
  const int64_t r = block_x();
  const Shared<float> scratch = shared_at<float>(0);
  const Row dy = row_of(a.dy, r), h = row_of(a.h, r), weight = row_of(a.weight, 0), dx = row_of(a.dx, r);
  const float s = statistic(a.rstd, r), mean = a.centred ? statistic(a.mean, r) : 0.0f;
  float along = 0.0f, shift = 0.0f;
  for_row8(a.n, [&](int64_t first) {
    float d[8], v[8], w[8];
    dy.read(first, a.n, d);
    h.read(first, a.n, v);
    weight.read(first, a.n, w);
    for (int i = 0; i < 8; i++) {
      if (first + i >= a.n) continue;
      const float g = d[i] * (w[i] + a.weight_offset);
      along += g * (v[i] - mean) * s;
      shift += g;
    }
  });
  along = block_sum(along, scratch) / float(a.n);
  shift = a.centred ? block_sum(shift, scratch) / float(a.n) : 0.0f;
  const Row carried = row_of(a.dh_in, r);
  for_row8(a.n, [&](int64_t first) {
    float d[8], v[8], w[8], c[8];
    dy.read(first, a.n, d);
    h.read(first, a.n, v);
    weight.read(first, a.n, w);
    if (a.dh_in.data) carried.read(first, a.n, c);
    for (int i = 0; i < 8; i++) {
      const float xhat = (v[i] - mean) * s;
      d[i] = s * (d[i] * (w[i] + a.weight_offset) - shift - xhat * along) + (a.dh_in.data ? c[i] : 0.0f);
    }
    dx.write(first, a.n, d);
  });
}

// A thread sums some rows of eight columns; the second step adds these sums up.
LF_KERNEL(norm_weight_partials, NormGradientArgs, kNormThreads) {
  const int64_t first = (int64_t(block_x()) * block_threads() + thread_id()) * 8, piece = block_y();
  if (first >= a.n) return;
  float dw[8] = {}, db[8] = {};
  for (int64_t r = piece * kGradientRows; r < smaller(a.rows, (piece + 1) * kGradientRows); r++) {
    float d[8], v[8];
    row_of(a.dy, r).read(first, a.n, d);
    row_of(a.h, r).read(first, a.n, v);
    const float s = statistic(a.rstd, r), mean = a.centred ? statistic(a.mean, r) : 0.0f;
    for (int i = 0; i < 8; i++) {
      dw[i] += d[i] * (v[i] - mean) * s;
      db[i] += d[i];
    }
  }
  for (int i = 0; i < 8 && first + i < a.n; i++) {
    store(a.partial + piece * a.n + first + i, dw[i]);
    store(a.partial + (a.pieces + piece) * a.n + first + i, db[i]);
  }
}
LF_KERNEL(norm_weight_sums, NormGradientArgs, kNormThreads) {
  const int64_t i = int64_t(block_x()) * block_threads() + thread_id();
  if (i >= a.n) return;
  float dw = 0.0f, db = 0.0f;
  for (int64_t piece = 0; piece < a.pieces; piece++) {
    dw += load(a.partial + piece * a.n + i);
    db += load(a.partial + (a.pieces + piece) * a.n + i);
  }
  const Row weight = row_of(a.dweight, 0), bias = row_of(a.dbias, 0);
  if (a.dweight.data) weight.set(i, weight.at(i) + dw);
  if (a.dbias.data) bias.set(i, bias.at(i) + db);
}

}  // namespace lf_gpu
