// The language that kernels are written in: what CUDA, HIP and the emulator call differently, under one name. Kernels use
// nothing of a vendor's but this header; `LF_EMULATED` selects the emulator, else the compiler says which vendor it is.
//
// Of a target these are known at compile time: kWarp (lanes of a warp), and the matrix unit (see mma.h). Global memory is
// read and written with `load` and `store`, shared memory through `Shared<T>`; the emulator checks and counts both.
#pragma once
#include <cstdint>

#if defined(LF_EMULATED)
#include "emulated.h"
#elif defined(__HIP__)
#include "hip.h"
#else
#include "cuda.h"
#endif

namespace lf_gpu {

// Four words that move as one.
struct alignas(16) Words4 {
  uint32_t w[4];
};

LF_ON_DEVICE float bits_to_float(uint32_t u) {
  float f;
  __builtin_memcpy(&f, &u, 4);
  return f;
}
LF_ON_DEVICE uint32_t float_to_bits(float f) {
  uint32_t u;
  __builtin_memcpy(&u, &f, 4);
  return u;
}

// Numbers of 16 bits, as they lie in memory.
struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

LF_ON_DEVICE float widen(float v) { return v; }
LF_ON_DEVICE float widen(bf16 v) { return bits_to_float(uint32_t(v.bits) << 16); }
LF_ON_DEVICE float widen(f16 v) { return half_bits_to_float(v.bits); }

template <typename T>
LF_ON_DEVICE T narrow(float v);
template <>
LF_ON_DEVICE float narrow<float>(float v) {
  return v;
}
// To the nearest, ties to even.
template <>
LF_ON_DEVICE bf16 narrow<bf16>(float v) {
  const uint32_t u = float_to_bits(v);
  const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
  return {uint16_t(nan ? (u >> 16) | 0x40u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}
template <>
LF_ON_DEVICE f16 narrow<f16>(float v) {
  return {float_to_half_bits(v)};
}

// ---- over the lanes of a warp; all of them take part ----

LF_ON_DEVICE float warp_sum(float v, int lanes = kWarp) {
  for (int d = lanes / 2; d > 0; d /= 2) v += shuffle_xor(v, d);
  return v;
}
LF_ON_DEVICE float larger_of(float a, float b) { return a > b || a != a ? a : b; }
LF_ON_DEVICE float warp_max(float v, int lanes = kWarp) {
  for (int d = lanes / 2; d > 0; d /= 2) v = larger_of(v, shuffle_xor(v, d));
  return v;
}
LF_ON_DEVICE uint32_t warp_sum(uint32_t v) {
  for (int d = kWarp / 2; d > 0; d /= 2) v += shuffle_xor(v, d);
  return v;
}

// The sum over this lane and those before it.
template <typename T>
LF_ON_DEVICE T warp_prefix(T v) {
  const int lane = lane_id();
  for (int d = 1; d < kWarp; d *= 2) {
    const T before = shuffle(v, lane >= d ? lane - d : lane);
    if (lane >= d) v += before;
  }
  return v;
}

// ---- over the threads of a block; all of them take part. `scratch` has room for a number of each warp ----

template <typename T, typename Join, typename WarpJoin>
LF_ON_DEVICE T block_join(T v, Shared<T> scratch, Join join, WarpJoin warp_join) {
  v = warp_join(v);
  const int warps = block_threads() / kWarp;
  if (warps == 1) return v;
  sync_block();
  if (lane_id() == 0) scratch[thread_id() / kWarp] = v;
  sync_block();
  T all = scratch[0];
  for (int i = 1; i < warps; i++) all = join(all, T(scratch[i]));
  return all;
}
LF_ON_DEVICE float block_sum(float v, Shared<float> scratch) {
  return block_join(v, scratch, [](float a, float b) { return a + b; }, [](float x) { return warp_sum(x); });
}
LF_ON_DEVICE float block_max(float v, Shared<float> scratch) {
  return block_join(v, scratch, [](float a, float b) { return larger_of(a, b); }, [](float x) { return warp_max(x); });
}
LF_ON_DEVICE uint32_t block_sum(uint32_t v, Shared<uint32_t> scratch) {
  return block_join(v, scratch, [](uint32_t a, uint32_t b) { return a + b; }, [](uint32_t x) { return warp_sum(x); });
}

// The sum over the threads before this one; `total` is that over all.
template <typename T>
LF_ON_DEVICE T block_prefix(T v, Shared<T> scratch, T& total) {
  const T through = warp_prefix(v);
  const int warps = block_threads() / kWarp, warp = thread_id() / kWarp;
  sync_block();
  if (lane_id() == kWarp - 1) scratch[warp] = through;
  sync_block();
  T before = 0;
  total = 0;
  for (int i = 0; i < warps; i++) {
    if (i == warp) before = total;
    total += T(scratch[i]);
  }
  return before + through - v;
}

}  // namespace lf_gpu
