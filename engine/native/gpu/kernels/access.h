// Reading and writing operands of any float type and any strides.
#pragma once
#include "../../include/largeforge/backend.h"
#include "../device/language.h"
#include "arguments.h"

// A kernel: its name, its arguments `a`, and the most threads of a block. It does nothing after a fault. Of LF_KERNEL_HELD, a
// multiprocessor shall hold `blocks` blocks: a thread may take as many registers as that leaves, which keeps compilers from
// spilling some for an occupancy that shared memory does not allow.
#define LF_CONCATENATE_(x, y) x##y
#if defined(LF_EMULATED)
#include "../emulation/registry.h"
#define LF_KERNEL(name, Args, threads)                                                                     \
  static void name##_body(const Args& a);                                                                  \
  static void name##_entry(const void* p) {                                                                \
    const Args& a = *static_cast<const Args*>(p);                                                          \
    if (load(&a.head.fault->claimed) == 0) name##_body(a);                                                 \
  }                                                                                                        \
  static const simt::Registration name##_registration{LF_EMULATED_TARGET, #name, sizeof(Args), threads, name##_entry}; \
  static void name##_body(const Args& a)
#define LF_KERNEL_HELD(name, Args, threads, blocks) LF_KERNEL(name, Args, threads)
#else
#define LF_KERNEL_BOUNDED_(name, Args, bounds)                                                             \
  LF_ON_DEVICE void name##_body(const Args& a);                                                            \
  LF_KERNEL_LINKAGE void bounds name(const Args a) {                                                       \
    if (load(&a.head.fault->claimed) == 0) name##_body(a);                                                 \
  }                                                                                                        \
  LF_ON_DEVICE void name##_body(const Args& a)
#define LF_KERNEL(name, Args, threads) LF_KERNEL_BOUNDED_(name, Args, LF_LAUNCH_BOUNDS((threads)))
#define LF_KERNEL_HELD(name, Args, threads, blocks) LF_KERNEL_BOUNDED_(name, Args, LF_LAUNCH_BOUNDS_HELD((threads), (blocks)))
#endif

namespace lf_gpu {

LF_ON_DEVICE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
LF_ON_DEVICE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
LF_ON_DEVICE uint32_t element_bytes(uint32_t dtype) { return dtype == LF_F32 ? 4 : 2; }

// Element `i` of memory that holds f32, bf16 or f16.
LF_ON_DEVICE float read_float(const void* data, uint32_t dtype, int64_t i) {
  if (dtype == LF_F32) return load(static_cast<const float*>(data) + i);
  if (dtype == LF_BF16) return widen(load(static_cast<const bf16*>(data) + i));
  return widen(load(static_cast<const f16*>(data) + i));
}
LF_ON_DEVICE void write_float(void* data, uint32_t dtype, int64_t i, float v) {
  if (dtype == LF_F32) store(static_cast<float*>(data) + i, v);
  else if (dtype == LF_BF16) store(static_cast<bf16*>(data) + i, narrow<bf16>(v));
  else store(static_cast<f16*>(data) + i, narrow<f16>(v));
}

// Eight elements that start at a multiple of 16 bytes.
LF_ON_DEVICE void read_words8(const void* data, uint32_t dtype, int64_t first, float (&v)[8]) {
  if (dtype == LF_F32) {
    const Words4* p = reinterpret_cast<const Words4*>(static_cast<const float*>(data) + first);
    const Words4 x = load(p), y = load(p + 1);
#pragma unroll
    for (int i = 0; i < 4; i++) v[i] = bits_to_float(x.w[i]), v[4 + i] = bits_to_float(y.w[i]);
    return;
  }
  const Words4 x = load(reinterpret_cast<const Words4*>(static_cast<const bf16*>(data) + first));
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const uint32_t w = x.w[i];
    if (dtype == LF_BF16) {
      v[2 * i] = bits_to_float(w << 16), v[2 * i + 1] = bits_to_float(w & 0xffff0000u);
    } else {
      v[2 * i] = half_bits_to_float(uint16_t(w)), v[2 * i + 1] = half_bits_to_float(uint16_t(w >> 16));
    }
  }
}
LF_ON_DEVICE void write_words8(void* data, uint32_t dtype, int64_t first, const float (&v)[8]) {
  Words4 x;
  if (dtype == LF_F32) {
    Words4* p = reinterpret_cast<Words4*>(static_cast<float*>(data) + first);
    Words4 y;
#pragma unroll
    for (int i = 0; i < 4; i++) x.w[i] = float_to_bits(v[i]), y.w[i] = float_to_bits(v[4 + i]);
    store(p, x);
    store(p + 1, y);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const uint32_t low = dtype == LF_BF16 ? narrow<bf16>(v[2 * i]).bits : narrow<f16>(v[2 * i]).bits;
    const uint32_t high = dtype == LF_BF16 ? narrow<bf16>(v[2 * i + 1]).bits : narrow<f16>(v[2 * i + 1]).bits;
    x.w[i] = low | high << 16;
  }
  store(reinterpret_cast<Words4*>(static_cast<bf16*>(data) + first), x);
}

