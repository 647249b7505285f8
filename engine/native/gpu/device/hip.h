// The language of language.h in HIP C++, for ROCm 5.2 and newer: the compiler's builtins and the device library's
// functions alone, so that no header of the toolkit is needed. The one place with AMD's intrinsics.
#pragma once
#include <cstdint>

#define LF_ON_DEVICE __attribute__((device)) inline __attribute__((always_inline))
#define LF_DEVICE_FUNCTION __attribute__((device))
#define LF_KERNEL_LINKAGE extern "C" __attribute__((global))
#define LF_LAUNCH_BOUNDS(threads) __attribute__((amdgpu_flat_work_group_size(1, threads)))
#define LF_LAUNCH_BOUNDS_HELD(threads, blocks) LF_LAUNCH_BOUNDS(threads)

extern "C" {
__attribute__((device)) float __ocml_exp_f32(float);
__attribute__((device)) float __ocml_log_f32(float);
__attribute__((device)) float __ocml_tanh_f32(float);
__attribute__((device)) float __ocml_erf_f32(float);
__attribute__((device)) float __ocml_erfc_f32(float);
__attribute__((device)) float __ocml_sqrt_f32(float);
__attribute__((device)) float __ocml_sin_f32(float);
__attribute__((device)) float __ocml_cos_f32(float);
__attribute__((device)) float __ocml_rint_f32(float);
__attribute__((device)) float __ocml_round_f32(float);
__attribute__((device)) float __ocml_floor_f32(float);
__attribute__((device)) double __ocml_sin_f64(double);
__attribute__((device)) double __ocml_cos_f64(double);
__attribute__((device)) unsigned long __ockl_get_local_size(unsigned);
__attribute__((device)) unsigned long __ockl_get_num_groups(unsigned);
}

namespace lf_gpu {

#if defined(__AMDGCN_WAVEFRONT_SIZE__) && __AMDGCN_WAVEFRONT_SIZE__ == 32
constexpr int kWarp = 32;
#else
constexpr int kWarp = 64;
#endif

LF_ON_DEVICE int thread_id() { return int(__builtin_amdgcn_workitem_id_x()); }
LF_ON_DEVICE int block_threads() { return int(__ockl_get_local_size(0)); }
LF_ON_DEVICE int lane_id() { return thread_id() & (kWarp - 1); }
LF_ON_DEVICE uint32_t block_x() { return __builtin_amdgcn_workgroup_id_x(); }
LF_ON_DEVICE uint32_t block_y() { return __builtin_amdgcn_workgroup_id_y(); }
LF_ON_DEVICE uint32_t block_z() { return __builtin_amdgcn_workgroup_id_z(); }
LF_ON_DEVICE uint32_t grid_x() { return uint32_t(__ockl_get_num_groups(0)); }

LF_ON_DEVICE void sync_block() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
// The lanes of a wave run in step; the fence keeps the compiler from moving memory operations across.
LF_ON_DEVICE void sync_warp() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
  __builtin_amdgcn_wave_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}

template <typename T>
LF_ON_DEVICE T shuffle(T v, int lane) {
  static_assert(sizeof(T) == 4, "one word");
  int word;
  __builtin_memcpy(&word, &v, 4);
  word = __builtin_amdgcn_ds_bpermute(lane * 4, word);
  __builtin_memcpy(&v, &word, 4);
  return v;
}
template <typename T>
LF_ON_DEVICE T shuffle_xor(T v, int mask) {
  return shuffle(v, lane_id() ^ mask);
}

