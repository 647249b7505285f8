// Kernels with a bug each, which the emulator must catch, beside their right versions, which it must let pass; and calls
// that the fake driver must refuse. Prints what was not as it must be; exits with 1 then.
#include <cstdio>
#include <cstring>
#include <string>

#include "../../kernels/access.h"
#include "../../device/mma.h"

extern "C" {
int cuInit(unsigned);
int cuMemAlloc_v2(unsigned long long*, size_t);
int cuMemFree_v2(unsigned long long);
int cuMemHostAlloc(void**, size_t, unsigned);
int cuMemcpyHtoDAsync_v2(unsigned long long, const void*, size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, unsigned long long, size_t, void*);
int cuStreamCreate(void**, unsigned);
int cuStreamSynchronize(void*);
int cuModuleGetFunction(void**, void*, const char*);
int cuFuncSetAttribute(void*, int, int);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
int cuGetErrorString(int, const char**);
}

namespace lf_gpu {

struct BugArgs {
  Head head;
  float* data;
  uint32_t right;  // the version without the bug
};

// A value is read from shared memory that another warp writes.
LF_KERNEL(missing_barrier, BugArgs, 128) {
  const Shared<float> tile = shared_at<float>(0);
  tile[thread_id()] = float(thread_id());
  if (a.right) sync_block();
  store(a.data + thread_id(), float(tile[(thread_id() + 37) % block_threads()]));
}
// The same within a warp, which does not run in step.
LF_KERNEL(missing_warp_barrier, BugArgs, 128) {
  const Shared<float> tile = shared_at<float>(0);
  tile[thread_id()] = float(thread_id());
  if (a.right) sync_warp();
  store(a.data + thread_id(), float(tile[thread_id() ^ 1]));
}
// A tile is written again before all have read it.
LF_KERNEL(early_overwrite, BugArgs, 128) {
  const Shared<float> tile = shared_at<float>(0);
  float sum = 0.0f;
  for (int i = 0; i < 3; i++) {
    tile[thread_id()] = float(i);
    sync_block();
    sum += tile[(thread_id() + 64) % block_threads()];
    if (a.right) sync_block();
  }
  store(a.data + thread_id(), sum);
}
// A barrier that some threads don't reach.
LF_KERNEL(divergent_barrier, BugArgs, 128) {
  if (a.right || thread_id() < 64) sync_block();
  store(a.data + thread_id(), 1.0f);
}
// A thread has returned when the others wait.
LF_KERNEL(early_return, BugArgs, 128) {
  if (!a.right && thread_id() == 5) return;
  sync_block();
  store(a.data + thread_id(), 1.0f);
}
// A shuffle that some lanes don't take part in.
LF_KERNEL(divergent_shuffle, BugArgs, 128) {
  float v = float(lane_id());
  if (a.right || lane_id() < 7) v = shuffle_xor(v, 1);
  store(a.data + thread_id(), v);
}
// Two blocks write one element.
LF_KERNEL(blocks_collide, BugArgs, 128) {
  store(a.data + (a.right ? int(block_x()) * 128 : 0) + thread_id(), float(block_x()));
}
// One block reads what another writes.
LF_KERNEL(blocks_depend, BugArgs, 128) {
  const int mine = int(block_x()) * 128 + thread_id(), other = int(1 - block_x()) * 128 + thread_id();
  const float v = load(a.data + (a.right ? mine : other));
  store(a.data + mine, v + 1.0f);
}
LF_KERNEL(out_of_bounds, BugArgs, 128) { store(a.data + thread_id() + (a.right ? 0 : 256), 1.0f); }
LF_KERNEL(misaligned, BugArgs, 128) {
  if (thread_id() == 0) (void)load(reinterpret_cast<const Words4*>(a.data + (a.right ? 4 : 1)));
}
// More of the dynamic shared memory than the launch has.
LF_KERNEL(beyond_shared, BugArgs, 128) {
  const Shared<float> tile = shared_at<float>(0);
  tile[a.right ? thread_id() : thread_id() + 1] = 1.0f;
}
// What nobody wrote is no number.
LF_KERNEL(uninitialised_shared, BugArgs, 128) {
  const Shared<float> tile = shared_at<float>(0);
  if (a.right) tile[thread_id()] = 1.0f;
  store(a.data + thread_id(), float(tile[thread_id()]));
}

}  // namespace lf_gpu

