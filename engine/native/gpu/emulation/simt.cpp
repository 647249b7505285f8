#include "simt.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "fiber.h"
#include "memory.h"

namespace simt {
namespace {

constexpr uint32_t kMostThreads = 1024, kMostWarp = 64, kMostShared = 256 << 10;

enum class State : uint8_t { kReady, kAtWarp, kAtBlock, kDone };

struct Thread {
  Fiber fiber;
  State state = State::kReady;
  Place place{"", 0};
  WarpOperation operation = nullptr;
  void* brought = nullptr;
  uint16_t block_epoch = 0;
  uint32_t warp_epoch = 0;
};

// One block runs at a time, on one thread of the host.
struct Machine {
  std::mutex mutex;
  Launch launch;
  Dim block;
  uint32_t current = 0;  // thread that runs
  std::unique_ptr<Thread[]> threads{new Thread[kMostThreads]};
  std::vector<uint8_t> shared = std::vector<uint8_t>(kMostShared);
  std::vector<Cell> shared_shadow = std::vector<Cell>(kMostShared / kCellBytes);
  Traffic traffic;
  uint32_t run = 0, first_run = 0;  // of this launch
  std::string failure;
  uint64_t random = 0x9E3779B97F4A7C15u;
};

Machine& machine() {
  static Machine* const it = new Machine;
  return *it;
}

uint64_t draw() {
  uint64_t& x = machine().random;
  x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  return x;
}

void thread_main() {
  Machine& m = machine();
  m.launch.body(m.launch.arguments);
  m.threads[m.current].state = State::kDone;
  Fiber::swap(&m.threads[m.current].fiber, nullptr);
}

void wait(State state, Place place) {
  Machine& m = machine();
  Thread& t = m.threads[m.current];
  t.state = state;
  t.place = place;
  Fiber::swap(&t.fiber, nullptr);
}

__attribute__((format(printf, 1, 2))) bool report(const char* format, ...) {
  Machine& m = machine();
  char text[512], where[160];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  snprintf(where, sizeof where, "%s, block (%u, %u, %u): ", m.launch.kernel, m.block.x, m.block.y, m.block.z);
  if (m.failure.empty()) m.failure = std::string(where) + text;
  return false;
}

const char* base_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

// Lets every ready lane of a warp run, and releases the warp whenever all of it has met, until it can go no further.
bool run_warp(uint32_t first) {
  Machine& m = machine();
  const uint32_t warp = m.launch.warp;
  for (;;) {
    const uint32_t turn = static_cast<uint32_t>(draw() % warp), step = static_cast<uint32_t>(draw() % warp) | 1;
    bool ran = false;
    for (uint32_t i = 0; i < warp; i++) {
      const uint32_t index = first + (turn + i * step) % warp;
      Thread& t = m.threads[index];
      if (t.state != State::kReady) continue;
      m.current = index;
      ran = true;
      Fiber::swap(nullptr, &t.fiber);
      if (!m.failure.empty()) return false;
    }
    if (!ran) return true;
    uint32_t met = 0;
    for (uint32_t i = 0; i < warp; i++) met += m.threads[first + i].state == State::kAtWarp;
    if (met == 0) continue;
    const Thread& one = m.threads[first];
    void* brought[kMostWarp];
    for (uint32_t i = 0; i < warp; i++) {
      const Thread& t = m.threads[first + i];
      if (t.state != State::kAtWarp || t.operation != one.operation || t.place.line != one.place.line) {
        const Thread& other = t.state == State::kAtWarp ? one : t;
        const char* how = other.state == State::kDone ? "has returned" : other.state == State::kAtBlock ? "waits at a block's barrier" : "is elsewhere";
        return report("divergence: not all lanes of the warp of thread %u reach the warp operation at %s:%d (thread %u %s)", first,
                      base_name(t.state == State::kAtWarp ? t.place.file : one.place.file),
                      t.state == State::kAtWarp ? t.place.line : one.place.line, first + i, how);
      }
      brought[i] = t.brought;
    }
    if (one.operation) one.operation(brought, warp);
    for (uint32_t i = 0; i < warp; i++) {
      m.threads[first + i].state = State::kReady;
      m.threads[first + i].warp_epoch++;
    }
  }
}

bool run_block() {
  Machine& m = machine();
  const uint32_t count = m.launch.threads, warp = m.launch.warp, warps = count / warp;
  for (uint32_t i = 0; i < count; i++) {
    Thread& t = m.threads[i];
    t.state = State::kReady;
    t.block_epoch = 0;
    t.warp_epoch = 0;
    if (!t.fiber.arm(thread_main)) return report("the host has no memory for %u threads", count);
  }
  memset(m.shared.data(), 0xff, m.launch.shared_bytes);
  for (;;) {
    const uint32_t turn = static_cast<uint32_t>(draw() % warps);
    for (uint32_t i = 0; i < warps; i++) {
      if (!run_warp((turn + i) % warps * warp)) return false;
    }
    uint32_t done = 0;
    for (uint32_t i = 0; i < count; i++) done += m.threads[i].state == State::kDone;
    if (done == count) return true;
    const Thread* waiting = nullptr;
    for (uint32_t i = 0; i < count && !waiting; i++) waiting = m.threads[i].state == State::kAtBlock ? &m.threads[i] : nullptr;
    for (uint32_t i = 0; i < count; i++) {
      const Thread& t = m.threads[i];
      if (t.state == State::kAtBlock && t.place.line == waiting->place.line) continue;
      return report("divergence: not all threads reach the barrier at %s:%d (thread %u %s)", base_name(waiting->place.file),
                    waiting->place.line, i, t.state == State::kDone ? "has returned" : "waits at another one");
    }
    for (uint32_t i = 0; i < count; i++) {
      m.threads[i].state = State::kReady;
      m.threads[i].block_epoch++;
    }
  }
}

// Whether the running thread may follow `before` without a race.
bool ordered(const Access& before, bool across_blocks) {
  const Machine& m = machine();
  if (before.run < m.first_run || before.run == 0) return true;  // an earlier launch
  if (before.run != m.run) return !across_blocks;
  const Thread& t = m.threads[m.current];
  if (before.thread == m.current || before.block_epoch != t.block_epoch) return true;
  return before.thread / m.launch.warp == m.current / m.launch.warp && before.warp_epoch != t.warp_epoch;
}

Access access_now() {
  const Machine& m = machine();
  const Thread& t = m.threads[m.current];
  return {m.run, static_cast<uint16_t>(m.current), t.block_epoch, t.warp_epoch};
}

void check(Cell* cells, size_t count, bool write, bool global, Place place) {
  if (count == 0) return;
  const Access now = access_now();
  for (size_t i = 0; i < count; i++) {
    Cell& cell = cells[i];
    const bool after_write = ordered(cell.write, global), after_read = !write || ordered(cell.read, global);
    if (!after_write || !after_read) {
      const Access& other = after_write ? cell.read : cell.write;
      fail(place, "race on %s memory: thread %u %s what thread %u %s%s, with no barrier between", global ? "global" : "shared",
           now.thread, write ? "writes" : "reads", other.thread, after_write ? "read" : "wrote",
           other.run == now.run ? "" : " in another block");
    }
    (write ? cell.write : cell.read) = now;
  }
}

void check_alignment(const void* pointer, size_t bytes, Place place) {
  if (reinterpret_cast<uintptr_t>(pointer) % bytes) fail(place, "an access of %zu bytes is misaligned", bytes);
}

Cell* global_cells(const void* pointer, size_t bytes, Place place) {
  const Arena& a = arena();
  const uint64_t offset = static_cast<uint64_t>(static_cast<const uint8_t*>(pointer) - a.base);
  const uint64_t last = offset + bytes - 1;
  const bool inside = offset < a.bytes && last < a.bytes && a.live[offset / 16] > offset % 16 && a.live[last / 16] > last % 16;
  if (!inside) fail(place, "an access of %zu bytes outside of live global memory", bytes);
  return a.shadow + offset / kCellBytes;
}

Cell* shared_cells(const void* pointer, size_t bytes, Place place) {
  Machine& m = machine();
  const uint64_t offset = static_cast<uint64_t>(static_cast<const uint8_t*>(pointer) - m.shared.data());
  if (offset + bytes > m.launch.shared_bytes) {
    fail(place, "an access of %zu bytes at %llu of shared memory; the launch has %u", bytes, (unsigned long long)offset,
         m.launch.shared_bytes);
  }
  m.traffic.shared += bytes;
  return m.shared_shadow.data() + offset / kCellBytes;
}

// Single bytes share a cell with their neighbour: they are not checked for races.
size_t cells(size_t bytes) { return bytes / kCellBytes; }

void touch(const void* pointer, size_t bytes) {
  Machine& m = machine();
  const uint64_t offset = static_cast<uint64_t>(static_cast<const uint8_t*>(pointer) - arena().base);
  for (uint64_t sector = offset / kSectorBytes; sector <= (offset + bytes - 1) / kSectorBytes; sector++) {
    uint32_t& run = arena().sector_run[sector];
    m.traffic.sectors += run != m.run;
    run = m.run;
  }
}

}  // namespace

bool run(const Launch& launch, Traffic* traffic, std::string* failure) {
  Machine& m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  m.launch = launch;
  m.failure.clear();
  m.traffic = Traffic{};
  const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  if (launch.threads == 0 || launch.threads > kMostThreads || launch.threads % launch.warp || launch.warp > kMostWarp) {
    report("%u threads a block", launch.threads);
  } else if (launch.shared_bytes > kMostShared) {
    report("%u bytes of shared memory", launch.shared_bytes);
  }
  m.first_run = m.run + 1;
  const uint64_t start = blocks ? draw() % blocks : 0;
  for (uint64_t i = 0; i < blocks && m.failure.empty(); i++) {
    const uint64_t block = (start + i) % blocks;
    m.run++;
    m.block = {static_cast<uint32_t>(block % launch.grid.x), static_cast<uint32_t>(block / launch.grid.x % launch.grid.y),
               static_cast<uint32_t>(block / launch.grid.x / launch.grid.y)};
    run_block();
  }
  if (traffic) *traffic = m.traffic;
  *failure = m.failure;
  return m.failure.empty();
}

void seed(uint64_t value) { machine().random = value * 0x9E3779B97F4A7C15u + 1; }

uint32_t thread_index() { return machine().current; }
uint32_t lane_index() { return machine().current % machine().launch.warp; }
Dim block_index() { return machine().block; }
Dim grid_size() { return machine().launch.grid; }
uint32_t block_threads() { return machine().launch.threads; }

void global_read(const void* pointer, size_t bytes, Place place) {
  check_alignment(pointer, bytes, place);
  check(global_cells(pointer, bytes, place), cells(bytes), false, true, place);
  machine().traffic.global_read += bytes;
  touch(pointer, bytes);
}

void global_write(const void* pointer, size_t bytes, Place place) {
  check_alignment(pointer, bytes, place);
  check(global_cells(pointer, bytes, place), cells(bytes), true, true, place);
  machine().traffic.global_written += bytes;
  touch(pointer, bytes);
}

void global_atomic(const void* pointer, size_t bytes, Place place) {
  check_alignment(pointer, bytes, place);
  global_cells(pointer, bytes, place);
  machine().traffic.global_written += bytes;
}

uint8_t* shared_memory() { return machine().shared.data(); }

void shared_read(const void* pointer, size_t bytes, Place place) {
  check_alignment(pointer, bytes, place);
  check(shared_cells(pointer, bytes, place), cells(bytes), false, false, place);
}

void shared_write(const void* pointer, size_t bytes, Place place) {
  check_alignment(pointer, bytes, place);
  check(shared_cells(pointer, bytes, place), cells(bytes), true, false, place);
}

void block_barrier(Place place) { wait(State::kAtBlock, place); }

void warp_meet(WarpOperation operation, void* mine, Place place) {
  Thread& t = machine().threads[machine().current];
  t.operation = operation;
  t.brought = mine;
  wait(State::kAtWarp, place);
}

void fail(Place place, const char* format, ...) {
  Machine& m = machine();
  char text[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  report("thread %u at %s:%d: %s", m.current, base_name(place.file), place.line, text);
  Fiber::swap(&m.threads[m.current].fiber, nullptr);  // never resumed: the block is abandoned
  __builtin_unreachable();
}

}  // namespace simt
