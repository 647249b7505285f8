// HIP's module API, by symbols of libamdhip64.so (hip_runtime_api.h of ROCm 5.2 to 6).
#include "driver.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "blas.h"
#include "collectives.h"
#include "library.h"

namespace lf_gpu {
namespace {

enum { kOutOfMemory = 2, kNoDevice = 100, kInvalidDevice = 101 };
enum { kMultiprocessors = 63, kSharedOfBlock = 74, kWarpSize = 87 };

struct Symbols {
  int (*hipInit)(unsigned);
  int (*hipGetDeviceCount)(int*);
  int (*hipSetDevice)(int);
  int (*hipDeviceGetName)(char*, int, int);
  int (*hipDeviceTotalMem)(size_t*, int);
  int (*hipDeviceComputeCapability)(int*, int*, int);
  int (*hipDeviceGetAttribute)(int*, int, int);
  int (*hipMemGetInfo)(size_t*, size_t*);
  int (*hipMalloc)(void**, size_t);
  int (*hipFree)(void*);
  int (*hipHostMalloc)(void**, size_t, unsigned);
  int (*hipHostFree)(void*);
  int (*hipMemcpyHtoDAsync)(void*, void*, size_t, void*);
  int (*hipMemcpyDtoHAsync)(void*, void*, size_t, void*);
  int (*hipMemcpyDtoDAsync)(void*, void*, size_t, void*);
  int (*hipMemsetD8Async)(void*, unsigned char, size_t, void*);
  int (*hipStreamCreateWithFlags)(void**, unsigned);
  int (*hipStreamDestroy)(void*);
  int (*hipStreamSynchronize)(void*);
  int (*hipEventCreateWithFlags)(void**, unsigned);
  int (*hipEventDestroy)(void*);
  int (*hipEventRecord)(void*, void*);
  int (*hipEventSynchronize)(void*);
  int (*hipEventElapsedTime)(float*, void*, void*);
  int (*hipModuleLoadData)(void**, const void*);
  int (*hipModuleUnload)(void*);
  int (*hipModuleGetFunction)(void**, void*, const char*);
  int (*hipModuleLaunchKernel)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
  const char* (*hipGetErrorString)(int);
  // Null in versions that lack them.
  int (*hipStreamBeginCapture)(void*, int);
  int (*hipStreamEndCapture)(void*, void**);
  int (*hipGraphInstantiate)(void**, void*, void**, char*, size_t);
  int (*hipGraphExecUpdate)(void*, void*, void**, int*);
  int (*hipGraphLaunch)(void*, void*);
  int (*hipGraphDestroy)(void*);
  int (*hipGraphExecDestroy)(void*);

  void find_graphs(const Library& library) {
    std::string missing;
    graphs = library.find(hipStreamBeginCapture, "hipStreamBeginCapture", &missing) &&
             library.find(hipStreamEndCapture, "hipStreamEndCapture", &missing) &&
             library.find(hipGraphInstantiate, "hipGraphInstantiate", &missing) &&
             library.find(hipGraphExecUpdate, "hipGraphExecUpdate", &missing) && library.find(hipGraphLaunch, "hipGraphLaunch", &missing) &&
             library.find(hipGraphDestroy, "hipGraphDestroy", &missing) && library.find(hipGraphExecDestroy, "hipGraphExecDestroy", &missing);
  }
  bool graphs = false;

