// The language of language.h on the emulator (see emulation/simt.h). LF_EMULATED_TARGET chooses what is emulated:
// 80 (warps of 32 with NVIDIA's matrix unit), 90 (warps of 64 with AMD's), 10 (warps of 32 without one). The build renames
// the namespace of each target, since all of them are linked into one library.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "../emulation/simt.h"

#define LF_ON_DEVICE inline __attribute__((always_inline))
#define LF_DEVICE_FUNCTION inline
#define LF_LAUNCH_BOUNDS(threads)

#define LF_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define LF_PLACE simt::Place{file, line}

namespace lf_gpu {

constexpr int kWarp = LF_EMULATED_TARGET == 90 ? 64 : 32;

LF_ON_DEVICE int thread_id() { return int(simt::thread_index()); }
LF_ON_DEVICE int block_threads() { return int(simt::block_threads()); }
LF_ON_DEVICE int lane_id() { return int(simt::lane_index()); }
LF_ON_DEVICE uint32_t block_x() { return simt::block_index().x; }
LF_ON_DEVICE uint32_t block_y() { return simt::block_index().y; }
LF_ON_DEVICE uint32_t block_z() { return simt::block_index().z; }
LF_ON_DEVICE uint32_t grid_x() { return simt::grid_size().x; }

LF_ON_DEVICE void sync_block(LF_HERE) { simt::block_barrier(LF_PLACE); }
LF_ON_DEVICE void sync_warp(LF_HERE) { simt::warp_meet(nullptr, nullptr, LF_PLACE); }

struct Exchange {
  uint32_t word, result;
  int lane;
};
inline void exchange(void* const* lanes, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    auto* mine = static_cast<Exchange*>(lanes[i]);
    mine->result = static_cast<Exchange*>(lanes[static_cast<uint32_t>(mine->lane) % count])->word;
  }
}
template <typename T>
LF_ON_DEVICE T shuffle(T v, int lane, LF_HERE) {
  static_assert(sizeof(T) == 4, "one word");
  Exchange mine{0, 0, lane};
  memcpy(&mine.word, &v, 4);
  simt::warp_meet(exchange, &mine, LF_PLACE);
  memcpy(&v, &mine.result, 4);
  return v;
}
template <typename T>
LF_ON_DEVICE T shuffle_xor(T v, int mask, LF_HERE) {
  return shuffle(v, lane_id() ^ mask, file, line);
}

template <typename T>
LF_ON_DEVICE T load(const T* p, LF_HERE) {
  simt::global_read(p, sizeof(T), LF_PLACE);
  return *p;
}
template <typename T>
LF_ON_DEVICE void store(T* p, T v, LF_HERE) {
  simt::global_write(p, sizeof(T), LF_PLACE);
  *p = v;
}
LF_ON_DEVICE uint32_t atomic_claim(uint32_t* p, uint32_t v, LF_HERE) {
  simt::global_atomic(p, 4, LF_PLACE);
  const uint32_t before = *p;
  if (before == 0) *p = v;
  return before;
}
LF_ON_DEVICE void atomic_add(uint32_t* p, uint32_t v, LF_HERE) {
  simt::global_atomic(p, 4, LF_PLACE);
  *p += v;
}

// An element of shared memory: reads and writes are checked.
template <typename T>
struct SharedElement {
  T* data;
  const char* file;
  int line;
  operator T() const {
    simt::shared_read(data, sizeof(T), LF_PLACE);
    return *data;
  }
  const SharedElement& operator=(T v) const {
    simt::shared_write(data, sizeof(T), LF_PLACE);
    *data = v;
    return *this;
  }
  const SharedElement& operator=(const SharedElement& other) const { return *this = T(other); }
  const SharedElement& operator+=(T v) const { return *this = T(*this) + v; }
};
// An index that remembers where it was written.
struct Index {
  int i;
  const char* file;
  int line;
  Index(int i, LF_HERE) : i(i), file(file), line(line) {}
};
template <typename T>
struct Shared {
  T* data;
  SharedElement<T> operator[](Index at) const { return {data + at.i, at.file, at.line}; }
  Shared operator+(int i) const { return {data + i}; }
};
template <typename T>
LF_ON_DEVICE Shared<T> shared_at(uint32_t offset) {
  return {reinterpret_cast<T*>(simt::shared_memory() + offset)};
}
template <typename T, typename W>
LF_ON_DEVICE void store_shared_words(Shared<T> to, const W& words, LF_HERE) {
  simt::shared_write(to.data, sizeof(W), LF_PLACE);
  memcpy(to.data, &words, sizeof(W));
}

// The copy is done at once; a read before the wait is caught as a race, because other threads need a barrier anyway.
template <typename T>
LF_ON_DEVICE void copy_async16(Shared<T> to, const void* from, bool valid, LF_HERE) {
  if (valid) simt::global_read(from, 16, LF_PLACE);
  simt::shared_write(to.data, 16, LF_PLACE);
  if (valid) memcpy(to.data, from, 16);
  else memset(to.data, 0, 16);
}
LF_ON_DEVICE void copy_async_commit() {}
template <int kLeft>
LF_ON_DEVICE void copy_async_wait() {}

LF_ON_DEVICE float half_bits_to_float(uint16_t bits) {
  const uint32_t sign = uint32_t(bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, mantissa = bits & 0x3ffu;
  uint32_t u;
  if (exponent == 0) {
    const float f = std::ldexp(float(mantissa), -24);
    memcpy(&u, &f, 4);
    u |= sign;
  } else {
    u = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
  }
  float f;
  memcpy(&f, &u, 4);
  return f;
}
LF_ON_DEVICE uint16_t float_to_half_bits(float v) {
  uint32_t u;
  memcpy(&u, &v, 4);
  const uint16_t sign = uint16_t(u >> 16 & 0x8000u);
  u &= 0x7fffffffu;
  if (u > 0x7f800000u) return uint16_t(sign | 0x7e00u);
  if (u >= 0x477ff000u) return uint16_t(sign | 0x7c00u);
  float magnitude;
  memcpy(&magnitude, &u, 4);
  if (u < 0x38800000u) return uint16_t(sign | uint16_t(std::nearbyint(std::ldexp(magnitude, 24))));
  return uint16_t(sign | ((u + 0xfffu + (u >> 13 & 1u) - 0x38000000u) >> 13));
}

LF_ON_DEVICE uint32_t and_or(uint32_t word, uint32_t mask, uint32_t bits) { return (word & mask) | bits; }

LF_ON_DEVICE float exp_of(float x) { return std::exp(x); }
LF_ON_DEVICE float log_of(float x) { return std::log(x); }
LF_ON_DEVICE float tanh_of(float x) { return std::tanh(x); }
LF_ON_DEVICE float erf_of(float x) { return std::erf(x); }
LF_ON_DEVICE float erfc_of(float x) { return std::erfc(x); }
LF_ON_DEVICE float sqrt_of(float x) { return std::sqrt(x); }
LF_ON_DEVICE float sin_of(float x) { return std::sin(x); }
LF_ON_DEVICE float cos_of(float x) { return std::cos(x); }
LF_ON_DEVICE float round_of(float x) { return std::nearbyint(x); }
LF_ON_DEVICE float round_away_of(float x) { return std::round(x); }
LF_ON_DEVICE float floor_of(float x) { return std::floor(x); }
LF_ON_DEVICE float abs_of(float x) { return std::fabs(x); }
LF_ON_DEVICE double sin_of(double x) { return std::sin(x); }
LF_ON_DEVICE double cos_of(double x) { return std::cos(x); }

}  // namespace lf_gpu

#include "emulated_mma.h"