namespace {

int failures = 0;

void expect(bool good, const std::string& what) {
  if (good) return;
  failures++;
  printf("%s\n", what.c_str());
}

struct Bug {
  const char* kernel;
  const char* caught;  // in the message
  uint32_t blocks;
};
const Bug kBugs[] = {
    {"missing_barrier", "race on shared memory", 1}, {"missing_warp_barrier", "race on shared memory", 1},
    {"early_overwrite", "race on shared memory", 1}, {"divergent_barrier", "divergence", 1},
    {"early_return", "divergence", 1},               {"divergent_shuffle", "divergence", 1},
    {"blocks_collide", "race on global memory", 2},  {"blocks_depend", "race on global memory", 2},
    {"out_of_bounds", "outside of live global memory", 1}, {"misaligned", "misaligned", 1},
    {"beyond_shared", "of shared memory", 1},
};

std::string launch(const char* kernel, uint32_t blocks, float* data, lf_gpu::Fault* fault, bool right) {
  const simt::Registration* found = simt::find_kernel(LF_EMULATED_TARGET, kernel);
  lf_gpu::BugArgs args{{fault, 1, 0}, data, right};
  simt::Launch l;
  l.kernel = kernel;
  l.body = found->body;
  l.arguments = &args;
  l.grid = {blocks, 1, 1};
  l.threads = 128;
  l.warp = lf_gpu::kWarp;
  l.shared_bytes = 512;
  std::string failure;
  simt::run(l, nullptr, &failure);
  return failure;
}

void seeded_bugs() {
  auto* data = reinterpret_cast<float*>(simt::allocate(256 * 4));
  auto* fault = reinterpret_cast<lf_gpu::Fault*>(simt::allocate(sizeof(lf_gpu::Fault)));
  memset(fault, 0, sizeof *fault);
  for (uint64_t seed = 1; seed <= 20; seed++) {
    simt::seed(seed);
    for (const Bug& bug : kBugs) {
      memset(data, 0, 1024);
      const std::string wrong = launch(bug.kernel, bug.blocks, data, fault, false);
      expect(wrong.find(bug.caught) != std::string::npos, std::string(bug.kernel) + ": not caught: \"" + wrong + "\"");
      const std::string right = launch(bug.kernel, bug.blocks, data, fault, true);
      expect(right.empty(), std::string(bug.kernel) + " without its bug: " + right);
    }
    expect(launch("uninitialised_shared", 1, data, fault, false).empty() && data[3] != data[3], "uninitialised shared memory is not poisoned");
    expect(launch("uninitialised_shared", 1, data, fault, true).empty() && data[3] == 1.0f, "initialised shared memory is wrong");
  }
  // What was freed is gone.
  simt::release(data);
  const std::string freed = launch("blocks_collide", 1, data, fault, true);
  expect(freed.find("outside of live global memory") != std::string::npos, "use after free is not caught: " + freed);
}

std::string last_error() {
  const char* text = nullptr;
  cuGetErrorString(0, &text);
  return text;
}

void refusals() {
  cuInit(0);
  unsigned long long memory = 0, fault = 0;
  void *stream = nullptr, *function = nullptr;
  expect(!cuStreamCreate(&stream, 0) && !cuMemAlloc_v2(&memory, 1024) && !cuMemAlloc_v2(&fault, sizeof(lf_gpu::Fault)), "the fake driver starts");
  expect(!cuModuleGetFunction(&function, nullptr, "blocks_collide"), "a kernel is found by its name");
  void* none = nullptr;
  expect(cuModuleGetFunction(&none, nullptr, "no_such_kernel") != 0, "a kernel that does not exist is found");
  const lf_gpu::BugArgs args{{reinterpret_cast<lf_gpu::Fault*>(fault), 1, 0}, reinterpret_cast<float*>(memory), 1};
  auto call = [&](size_t bytes, unsigned threads, unsigned shared) {
    void* extra[] = {reinterpret_cast<void*>(1), const_cast<lf_gpu::BugArgs*>(&args), reinterpret_cast<void*>(2), &bytes, nullptr};
    return cuLaunchKernel(function, 1, 1, 1, threads, 1, 1, shared, stream, nullptr, extra);
  };
  auto refused = [&](int result, const char* why) {
    expect(result != 0 && last_error().find(why) != std::string::npos, std::string("not refused: ") + why + ": \"" + last_error() + "\"");
  };
  refused(call(sizeof args - 8, 128, 0), "the kernel takes");
  refused(call(sizeof args + 8, 128, 0), "the kernel takes");
  refused(call(sizeof args, 128, 49 << 10), "bytes of shared memory");
  refused(cuFuncSetAttribute(function, 8, 512 << 10), "bytes of shared memory");
  refused(call(sizeof args, 256, 0), "at most 128");
  refused(call(sizeof args, 100, 0), "100 threads a block");
  float* host = nullptr;
  cuMemHostAlloc(reinterpret_cast<void**>(&host), 2048, 0);
  refused(cuMemcpyDtoHAsync_v2(host, memory, 2048, stream), "not live device memory");
  // A copy is made when somebody waits, not before: what was changed in between arrives.
  host[0] = 1.0f;
  cuMemcpyHtoDAsync_v2(memory, host, 4, stream);
  host[0] = 2.0f;
  cuMemcpyDtoHAsync_v2(host + 1, memory, 4, stream);
  cuStreamSynchronize(stream);
  expect(host[1] == 2.0f, "copies are made too early to show that pinned memory is reused too soon");
  cuMemFree_v2(memory);
  refused(cuMemcpyDtoHAsync_v2(host, memory, 4, stream), "not live device memory");
  refused(cuMemFree_v2(memory), "not allocated");
}

}  // namespace

int main() {
  seeded_bugs();
  refusals();
  printf(failures ? "%d FAILED\n" : "all caught\n", failures);
  return failures > 0;
}