  bool find(const Library& library, std::string* missing) {
    return library.find(hipInit, "hipInit", missing) && library.find(hipGetDeviceCount, "hipGetDeviceCount", missing) &&
           library.find(hipSetDevice, "hipSetDevice", missing) && library.find(hipDeviceGetName, "hipDeviceGetName", missing) &&
           library.find(hipDeviceTotalMem, "hipDeviceTotalMem", missing) &&
           library.find(hipDeviceComputeCapability, "hipDeviceComputeCapability", missing) &&
           library.find(hipDeviceGetAttribute, "hipDeviceGetAttribute", missing) && library.find(hipMemGetInfo, "hipMemGetInfo", missing) &&
           library.find(hipMalloc, "hipMalloc", missing) && library.find(hipFree, "hipFree", missing) &&
           library.find(hipHostMalloc, "hipHostMalloc", missing) && library.find(hipHostFree, "hipHostFree", missing) &&
           library.find(hipMemcpyHtoDAsync, "hipMemcpyHtoDAsync", missing) &&
           library.find(hipMemcpyDtoHAsync, "hipMemcpyDtoHAsync", missing) &&
           library.find(hipMemcpyDtoDAsync, "hipMemcpyDtoDAsync", missing) &&
           library.find(hipMemsetD8Async, "hipMemsetD8Async", missing) &&
           library.find(hipStreamCreateWithFlags, "hipStreamCreateWithFlags", missing) &&
           library.find(hipStreamDestroy, "hipStreamDestroy", missing) &&
           library.find(hipStreamSynchronize, "hipStreamSynchronize", missing) &&
           library.find(hipEventCreateWithFlags, "hipEventCreateWithFlags", missing) &&
           library.find(hipEventDestroy, "hipEventDestroy", missing) && library.find(hipEventRecord, "hipEventRecord", missing) &&
           library.find(hipEventSynchronize, "hipEventSynchronize", missing) &&
           library.find(hipEventElapsedTime, "hipEventElapsedTime", missing) &&
           library.find(hipModuleLoadData, "hipModuleLoadData", missing) && library.find(hipModuleUnload, "hipModuleUnload", missing) &&
           library.find(hipModuleGetFunction, "hipModuleGetFunction", missing) &&
           library.find(hipModuleLaunchKernel, "hipModuleLaunchKernel", missing) &&
           library.find(hipGetErrorString, "hipGetErrorString", missing);
  }
};

class HipDriver final : public Driver {
 public:
  bool load(std::string* reason) {
    const char* named = getenv("LF_ROCM_DRIVER");
    Library library;
    std::string why;
    if (!(named ? library.open({named}, &why) : library.open({"libamdhip64.so", "libamdhip64.so.6", "libamdhip64.so.5"}, &why))) {
      *reason = "ROCm is not installed: " + why +
                ". Install ROCm 5.4 or newer (Debian: \"apt-get install libamdhip64-5\"); in a container, pass \"--device=/dev/kfd "
                "--device=/dev/dri\"";
      return false;
    }
    std::string missing;
    if (!f.find(library, &missing)) {
      *reason = "ROCm's library lacks " + missing + ": install ROCm 5.4 or newer";
      return false;
    }
    f.find_graphs(library);
    int count = 0;
    int status = f.hipInit(0);
    if (!status) status = f.hipGetDeviceCount(&count);
    // Without a GPU, versions answer with the one or the other.
    if (status == kNoDevice || status == kInvalidDevice || (!status && count == 0)) {
      *reason = "ROCm finds no GPU (HIP error " + std::to_string(status) + "). Look at \"rocminfo\", at the permissions of /dev/kfd (the user must be in the groups "
                "render and video) and at HIP_VISIBLE_DEVICES";
      return false;
    }
    if (!status) return true;
    *reason = "ROCm does not start: " + describe(status) + ". Look at \"rocminfo\" and \"dmesg\"";
    return false;
  }

  const char* kind() const override { return "rocm"; }
  std::string describe(Status status) const override {
    const char* text = f.hipGetErrorString(status);
    return std::string(text ? text : "unknown error") + " (HIP error " + std::to_string(status) + ")";
  }
  bool out_of_memory(Status status) const override { return status == kOutOfMemory; }

  Status device_count(int* count) override { return f.hipGetDeviceCount(count); }
  Status device_info(int index, DeviceInfo* info) override {
    int major = 0, minor = 0, units = 0, warp = 64, shared = 0;
    char name[128] = "";
    size_t memory = 0;
    if (Status status = f.hipDeviceGetName(name, sizeof name - 1, index)) return status;
    if (Status status = f.hipDeviceTotalMem(&memory, index)) return status;
    if (Status status = f.hipDeviceComputeCapability(&major, &minor, index)) return status;
    for (auto [value, attribute] : {std::pair{&units, kMultiprocessors}, {&warp, kWarpSize}, {&shared, kSharedOfBlock}}) {
      if (Status status = f.hipDeviceGetAttribute(value, attribute, index)) return status;
    }
    info->name = name;
    // The stepping is not to be had in a way that all versions agree on; code objects are matched by the driver.
    info->architecture = "gfx" + std::to_string(major) + std::to_string(minor) + "x";
    info->memory = memory;
    info->units = static_cast<uint32_t>(units);
    info->warp = static_cast<uint32_t>(warp);
    info->shared_limit = static_cast<uint32_t>(shared);
    return 0;
  }
  Status open(int index) override { return f.hipSetDevice(index); }
  Status make_current(int index) override { return f.hipSetDevice(index); }

