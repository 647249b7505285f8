// The language of language.h in CUDA C++ (11.8 and newer). The one place with NVIDIA's intrinsics and PTX.
#pragma once
#include <cstdint>

#define LF_ON_DEVICE __device__ __forceinline__
#define LF_DEVICE_FUNCTION __device__
#define LF_KERNEL_LINKAGE extern "C" __global__
#define LF_LAUNCH_BOUNDS(threads) __launch_bounds__(threads)
// Turing has 64 KiB of shared memory: of the kernels that this is said of, it holds fewer blocks anyway.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define LF_LAUNCH_BOUNDS_HELD(threads, blocks) __launch_bounds__(threads, (blocks) < 3 ? 1 : 3)
#else
#define LF_LAUNCH_BOUNDS_HELD(threads, blocks) __launch_bounds__(threads, blocks)
#endif

namespace lf_gpu {

constexpr int kWarp = 32;

LF_ON_DEVICE int thread_id() { return int(threadIdx.x); }
LF_ON_DEVICE int block_threads() { return int(blockDim.x); }
LF_ON_DEVICE int lane_id() { return int(threadIdx.x) & 31; }
LF_ON_DEVICE uint32_t block_x() { return blockIdx.x; }
LF_ON_DEVICE uint32_t block_y() { return blockIdx.y; }
LF_ON_DEVICE uint32_t block_z() { return blockIdx.z; }
LF_ON_DEVICE uint32_t grid_x() { return gridDim.x; }

LF_ON_DEVICE void sync_block() { __syncthreads(); }
LF_ON_DEVICE void sync_warp() { __syncwarp(); }

template <typename T>
LF_ON_DEVICE T shuffle(T v, int lane) {
  return __shfl_sync(0xffffffffu, v, lane);
}
template <typename T>
LF_ON_DEVICE T shuffle_xor(T v, int mask) {
  return __shfl_xor_sync(0xffffffffu, v, mask);
}

template <typename T>
LF_ON_DEVICE T load(const T* p) {
  return *p;
}
template <typename T>
LF_ON_DEVICE void store(T* p, T v) {
  *p = v;
}
LF_ON_DEVICE uint32_t atomic_claim(uint32_t* p, uint32_t v) { return atomicCAS(p, 0u, v); }
LF_ON_DEVICE void atomic_add(uint32_t* p, uint32_t v) { atomicAdd(p, v); }

extern __shared__ __align__(16) uint8_t lf_shared_memory[];

// An array in the launch's dynamic shared memory, `offset` bytes from its start.
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

// Copies 16 bytes from global to shared memory without passing through registers; zeros when `valid` is false.
template <typename T>
LF_ON_DEVICE void copy_async16(Shared<T> to, const void* from, bool valid) {
#if __CUDA_ARCH__ >= 800
  const uint32_t target = uint32_t(__cvta_generic_to_shared(to.data));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(from), "r"(valid ? 16 : 0) : "memory");
#else
  uint4 words = {0, 0, 0, 0};
  if (valid) words = *static_cast<const uint4*>(from);
  *reinterpret_cast<uint4*>(to.data) = words;
#endif
}
LF_ON_DEVICE void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits until at most `kLeft` of this thread's groups are under way.
template <int kLeft>
LF_ON_DEVICE void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#endif
}

LF_ON_DEVICE float half_bits_to_float(uint16_t bits) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(bits));
  return f;
}
LF_ON_DEVICE uint16_t float_to_half_bits(float v) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(v));
  return bits;
}

LF_ON_DEVICE float exp_of(float x) { return expf(x); }
LF_ON_DEVICE float log_of(float x) { return logf(x); }
LF_ON_DEVICE float tanh_of(float x) { return tanhf(x); }
LF_ON_DEVICE float erf_of(float x) { return erff(x); }
LF_ON_DEVICE float erfc_of(float x) { return erfcf(x); }
LF_ON_DEVICE float sqrt_of(float x) { return sqrtf(x); }
LF_ON_DEVICE float sin_of(float x) { return sinf(x); }
LF_ON_DEVICE float cos_of(float x) { return cosf(x); }
LF_ON_DEVICE float round_of(float x) { return rintf(x); }
LF_ON_DEVICE float round_away_of(float x) { return roundf(x); }
LF_ON_DEVICE float floor_of(float x) { return floorf(x); }
LF_ON_DEVICE float abs_of(float x) { return fabsf(x); }
LF_ON_DEVICE double sin_of(double x) { return sin(x); }
LF_ON_DEVICE double cos_of(double x) { return cos(x); }

// ---- the matrix unit ----

#if __CUDA_ARCH__ >= 750
// Four 8x8 matrices of 16-bit numbers; lane i gives the address of row i % 8 of matrix i / 8.
LF_ON_DEVICE void load_matrices(uint32_t (&r)[4], const void* shared_row) {
  const uint32_t address = uint32_t(__cvta_generic_to_shared(shared_row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}
LF_ON_DEVICE void load_matrices_transposed(uint32_t (&r)[4], const void* shared_row) {
  const uint32_t address = uint32_t(__cvta_generic_to_shared(shared_row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}
// c[16 x 8] += a[16 x 16] b[16 x 8], f16.
LF_ON_DEVICE void mma_16x8x16_f16(float* c, const uint32_t* a, const uint32_t* b) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  // Turing has half the depth: two steps.
  for (int i = 0; i < 2; i++) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[2 * i]), "r"(a[2 * i + 1]), "r"(b[i]));
  }
#endif
}
#endif
#if __CUDA_ARCH__ >= 800
LF_ON_DEVICE void mma_16x8x16_bf16(float* c, const uint32_t* a, const uint32_t* b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif
#if __CUDA_ARCH__ >= 800
// a b + c of two bf16 in a word, each rounded once.
#define LF_BF16_PAIRS 1
LF_ON_DEVICE uint32_t multiply_add_bf16x2(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t r;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
  return r;
}
#endif
// (word & mask) | bits, by one LOP3.
LF_ON_DEVICE uint32_t and_or(uint32_t word, uint32_t mask, uint32_t bits) {
  uint32_t r;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(r) : "r"(word), "r"(mask), "r"(bits));
  return r;
}
// What the matrix unit takes.
#if __CUDA_ARCH__ >= 800
#define LF_MMA_PTX_BF16 1
#define LF_MMA_PTX_F16 1
#elif __CUDA_ARCH__ >= 750
#define LF_MMA_PTX_F16 1
#endif

}  // namespace lf_gpu
