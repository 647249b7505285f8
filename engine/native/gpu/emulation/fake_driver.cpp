#include "fake_driver.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "registry.h"
#include "simt.h"
#include "traffic.h"

namespace fake {
namespace {

using Work = std::function<Result()>;

struct Driver {
  std::recursive_mutex mutex;
  std::set<Stream*> streams;
  std::map<std::string, std::unique_ptr<Function>> functions;
  std::set<void*> host_blocks;
  struct Block {
    int device;
    uint64_t bytes;
  };
  std::map<void*, Block> blocks;
  std::string failure;
  uint64_t graph_launches = 0, host_works = 0;
  double clock = 0.0;  // milliseconds: launches take time by the memory that they touch
  Result broken = kOk;  // a device that failed stays so
};

Driver& driver() {
  static Driver* const it = new Driver;
  return *it;
}

#define LF_LOCKED std::lock_guard<std::recursive_mutex> lock(driver().mutex)

Result refuse(Result result, const std::string& why) {
  driver().failure = why;
  return result;
}

thread_local int t_device = 0;

uint64_t used_on(int device) {
  uint64_t sum = 0;
  for (const auto& [pointer, block] : driver().blocks) sum += block.device == device ? block.bytes : 0;
  return sum;
}

uint64_t setting(const char* name, uint64_t otherwise) {
  const char* value = getenv(name);
  return value && *value ? strtoull(value, nullptr, 10) : otherwise;
}

}  // namespace

struct Graph {
  std::vector<Work> work;
  std::vector<const void*> nodes;  // what each does: a kernel, or the kind of a copy
};
struct Stream {
  int device = t_device;
  std::deque<Work> work;
  std::unique_ptr<Graph> recording;
};
struct Event {
  double time = 0.0;  // of the device's clock, when it was reached
  Stream* stream = nullptr;
  bool reached = true;
};
struct Function {
  const simt::Registration* kernel = nullptr;
  uint32_t shared_limit = 48 << 10;
};

int target() { return static_cast<int>(setting("LF_EMULATED_TARGET", 80)); }
uint64_t memory_total() { return setting("LF_EMULATED_MEMORY", uint64_t{8} << 30); }
uint32_t shared_limit() { return target() == 80 ? 163 << 10 : 64 << 10; }
uint32_t warp_lanes() { return target() == 90 ? 64 : 32; }
int devices() { return static_cast<int>(setting("LF_EMULATED_DEVICES", 1)); }
const char* last_failure() { return driver().failure.c_str(); }
void make_current(int device) { t_device = device; }

namespace {

// Runs the oldest work of a stream. False when that waits for another stream's, and stays.
bool step(Stream* stream) {
  Driver& d = driver();
  Work work = std::move(stream->work.front());
  stream->work.pop_front();
  if (d.broken != kOk) return true;
  const Result result = work();
  if (result == kNotYet) {
    stream->work.push_front(std::move(work));
    return false;
  }
  if (result != kOk) d.broken = result;
  return true;
}
// What a stream waits for: work of the others, or that somebody hands them some. The lock is held once here, and given up
// meanwhile.
void wait_for_others(Stream* stream) {
  Driver& d = driver();
  bool went_on = false;
  const std::set<Stream*> all = d.streams;
  for (Stream* other : all) went_on |= other != stream && d.streams.count(other) && !other->work.empty() && step(other);
  if (went_on) return;
  d.mutex.unlock();
  std::this_thread::sleep_for(std::chrono::microseconds(50));
  d.mutex.lock();
}
void drain(Stream* stream) {
  while (driver().streams.count(stream) && !stream->work.empty()) {
    if (!step(stream)) wait_for_others(stream);
  }
}
void run_until(const bool& reached, Stream* stream) {
  while (!reached && driver().streams.count(stream) && !stream->work.empty()) {
    if (!step(stream)) wait_for_others(stream);
  }
}
// As the real driver's waits: for the calling thread's device alone.
void drain_device() {
  const std::set<Stream*> all = driver().streams;
  for (Stream* stream : all) {
    if (driver().streams.count(stream) && stream->device == t_device) drain(stream);
  }
}

Result enqueue(Stream* stream, Work work, const void* node) {
  if (!driver().streams.count(stream)) return refuse(kInvalidValue, "a stream that does not exist");
  if (stream->recording) {
    stream->recording->work.push_back(std::move(work));
    stream->recording->nodes.push_back(node);
  } else {
    stream->work.push_back(std::move(work));
  }
  return driver().broken;
}

// What a recording cannot hold.
Result refuse_while_recording(Stream* stream) {
  if (!driver().streams.count(stream)) return refuse(kInvalidValue, "a stream that does not exist");
  return stream->recording ? refuse(kCaptureUnsupported, "the stream is being recorded: nobody can wait for it") : kOk;
}

}  // namespace

Result memory_info(size_t* free, size_t* total) {
  LF_LOCKED;
  *total = memory_total();
  *free = *total - std::min<uint64_t>(*total, used_on(t_device));
  return kOk;
}

Result allocate(void** pointer, size_t bytes) {
  LF_LOCKED;
  if (bytes == 0 || bytes > memory_total() - std::min<uint64_t>(memory_total(), used_on(t_device))) {
    return refuse(bytes ? kOutOfMemory : kInvalidValue, "out of memory");
  }
  *pointer = simt::allocate(bytes);
  if (!*pointer) return refuse(kOutOfMemory, "out of memory");
  driver().blocks[*pointer] = {t_device, bytes};
  return kOk;
}

// As the real one, it waits for the device first.
Result release(void* pointer) {
  LF_LOCKED;
  const auto block = driver().blocks.find(pointer);
  if (block == driver().blocks.end()) return refuse(kInvalidValue, "memory that is freed is not allocated");
  if (block->second.device != t_device) return refuse(kInvalidValue, "memory that is freed is another device's");
  drain_device();
  driver().blocks.erase(pointer);
  return simt::release(pointer) ? kOk : refuse(kInvalidValue, "memory that is freed is not allocated");
}

Result host_allocate(void** pointer, size_t bytes) {
  LF_LOCKED;
  *pointer = malloc(bytes);
  if (!*pointer) return refuse(kOutOfMemory, "the host is out of memory");
  driver().host_blocks.insert(*pointer);
  return kOk;
}
Result host_release(void* pointer) {
  LF_LOCKED;
  drain_device();
  if (!driver().host_blocks.erase(pointer)) return refuse(kInvalidValue, "pinned memory that is freed is not allocated");
  free(pointer);
  return kOk;
}

Result stream_create(Stream** out) {
  LF_LOCKED;
  *out = new Stream;
  driver().streams.insert(*out);
  return kOk;
}
Result stream_destroy(Stream* stream) {
  LF_LOCKED;
  if (!driver().streams.count(stream)) return refuse(kInvalidValue, "a stream that does not exist");
  drain(stream);
  driver().streams.erase(stream);
  delete stream;
  return kOk;
}
Result stream_synchronize(Stream* stream) {
  LF_LOCKED;
  if (Result wrong = refuse_while_recording(stream)) return wrong;
  drain(stream);
  return driver().broken;
}

Result capture_begin(Stream* stream) {
  LF_LOCKED;
  if (Result wrong = refuse_while_recording(stream)) return wrong;
  stream->recording = std::make_unique<Graph>();
  return kOk;
}
Result capture_end(Stream* stream, Graph** out) {
  LF_LOCKED;
  if (!driver().streams.count(stream) || !stream->recording) return refuse(kInvalidValue, "a stream that is not being recorded");
  *out = stream->recording.release();
  return kOk;
}
Result graph_instantiate(Graph** exec, const Graph* graph) {
  *exec = new Graph(*graph);
  return kOk;
}
Result graph_update(Graph* exec, const Graph* graph) {
  LF_LOCKED;
  if (exec->nodes != graph->nodes) return refuse(kUpdateFailed, "the graph is of other kernels");
  exec->work = graph->work;
  return kOk;
}
Result graph_launch(Graph* exec, Stream* stream) {
  LF_LOCKED;
  driver().graph_launches++;
  for (const Work& work : exec->work) {
    if (Result wrong = enqueue(stream, work, nullptr)) return wrong;
  }
  return driver().broken;
}
Result graph_release(Graph* graph) {
  delete graph;
  return kOk;
}
uint64_t graph_launches() {
  LF_LOCKED;
  return driver().graph_launches;
}

Result event_create(Event** out) {
  *out = new Event;
  return kOk;
}
Result event_destroy(Event* event) {
  LF_LOCKED;
  if (event->stream && driver().streams.count(event->stream)) run_until(event->reached, event->stream);
  delete event;
  return kOk;
}
Result event_record(Event* event, Stream* stream) {
  LF_LOCKED;
  if (Result wrong = refuse_while_recording(stream)) return wrong;
  event->stream = stream;
  event->reached = false;
  Stream* s = stream;
  // Reached even when the device is broken: nobody waits for ever.
  s->work.push_back([event] {
    event->reached = true;
    event->time = driver().clock;
    return kOk;
  });
  if (driver().broken != kOk) drain(s), event->reached = true;
  return driver().broken;
}
Result event_synchronize(Event* event) {
  LF_LOCKED;
  if (event->stream && driver().streams.count(event->stream)) run_until(event->reached, event->stream);
  return driver().broken;
}
Result stream_wait(Stream* stream, Event* event) {
  LF_LOCKED;
  Stream* recorded = event->stream;
  return enqueue(stream, [event, recorded]() -> Result {
    if (recorded && driver().streams.count(recorded)) run_until(event->reached, recorded);
    return kOk;
  }, "wait");
}
Result event_elapsed(float* milliseconds, Event* start, Event* stop) {
  *milliseconds = static_cast<float>(stop->time - start->time);
  return kOk;
}

bool live(const void* pointer, uint64_t bytes) { return simt::live(pointer, bytes); }
Result host_work(Stream* stream, double milliseconds, std::function<Result()> work) {
  LF_LOCKED;
  driver().host_works++;
  return enqueue(stream, [=] {
    driver().clock += milliseconds;
    return work();
  }, "work of a library");
}
uint64_t host_works() {
  LF_LOCKED;
  return driver().host_works;
}

namespace {

Result check_device(const void* pointer, size_t bytes, const char* what) {
  if (bytes == 0 || simt::live(pointer, bytes)) return kOk;
  char text[160];
  snprintf(text, sizeof text, "%s: %zu bytes at %p are not live device memory (never allocated, or freed)", what, bytes, pointer);
  return refuse(kInvalidValue, text);
}

}  // namespace

Result copy_to_device(void* to, const void* from, size_t bytes, Stream* stream) {
  LF_LOCKED;
  if (Result wrong = check_device(to, bytes, "copy to the device")) return wrong;
  return enqueue(stream, [=] {
    if (Result wrong = check_device(to, bytes, "copy to the device")) return wrong;
    memcpy(to, from, bytes);
    return kOk;
  }, "copy to the device");
}
Result copy_to_host(void* to, const void* from, size_t bytes, Stream* stream) {
  LF_LOCKED;
  if (Result wrong = check_device(from, bytes, "copy to the host")) return wrong;
  return enqueue(stream, [=] {
    if (Result wrong = check_device(from, bytes, "copy to the host")) return wrong;
    memcpy(to, from, bytes);
    return kOk;
  }, "copy to the host");
}
Result copy_on_device(void* to, const void* from, size_t bytes, Stream* stream) {
  LF_LOCKED;
  if (Result wrong = check_device(to, bytes, "copy on the device")) return wrong;
  return enqueue(stream, [=] {
    if (Result wrong = check_device(from, bytes, "copy on the device")) return wrong;
    memmove(to, from, bytes);
    return kOk;
  }, "copy on the device");
}
Result set_bytes(void* to, int value, size_t bytes, Stream* stream) {
  LF_LOCKED;
  if (Result wrong = check_device(to, bytes, "memset")) return wrong;
  return enqueue(stream, [=] {
    if (Result wrong = check_device(to, bytes, "memset")) return wrong;
    memset(to, value, bytes);
    return kOk;
  }, "memset");
}

Result check_image(const void* image) {
  return memcmp(image, "LFEMU", 5) == 0 ? kOk : refuse(static_cast<Result>(200), "the image holds no kernel for the emulator");
}

Result find_function(Function** out, const char* name) {
  LF_LOCKED;
  auto& known = driver().functions[name];
  if (!known) {
    const simt::Registration* kernel = simt::find_kernel(target(), name);
    if (!kernel) {
      driver().functions.erase(name);
      return refuse(kNotFound, std::string("there is no kernel ") + name);
    }
    known = std::make_unique<Function>();
    known->kernel = kernel;
  }
  *out = known.get();
  return kOk;
}

Result set_shared_limit(Function* function, int bytes) {
  LF_LOCKED;
  if (bytes < 0 || static_cast<uint32_t>(bytes) > shared_limit()) {
    return refuse(kInvalidValue, std::string(function->kernel->name) + ": " + std::to_string(bytes) +
                                     " bytes of shared memory; the device has " + std::to_string(shared_limit()) + " for a block");
  }
  function->shared_limit = static_cast<uint32_t>(bytes);
  return kOk;
}

Result launch(Function* function, uint32_t x, uint32_t y, uint32_t z, uint32_t threads, uint32_t threads_y, uint32_t threads_z,
              uint32_t shared_bytes, Stream* stream, void** parameters, void** extra) {
  LF_LOCKED;
  const simt::Registration& kernel = *function->kernel;
  auto wrong = [&](const std::string& why) { return refuse(kInvalidValue, std::string(kernel.name) + ": " + why); };
  // {BUFFER_POINTER = 1, pointer, BUFFER_SIZE = 2, &size, END = 0 (HIP: 3)}
  const void* buffer = nullptr;
  size_t bytes = 0;
  for (void** e = extra; e && (reinterpret_cast<uintptr_t>(*e) == 1 || reinterpret_cast<uintptr_t>(*e) == 2); e += 2) {
    if (reinterpret_cast<uintptr_t>(*e) == 1) buffer = e[1];
    else bytes = *static_cast<size_t*>(e[1]);
  }
  if (parameters || !buffer) return wrong("arguments are expected in one buffer");
  if (bytes != kernel.argument_bytes) {
    return wrong("the arguments have " + std::to_string(bytes) + " bytes; the kernel takes " + std::to_string(kernel.argument_bytes));
  }
  if (threads_y != 1 || threads_z != 1 || threads == 0 || threads % warp_lanes()) return wrong(std::to_string(threads) + " threads a block");
  if (threads > kernel.most_threads) {
    return wrong(std::to_string(threads) + " threads a block; the kernel was compiled for at most " + std::to_string(kernel.most_threads));
  }
  if (shared_bytes > function->shared_limit) {
    return wrong(std::to_string(shared_bytes) + " bytes of shared memory; " + std::to_string(function->shared_limit) + " are allowed");
  }
  if (x == 0 || y == 0 || z == 0 || x > 0x7fffffffu || y > 65535 || z > 65535) return wrong("a grid that no device has");
  std::vector<uint64_t> arguments((bytes + 7) / 8);
  memcpy(arguments.data(), buffer, bytes);
  return enqueue(stream, [=]() -> Result {
    simt::Launch launch;
    launch.kernel = function->kernel->name;
    launch.body = function->kernel->body;
    launch.arguments = arguments.data();
    launch.grid = {x, y, z};
    launch.threads = threads;
    launch.warp = warp_lanes();
    launch.shared_bytes = shared_bytes;
    simt::Traffic traffic;
    std::string failure;
    const bool good = simt::run(launch, &traffic, &failure);
    record_traffic(launch.kernel, traffic);
    driver().clock += static_cast<double>(traffic.sectors) * 1e-6;
    if (good) return kOk;
    if (getenv("LF_EMULATED_VERBOSE")) fprintf(stderr, "%s\n", failure.c_str());
    return refuse(kLaunchFailed, failure);
  }, function);
}

}  // namespace fake
