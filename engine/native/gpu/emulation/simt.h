// Runs kernels on the host, thread for thread: each thread of a block is a fiber, and warps and blocks meet at rendezvous.
//
// What a GPU leaves undefined is an error here, reported with the kernel, block, thread and place: two threads that use
// memory without a barrier between them (shared memory, and global memory across blocks too), a barrier or warp operation
// that not all threads reach, an access outside of live memory or misaligned. Shared memory starts poisoned, and the order
// of blocks, warps and lanes is drawn at random. Global and shared bytes are counted.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace simt {

struct Dim {
  uint32_t x = 1, y = 1, z = 1;
};

// Takes the packed arguments of a kernel.
using Body = void (*)(const void* arguments);

struct Launch {
  const char* kernel = "";
  Body body = nullptr;
  const void* arguments = nullptr;
  Dim grid;
  uint32_t threads = 1;       // of a block, a multiple of the warp
  uint32_t warp = 32;
  uint32_t shared_bytes = 0;  // of dynamic shared memory
};

// What a launch moved.
struct Traffic {
  uint64_t global_read = 0, global_written = 0, shared = 0;
  // Sectors of 32 bytes that a block touches, each counted once for the block: what passes between a multiprocessor, whose
  // cache holds what its block comes back to, and the memory beyond.
  uint64_t sectors = 0;
};
constexpr uint64_t kSectorBytes = 32;

// Runs a launch to its end. False when the kernel broke a rule; `failure` then says which.
bool run(const Launch& launch, Traffic* traffic, std::string* failure);
// Seeds the order in which threads run.
void seed(uint64_t value);

// ---- global memory of the emulated device ----

// One address range for all allocations, with a guard around each. Null when `bytes` are not to be had.
uint8_t* allocate(uint64_t bytes);
// False when the pointer is not the start of a live allocation.
bool release(void* pointer);
// Whether [pointer, pointer + bytes) lies within one live allocation.
bool live(const void* pointer, uint64_t bytes);
uint64_t allocated();

// ---- called by kernels ----

struct Place {
  const char* file;
  int line;
};

uint32_t thread_index();
Dim block_index();
Dim grid_size();
uint32_t block_threads();
uint32_t lane_index();

void global_read(const void* pointer, size_t bytes, Place place);
void global_write(const void* pointer, size_t bytes, Place place);
// Offsets into dynamic shared memory.
uint8_t* shared_memory();
void shared_read(const void* pointer, size_t bytes, Place place);
void shared_write(const void* pointer, size_t bytes, Place place);
void block_barrier(Place place);
// Meets all lanes of the warp; `operation` runs once over what each lane brought, in the order of lanes.
using WarpOperation = void (*)(void* const* lanes, uint32_t count);
void warp_meet(WarpOperation operation, void* mine, Place place);
// An atomic operation: exempt from the race check, not from the others.
void global_atomic(const void* pointer, size_t bytes, Place place);
// Ends the launch with a message.
[[noreturn]] void fail(Place place, const char* format, ...) __attribute__((format(printf, 2, 3)));

}  // namespace simt
