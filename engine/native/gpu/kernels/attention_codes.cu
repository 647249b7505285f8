// Attention over caches whose keys and values are codes of 8 bits with a scale for each position and head: they are decoded on
// the way to shared memory, and half the bytes of bf16 are read.
#include "attention_forward.h"

namespace lf_gpu {

#define LF_CODED_ATTENTION(type, Memory, Tile, width, blocks)                                                                       \
  LF_KERNEL_HELD(attention_##type##_i8_##width, AttentionArgs, (AttentionTiles<int(sizeof(Tile)), width>::kWarps * kWarp), blocks) { \
    attention_forward<Memory, Tile, width, true>(a);                                                                                \
  }
LF_CODED_ATTENTION(bf16, bf16, bf16, 64, 3)
LF_CODED_ATTENTION(bf16, bf16, bf16, 128, 3)
LF_CODED_ATTENTION(bf16, bf16, bf16, 256, 2)
LF_CODED_ATTENTION(f16, f16, float, 64, 2)
LF_CODED_ATTENTION(f16, f16, float, 128, 2)
LF_CODED_ATTENTION(f16, f16, float, 256, 2)
LF_CODED_ATTENTION(f32, float, float, 64, 2)
LF_CODED_ATTENTION(f32, float, float, 128, 2)
LF_CODED_ATTENTION(f32, float, float, 256, 2)

}  // namespace lf_gpu