template <typename T>
LF_ON_DEVICE T load(const T* p) {
  return *p;
}
template <typename T>
LF_ON_DEVICE void store(T* p, T v) {
  *p = v;
}
LF_ON_DEVICE uint32_t atomic_claim(uint32_t* p, uint32_t v) {
  uint32_t expected = 0;
  __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
LF_ON_DEVICE void atomic_add(uint32_t* p, uint32_t v) { __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }

extern __attribute__((shared)) __attribute__((aligned(16))) uint8_t lf_shared_memory[];

template <typename T>
struct Shared {
  T* data;
  LF_ON_DEVICE T& operator[](int i) const { return data[i]; }
  LF_ON_DEVICE Shared operator+(int i) const { return {data + i}; }
};
template <typename T>
LF_ON_DEVICE Shared<T> shared_at(uint32_t offset) {
  return {reinterpret_cast<T*>(lf_shared_memory + offset)};
}
template <typename T, typename W>
LF_ON_DEVICE void store_shared_words(Shared<T> to, const W& words) {
  *reinterpret_cast<W*>(to.data) = words;
}

// AMD's data cards before gfx950 have no 16-byte copy past the registers; the compiler overlaps the two halves.
template <typename T>
LF_ON_DEVICE void copy_async16(Shared<T> to, const void* from, bool valid) {
  typedef uint32_t Four __attribute__((ext_vector_type(4)));
  Four words = {0, 0, 0, 0};
  if (valid) words = *static_cast<const Four*>(from);
  *reinterpret_cast<Four*>(to.data) = words;
}
LF_ON_DEVICE void copy_async_commit() {}
template <int kLeft>
LF_ON_DEVICE void copy_async_wait() {}

LF_ON_DEVICE float half_bits_to_float(uint16_t bits) {
  _Float16 h;
  __builtin_memcpy(&h, &bits, 2);
  return float(h);
}
LF_ON_DEVICE uint16_t float_to_half_bits(float v) {
  const _Float16 h = _Float16(v);
  uint16_t bits;
  __builtin_memcpy(&bits, &h, 2);
  return bits;
}

// (word & mask) | bits: v_and_or_b32.
LF_ON_DEVICE uint32_t and_or(uint32_t word, uint32_t mask, uint32_t bits) { return (word & mask) | bits; }

LF_ON_DEVICE float exp_of(float x) { return __ocml_exp_f32(x); }
LF_ON_DEVICE float log_of(float x) { return __ocml_log_f32(x); }
LF_ON_DEVICE float tanh_of(float x) { return __ocml_tanh_f32(x); }
LF_ON_DEVICE float erf_of(float x) { return __ocml_erf_f32(x); }
LF_ON_DEVICE float erfc_of(float x) { return __ocml_erfc_f32(x); }
LF_ON_DEVICE float sqrt_of(float x) { return __ocml_sqrt_f32(x); }
LF_ON_DEVICE float sin_of(float x) { return __ocml_sin_f32(x); }
LF_ON_DEVICE float cos_of(float x) { return __ocml_cos_f32(x); }
LF_ON_DEVICE float round_of(float x) { return __ocml_rint_f32(x); }
LF_ON_DEVICE float round_away_of(float x) { return __ocml_round_f32(x); }
LF_ON_DEVICE float floor_of(float x) { return __ocml_floor_f32(x); }
LF_ON_DEVICE float abs_of(float x) { return __builtin_fabsf(x); }
LF_ON_DEVICE double sin_of(double x) { return __ocml_sin_f64(x); }
LF_ON_DEVICE double cos_of(double x) { return __ocml_cos_f64(x); }

// ---- the matrix unit ----

typedef float Float4 __attribute__((ext_vector_type(4)));
typedef short Short4 __attribute__((ext_vector_type(4)));
typedef _Float16 Half4 __attribute__((ext_vector_type(4)));

#if defined(__gfx90a__) || defined(__gfx940__) || defined(__gfx941__) || defined(__gfx942__)
#define LF_MMA_MFMA 1
// c[16 x 16] += a[16 x 16] b[16 x 16]. Lane l holds row (of b: column) l % 16 and four of its depth from 4 (l / 16).
LF_ON_DEVICE void mfma_16x16x16_bf16(float* c, const uint32_t* a, const uint32_t* b) {
  Short4 x, y;
  __builtin_memcpy(&x, a, 8);
  __builtin_memcpy(&y, b, 8);
  Float4 sum = {c[0], c[1], c[2], c[3]};
  sum = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(x, y, sum, 0, 0, 0);
  for (int i = 0; i < 4; i++) c[i] = sum[i];
}
LF_ON_DEVICE void mfma_16x16x16_f16(float* c, const uint32_t* a, const uint32_t* b) {
  Half4 x, y;
  __builtin_memcpy(&x, a, 8);
  __builtin_memcpy(&y, b, 8);
  Float4 sum = {c[0], c[1], c[2], c[3]};
  sum = __builtin_amdgcn_mfma_f32_16x16x16f16(x, y, sum, 0, 0, 0);
  for (int i = 0; i < 4; i++) c[i] = sum[i];
}
#endif

}  // namespace lf_gpu