  Status free_memory(int index, uint64_t* free) override {
    uint64_t total = 0;
    const Status status = make_current(index);
    return status ? status : memory_info(free, &total);
  }
  Status memory_info(uint64_t* free, uint64_t* total) override {
    size_t have = 0, all = 0;
    const Status status = f.hipMemGetInfo(&have, &all);
    *free = have, *total = all;
    return status;
  }
  Status allocate(void** memory, uint64_t bytes) override { return f.hipMalloc(memory, bytes); }
  Status release(void* memory) override { return f.hipFree(memory); }
  Status host_allocate(void** memory, uint64_t bytes) override { return f.hipHostMalloc(memory, bytes, 0); }
  Status host_release(void* memory) override { return f.hipHostFree(memory); }
  Status copy_to_device(void* to, const void* from, uint64_t bytes, Stream stream) override {
    return f.hipMemcpyHtoDAsync(to, const_cast<void*>(from), bytes, stream);
  }
  Status copy_to_host(void* to, const void* from, uint64_t bytes, Stream stream) override {
    return f.hipMemcpyDtoHAsync(to, const_cast<void*>(from), bytes, stream);
  }
  Status copy_on_device(void* to, const void* from, uint64_t bytes, Stream stream) override {
    return f.hipMemcpyDtoDAsync(to, const_cast<void*>(from), bytes, stream);
  }
  Status set_bytes(void* to, uint8_t value, uint64_t bytes, Stream stream) override { return f.hipMemsetD8Async(to, value, bytes, stream); }
  Status stream_create(Stream* stream) override { return f.hipStreamCreateWithFlags(stream, 1); }
  Status stream_destroy(Stream stream) override { return f.hipStreamDestroy(stream); }
  Status stream_synchronize(Stream stream) override { return f.hipStreamSynchronize(stream); }
  Status event_create(Event* event) override { return f.hipEventCreateWithFlags(event, 1); }
  Status event_destroy(Event event) override { return f.hipEventDestroy(event); }
  Status event_record(Event event, Stream stream) override { return f.hipEventRecord(event, stream); }
  Status event_synchronize(Event event) override { return f.hipEventSynchronize(event); }
  Status event_elapsed(float* milliseconds, Event start, Event stop) override { return f.hipEventElapsedTime(milliseconds, start, stop); }
  Status module_load(Module* module, const void* image) override { return f.hipModuleLoadData(module, image); }
  Status module_unload(Module module) override { return f.hipModuleUnload(module); }
  Status module_function(Function* function, Module module, const char* name) override {
    return f.hipModuleGetFunction(function, module, name);
  }
  // All of a compute unit's shared memory is open to every launch.
  Status allow_shared(Function, uint32_t) override { return 0; }
  Status launch(Function function, Grid grid, uint32_t threads, uint32_t shared_bytes, Stream stream, const void* arguments,
                size_t argument_bytes) override {
    void* extra[] = {reinterpret_cast<void*>(1), const_cast<void*>(arguments), reinterpret_cast<void*>(2), &argument_bytes,
                     reinterpret_cast<void*>(3)};
    return f.hipModuleLaunchKernel(function, grid.x, grid.y, grid.z, threads, 1, 1, shared_bytes, stream, nullptr, extra);
  }

  bool graphs() const override { return f.graphs; }
  // Relaxed: what other threads do with other streams is none of the recording's business.
  Status capture_begin(Stream stream) override { return f.hipStreamBeginCapture(stream, 2); }
  Status capture_end(Stream stream, Graph* graph) override { return f.hipStreamEndCapture(stream, graph); }
  Status graph_instantiate(GraphExec* exec, Graph graph) override { return f.hipGraphInstantiate(exec, graph, nullptr, nullptr, 0); }
  Status graph_update(GraphExec exec, Graph graph) override {
    void* node = nullptr;
    int why = 0;
    return f.hipGraphExecUpdate(exec, graph, &node, &why);
  }
  Status graph_launch(GraphExec exec, Stream stream) override { return f.hipGraphLaunch(exec, stream); }
  Status graph_release(Graph graph) override { return f.hipGraphDestroy(graph); }
  Status exec_release(GraphExec exec) override { return f.hipGraphExecDestroy(exec); }

 private:
  Symbols f{};
};

}  // namespace

Driver* vendor_driver(std::string* reason) {
  static std::mutex mutex;
  static HipDriver* driver = nullptr;
  std::lock_guard<std::mutex> lock(mutex);
  if (driver) return driver;
  auto* candidate = new HipDriver;
  if (candidate->load(reason)) return driver = candidate;
  delete candidate;
  return nullptr;
}

const char* vendor_name() { return "rocm"; }

// Numbers of hipblaslt.h of ROCm 6.
const BlasVendor& blas_vendor() {
  static const BlasVendor vendor = {"LF_ROCM_BLAS", {"libhipblaslt.so", "libhipblaslt.so.1", "libhipblaslt.so.0"}, "hipblasLt", 2, 0, 1};
  return vendor;
}

const CollectiveVendor& collective_vendor() {
  static const CollectiveVendor vendor = {
      "LF_ROCM_RCCL", {"librccl.so.1", "librccl.so"}, "RCCL", "Install it (with AMD's repository: \"apt-get install rccl\")"};
  return vendor;
}

}  // namespace lf_gpu
