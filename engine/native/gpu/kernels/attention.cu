// Attention over packed sequences and over caches of floats, and the joining of its parts.
#include "attention_forward.h"

namespace lf_gpu {

// Joins the parts of a row: one warp for a token and head.
template <typename T>
LF_ON_DEVICE void attention_join(const AttentionArgs& a) {
  const int64_t i = (int64_t(block_x()) * block_threads() + thread_id()) / kWarp;
  if (i >= a.tokens * a.heads) return;
  const float* parts = a.partial + i * a.splits * (a.n + 2);
  float largest = kNothing, total = 0.0f;
  for (uint32_t p = 0; p < a.splits; p++) largest = larger_of(largest, load(parts + p * (a.n + 2) + a.n));
  for (uint32_t p = 0; p < a.splits; p++) {
    const float most = load(parts + p * (a.n + 2) + a.n);
    if (most != kNothing) total += exp_of(most - largest) * load(parts + p * (a.n + 2) + a.n + 1);
  }
  T* out = reinterpret_cast<T*>(a.out.data) + i / a.heads * a.out.token_stride + i % a.heads * a.out.head_stride;
  for (int64_t column = lane_id(); column < a.n; column += kWarp) {
    float sum = 0.0f;
    for (uint32_t p = 0; p < a.splits; p++) {
      const float most = load(parts + p * (a.n + 2) + a.n);
      if (most != kNothing) sum += exp_of(most - largest) * load(parts + p * (a.n + 2) + column);
    }
    store(out + column, narrow<T>(total > 0.0f ? sum / total : 0.0f));
  }
}

// Numbers of f16 are multiplied in f32: probabilities would lose digits that the type promises.
#define LF_ATTENTION(name, Memory, Tile, width, blocks)                                                                 \
  LF_KERNEL_HELD(name##_##width, AttentionArgs, (AttentionTiles<int(sizeof(Tile)), width>::kWarps * kWarp), blocks) {   \
    attention_forward<Memory, Tile, width>(a);                                                                          \
  }
LF_ATTENTION(attention_bf16, bf16, bf16, 64, 4)
LF_ATTENTION(attention_bf16, bf16, bf16, 128, 4)
LF_ATTENTION(attention_bf16, bf16, bf16, 256, 2)
LF_ATTENTION(attention_f16, f16, float, 64, 2)
LF_ATTENTION(attention_f16, f16, float, 128, 2)
LF_ATTENTION(attention_f16, f16, float, 256, 2)
LF_ATTENTION(attention_f32, float, float, 64, 2)
LF_ATTENTION(attention_f32, float, float, 128, 2)
LF_ATTENTION(attention_f32, float, float, 256, 2)

LF_KERNEL_HELD(attention_join_bf16, AttentionArgs, kCombineThreads, 8) { attention_join<bf16>(a); }
LF_KERNEL_HELD(attention_join_f16, AttentionArgs, kCombineThreads, 8) { attention_join<f16>(a); }
LF_KERNEL_HELD(attention_join_f32, AttentionArgs, kCombineThreads, 8) { attention_join<float>(a); }

}  // namespace lf_gpu
