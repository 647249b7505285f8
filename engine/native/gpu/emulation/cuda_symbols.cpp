// The part of the CUDA driver API that the runtime uses, on the fake driver. Signatures and numbers as in cuda.h.
#include <cstring>

#include "fake_driver.h"

#define LF_SYMBOL extern "C" __attribute__((visibility("default")))

namespace {
int result(fake::Result r) { return r; }
fake::Stream* stream_of(void* s) { return static_cast<fake::Stream*>(s); }
fake::Event* event_of(void* e) { return static_cast<fake::Event*>(e); }
void* pointer_of(unsigned long long address) { return reinterpret_cast<void*>(address); }
}  // namespace

LF_SYMBOL int cuInit(unsigned) { return fake::devices() ? 0 : 100; }
LF_SYMBOL int cuDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}
LF_SYMBOL int cuDeviceGetCount(int* count) {
  *count = fake::devices();
  return 0;
}
LF_SYMBOL int cuDeviceGet(int* device, int index) {
  *device = index;
  return index < fake::devices() ? 0 : 101;
}
LF_SYMBOL int cuDeviceGetName(char* name, int size, int) {
  strncpy(name, "Emulated GPU", static_cast<size_t>(size));
  return 0;
}
LF_SYMBOL int cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = fake::memory_total();
  return 0;
}
LF_SYMBOL int cuDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case 10: *value = static_cast<int>(fake::warp_lanes()); return 0;
    case 16: *value = 4; return 0;                                     // multiprocessors
    case 75: *value = fake::target() == 80 ? 8 : 7; return 0;          // compute capability
    case 76: *value = fake::target() == 80 ? 0 : 5; return 0;
    case 97: *value = static_cast<int>(fake::shared_limit()); return 0;  // shared memory of a block, opted in
    default: return 1;
  }
}
LF_SYMBOL int cuDevicePrimaryCtxRetain(void** context, int device) {
  *context = reinterpret_cast<void*>(static_cast<intptr_t>(device + 1));
  return 0;
}
LF_SYMBOL int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
LF_SYMBOL int cuCtxSetCurrent(void* context) {
  if (context) fake::make_current(static_cast<int>(reinterpret_cast<intptr_t>(context)) - 1);
  return 0;
}
LF_SYMBOL int cuMemGetInfo_v2(size_t* free, size_t* total) { return result(fake::memory_info(free, total)); }
LF_SYMBOL int cuMemAlloc_v2(unsigned long long* pointer, size_t bytes) {
  void* p = nullptr;
  const fake::Result r = fake::allocate(&p, bytes);
  *pointer = reinterpret_cast<unsigned long long>(p);
  return r;
}
LF_SYMBOL int cuMemFree_v2(unsigned long long pointer) { return result(fake::release(pointer_of(pointer))); }
LF_SYMBOL int cuMemHostAlloc(void** pointer, size_t bytes, unsigned) { return result(fake::host_allocate(pointer, bytes)); }
LF_SYMBOL int cuMemFreeHost(void* pointer) { return result(fake::host_release(pointer)); }
LF_SYMBOL int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t bytes, void* stream) {
  return result(fake::copy_to_device(pointer_of(to), from, bytes, stream_of(stream)));
}
LF_SYMBOL int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t bytes, void* stream) {
  return result(fake::copy_to_host(to, pointer_of(from), bytes, stream_of(stream)));
}
LF_SYMBOL int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t bytes, void* stream) {
  return result(fake::copy_on_device(pointer_of(to), pointer_of(from), bytes, stream_of(stream)));
}
LF_SYMBOL int cuMemsetD8Async(unsigned long long to, unsigned char value, size_t bytes, void* stream) {
  return result(fake::set_bytes(pointer_of(to), value, bytes, stream_of(stream)));
}
LF_SYMBOL int cuStreamCreate(void** stream, unsigned) { return result(fake::stream_create(reinterpret_cast<fake::Stream**>(stream))); }
LF_SYMBOL int cuStreamDestroy_v2(void* stream) { return result(fake::stream_destroy(stream_of(stream))); }
LF_SYMBOL int cuStreamSynchronize(void* stream) { return result(fake::stream_synchronize(stream_of(stream))); }
LF_SYMBOL int cuStreamWaitEvent(void* stream, void* event, unsigned) { return result(fake::stream_wait(stream_of(stream), event_of(event))); }
LF_SYMBOL int cuEventCreate(void** event, unsigned) { return result(fake::event_create(reinterpret_cast<fake::Event**>(event))); }
LF_SYMBOL int cuEventDestroy_v2(void* event) { return result(fake::event_destroy(event_of(event))); }
LF_SYMBOL int cuEventRecord(void* event, void* stream) { return result(fake::event_record(event_of(event), stream_of(stream))); }
LF_SYMBOL int cuEventSynchronize(void* event) { return result(fake::event_synchronize(event_of(event))); }
LF_SYMBOL int cuEventElapsedTime(float* ms, void* a, void* b) { return result(fake::event_elapsed(ms, event_of(a), event_of(b))); }
LF_SYMBOL int cuModuleLoadData(void** module, const void* image) {
  *module = reinterpret_cast<void*>(1);
  return result(fake::check_image(image));
}
LF_SYMBOL int cuModuleUnload(void*) { return 0; }
LF_SYMBOL int cuModuleGetFunction(void** function, void*, const char* name) {
  return result(fake::find_function(reinterpret_cast<fake::Function**>(function), name));
}
LF_SYMBOL int cuFuncSetAttribute(void* function, int attribute, int value) {
  return attribute == 8 ? result(fake::set_shared_limit(static_cast<fake::Function*>(function), value)) : 1;
}
LF_SYMBOL int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz,
                             unsigned shared_bytes, void* stream, void** parameters, void** extra) {
  return result(fake::launch(static_cast<fake::Function*>(function), x, y, z, tx, ty, tz, shared_bytes, stream_of(stream), parameters, extra));
}
LF_SYMBOL int cuStreamBeginCapture_v2(void* stream, int) { return result(fake::capture_begin(stream_of(stream))); }
LF_SYMBOL int cuStreamEndCapture(void* stream, void** graph) {
  return result(fake::capture_end(stream_of(stream), reinterpret_cast<fake::Graph**>(graph)));
}
LF_SYMBOL int cuGraphInstantiateWithFlags(void** exec, void* graph, unsigned long long) {
  return result(fake::graph_instantiate(reinterpret_cast<fake::Graph**>(exec), static_cast<fake::Graph*>(graph)));
}
LF_SYMBOL int cuGraphExecUpdate(void* exec, void* graph, void**, int*) {
  return result(fake::graph_update(static_cast<fake::Graph*>(exec), static_cast<fake::Graph*>(graph)));
}
LF_SYMBOL int cuGraphLaunch(void* exec, void* stream) { return result(fake::graph_launch(static_cast<fake::Graph*>(exec), stream_of(stream))); }
LF_SYMBOL int cuGraphDestroy(void* graph) { return result(fake::graph_release(static_cast<fake::Graph*>(graph))); }
LF_SYMBOL int cuGraphExecDestroy(void* exec) { return result(fake::graph_release(static_cast<fake::Graph*>(exec))); }
LF_SYMBOL int cuGetErrorString(int, const char** text) {
  *text = fake::last_failure();
  return 0;
}
