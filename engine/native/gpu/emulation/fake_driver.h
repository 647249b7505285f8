// The driver of a device that is not there: memory of the host, and launches that run on the emulator. Work is done as late
// as possible (when somebody waits for it), so that a missing wait shows; streams take turns at random. What a real driver
// refuses, or what would crash a real device, is refused: arguments of another size than the kernel's, more shared memory
// or threads than the device has, use of memory that was freed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace fake {

// kNotYet: work that waits for another stream's; it stays where it is, and is tried again.
enum Result { kNotYet = -1, kOk = 0, kInvalidValue = 1, kOutOfMemory = 2, kNotFound = 500, kLaunchFailed = 719, kCaptureUnsupported = 900, kUpdateFailed = 910 };

struct Stream;
struct Event;
struct Function;
struct Graph;

// What LF_EMULATED_TARGET asks for: 80 like sm_80, 90 like gfx90a, 10 like gfx1030.
int target();
uint64_t memory_total();   // LF_EMULATED_MEMORY bytes, or 8 GiB
uint32_t shared_limit();   // of a block
uint32_t warp_lanes();
int devices();             // LF_EMULATED_DEVICES, or 1
// The calling thread's device: whose memory is allocated and freed, and whose streams are made.
void make_current(int device);
// Whether memory of the device is there.
bool live(const void* pointer, uint64_t bytes);
// Work of a library on the stream, which takes so many milliseconds of the device's time and is counted.
Result host_work(Stream* stream, double milliseconds, std::function<Result()> work);
uint64_t host_works();
// The text of the last failure.
const char* last_failure();

Result memory_info(size_t* free, size_t* total);
Result allocate(void** pointer, size_t bytes);
Result release(void* pointer);
Result host_allocate(void** pointer, size_t bytes);
Result host_release(void* pointer);

Result stream_create(Stream** out);
Result stream_destroy(Stream* stream);
Result stream_synchronize(Stream* stream);
Result stream_wait(Stream* stream, Event* event);
// What is enqueued in between becomes a graph; nothing may wait for the stream then.
Result capture_begin(Stream* stream);
Result capture_end(Stream* stream, Graph** out);
Result graph_instantiate(Graph** exec, const Graph* graph);
// Only for the same kernels in the same order.
Result graph_update(Graph* exec, const Graph* graph);
Result graph_launch(Graph* exec, Stream* stream);
Result graph_release(Graph* graph);
uint64_t graph_launches();

Result event_create(Event** out);
Result event_destroy(Event* event);
Result event_record(Event* event, Stream* stream);
Result event_synchronize(Event* event);
Result event_elapsed(float* milliseconds, Event* start, Event* stop);

Result copy_to_device(void* to, const void* from, size_t bytes, Stream* stream);
Result copy_to_host(void* to, const void* from, size_t bytes, Stream* stream);
Result copy_on_device(void* to, const void* from, size_t bytes, Stream* stream);
Result set_bytes(void* to, int value, size_t bytes, Stream* stream);

// An image of the emulator begins with "LFEMU".
Result check_image(const void* image);
Result find_function(Function** out, const char* name);
Result set_shared_limit(Function* function, int bytes);
Result launch(Function* function, uint32_t x, uint32_t y, uint32_t z, uint32_t threads, uint32_t threads_y, uint32_t threads_z,
              uint32_t shared_bytes, Stream* stream, void** parameters, void** extra);

}  // namespace fake
