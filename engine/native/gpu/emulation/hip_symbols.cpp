// The part of the HIP API that the runtime uses, on the fake driver. Signatures and numbers as in hip_runtime_api.h.
#include <cstring>

#include "fake_driver.h"

#define LF_SYMBOL extern "C" __attribute__((visibility("default")))

namespace {
int result(fake::Result r) { return r; }
fake::Stream* stream_of(void* s) { return static_cast<fake::Stream*>(s); }
fake::Event* event_of(void* e) { return static_cast<fake::Event*>(e); }
}  // namespace

LF_SYMBOL int hipInit(unsigned) { return fake::devices() ? 0 : 100; }
LF_SYMBOL int hipDriverGetVersion(int* version) {
  *version = 50422804;
  return 0;
}
LF_SYMBOL int hipGetDeviceCount(int* count) {
  *count = fake::devices();
  return 0;
}
LF_SYMBOL int hipSetDevice(int device) {
  fake::make_current(device);
  return 0;
}
LF_SYMBOL int hipDeviceGetName(char* name, int size, int) {
  strncpy(name, "Emulated GPU", static_cast<size_t>(size));
  return 0;
}
LF_SYMBOL int hipDeviceTotalMem(size_t* bytes, int) {
  *bytes = fake::memory_total();
  return 0;
}
LF_SYMBOL int hipDeviceComputeCapability(int* major, int* minor, int) {
  *major = fake::target() == 90 ? 9 : 10;
  *minor = fake::target() == 90 ? 0 : 3;
  return 0;
}
LF_SYMBOL int hipDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case 63: *value = 4; return 0;                                       // multiprocessors
    case 74: *value = static_cast<int>(fake::shared_limit()); return 0;  // shared memory of a block
    case 87: *value = static_cast<int>(fake::warp_lanes()); return 0;
    default: return 1;
  }
}
LF_SYMBOL int hipMemGetInfo(size_t* free, size_t* total) { return result(fake::memory_info(free, total)); }
LF_SYMBOL int hipMalloc(void** pointer, size_t bytes) { return result(fake::allocate(pointer, bytes)); }
LF_SYMBOL int hipFree(void* pointer) { return result(fake::release(pointer)); }
LF_SYMBOL int hipHostMalloc(void** pointer, size_t bytes, unsigned) { return result(fake::host_allocate(pointer, bytes)); }
LF_SYMBOL int hipHostFree(void* pointer) { return result(fake::host_release(pointer)); }
LF_SYMBOL int hipMemcpyHtoDAsync(void* to, void* from, size_t bytes, void* stream) {
  return result(fake::copy_to_device(to, from, bytes, stream_of(stream)));
}
LF_SYMBOL int hipMemcpyDtoHAsync(void* to, void* from, size_t bytes, void* stream) {
  return result(fake::copy_to_host(to, from, bytes, stream_of(stream)));
}
LF_SYMBOL int hipMemcpyDtoDAsync(void* to, void* from, size_t bytes, void* stream) {
  return result(fake::copy_on_device(to, from, bytes, stream_of(stream)));
}
LF_SYMBOL int hipMemsetD8Async(void* to, unsigned char value, size_t bytes, void* stream) {
  return result(fake::set_bytes(to, value, bytes, stream_of(stream)));
}
LF_SYMBOL int hipStreamCreateWithFlags(void** stream, unsigned) { return result(fake::stream_create(reinterpret_cast<fake::Stream**>(stream))); }
LF_SYMBOL int hipStreamDestroy(void* stream) { return result(fake::stream_destroy(stream_of(stream))); }
LF_SYMBOL int hipStreamSynchronize(void* stream) { return result(fake::stream_synchronize(stream_of(stream))); }
LF_SYMBOL int hipStreamWaitEvent(void* stream, void* event, unsigned) { return result(fake::stream_wait(stream_of(stream), event_of(event))); }
LF_SYMBOL int hipEventCreateWithFlags(void** event, unsigned) { return result(fake::event_create(reinterpret_cast<fake::Event**>(event))); }
LF_SYMBOL int hipEventDestroy(void* event) { return result(fake::event_destroy(event_of(event))); }
LF_SYMBOL int hipEventRecord(void* event, void* stream) { return result(fake::event_record(event_of(event), stream_of(stream))); }
LF_SYMBOL int hipEventSynchronize(void* event) { return result(fake::event_synchronize(event_of(event))); }
LF_SYMBOL int hipEventElapsedTime(float* ms, void* a, void* b) { return result(fake::event_elapsed(ms, event_of(a), event_of(b))); }
LF_SYMBOL int hipModuleLoadData(void** module, const void* image) {
  *module = reinterpret_cast<void*>(1);
  return result(fake::check_image(image));
}
LF_SYMBOL int hipModuleUnload(void*) { return 0; }
LF_SYMBOL int hipModuleGetFunction(void** function, void*, const char* name) {
  return result(fake::find_function(reinterpret_cast<fake::Function**>(function), name));
}
LF_SYMBOL int hipFuncSetAttribute(const void*, int, int) { return 0; }
LF_SYMBOL int hipModuleLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz,
                                    unsigned shared_bytes, void* stream, void** parameters, void** extra) {
  // HIP has no opt-in to more shared memory: the device's limit holds.
  auto* f = static_cast<fake::Function*>(function);
  fake::set_shared_limit(f, static_cast<int>(fake::shared_limit()));
  return result(fake::launch(f, x, y, z, tx, ty, tz, shared_bytes, stream_of(stream), parameters, extra));
}
LF_SYMBOL int hipStreamBeginCapture(void* stream, int) { return result(fake::capture_begin(stream_of(stream))); }
LF_SYMBOL int hipStreamEndCapture(void* stream, void** graph) {
  return result(fake::capture_end(stream_of(stream), reinterpret_cast<fake::Graph**>(graph)));
}
LF_SYMBOL int hipGraphInstantiate(void** exec, void* graph, void**, char*, size_t) {
  return result(fake::graph_instantiate(reinterpret_cast<fake::Graph**>(exec), static_cast<fake::Graph*>(graph)));
}
LF_SYMBOL int hipGraphExecUpdate(void* exec, void* graph, void**, int*) {
  return result(fake::graph_update(static_cast<fake::Graph*>(exec), static_cast<fake::Graph*>(graph)));
}
LF_SYMBOL int hipGraphLaunch(void* exec, void* stream) { return result(fake::graph_launch(static_cast<fake::Graph*>(exec), stream_of(stream))); }
LF_SYMBOL int hipGraphDestroy(void* graph) { return result(fake::graph_release(static_cast<fake::Graph*>(graph))); }
LF_SYMBOL int hipGraphExecDestroy(void* exec) { return result(fake::graph_release(static_cast<fake::Graph*>(exec))); }
LF_SYMBOL const char* hipGetErrorString(int) { return fake::last_failure(); }