// Place of element `i` in the order of a contiguous tensor, in elements.
LF_ON_DEVICE int64_t place_of(const Operand& o, int64_t i) {
  const int64_t i3 = i % o.shape[3], rest = i / o.shape[3];
  if (o.shape[2] == 1 && o.shape[1] == 1) return i3 * o.stride[3] + rest * o.stride[0];
  const int64_t i2 = rest % o.shape[2], left = rest / o.shape[2];
  return i3 * o.stride[3] + i2 * o.stride[2] + left % o.shape[1] * o.stride[1] + left / o.shape[1] * o.stride[0];
}

// Eight elements from `first`, a multiple of 8; those from `n` on are not touched.
LF_ON_DEVICE void read8(const Operand& o, int64_t first, int64_t n, float (&v)[8]) {
  if (o.flags & kVector) return read_words8(o.data, o.dtype, place_of(o, first), v);
  for (int i = 0; i < 8; i++) v[i] = first + i < n ? read_float(o.data, o.dtype, place_of(o, first + i)) : 0.0f;
}
LF_ON_DEVICE void write8(const Operand& o, int64_t first, int64_t n, const float (&v)[8]) {
  if (o.flags & kVector) return write_words8(o.data, o.dtype, place_of(o, first), v);
  for (int i = 0; i < 8; i++)
    if (first + i < n) write_float(o.data, o.dtype, place_of(o, first + i), v[i]);
}

// Row `r` of an operand whose last dimension is the row (the host keeps it apart from the others).
struct Row {
  const Operand& o;
  int64_t start;
  LF_ON_DEVICE float at(int64_t i) const { return read_float(o.data, o.dtype, start + i * o.stride[3]); }
  LF_ON_DEVICE void set(int64_t i, float v) const { write_float(o.data, o.dtype, start + i * o.stride[3], v); }
  LF_ON_DEVICE void read(int64_t first, int64_t n, float (&v)[8]) const {
    if (o.flags & kVector) return read_words8(o.data, o.dtype, start + first, v);
    for (int i = 0; i < 8; i++) v[i] = first + i < n ? at(first + i) : 0.0f;
  }
  LF_ON_DEVICE void write(int64_t first, int64_t n, const float (&v)[8]) const {
    if (o.flags & kVector) return write_words8(o.data, o.dtype, start + first, v);
    for (int i = 0; i < 8; i++)
      if (first + i < n) set(first + i, v[i]);
  }
};
LF_ON_DEVICE Row row_of(const Operand& o, int64_t r) {
  const int64_t i2 = r % o.shape[2], left = r / o.shape[2];
  return {o, i2 * o.stride[2] + left % o.shape[1] * o.stride[1] + left / o.shape[1] * o.stride[0]};
}

// Runs f(first) for every eighth element of this block's threads.
template <typename F>
LF_ON_DEVICE void for_row8(int64_t n, F f) {
  for (int64_t first = int64_t(thread_id()) * 8; first < n; first += int64_t(block_threads()) * 8) f(first);
}

// An element of a vector of indices.
LF_ON_DEVICE int32_t index_at(const int32_t* p, int64_t i, int64_t stride) { return load(p + i * stride); }

}  // namespace lf_gpu
