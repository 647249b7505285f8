// NVIDIA's driver API, by symbols of libcuda.so.1 (cuda.h of CUDA 11.8 and newer).
#include "driver.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "blas.h"
#include "collectives.h"
#include "image.h"
#include "library.h"

namespace lf_gpu {
namespace {

using Address = unsigned long long;

// Numbers of cuda.h.
enum {
  kOutOfMemory = 2,
  kNoDevice = 100,
  kInsufficientDriver = 35,
  kSystemDriverMismatch = 803,
  kCompatNotSupported = 804,
};
enum { kWarpSize = 10, kMultiprocessors = 16, kMajor = 75, kMinor = 76, kSharedOptin = 97 };
constexpr int kOldestDriver = 11080, kOldestArchitecture = 75;

// The functions that are used, with their signatures.
struct Symbols {
  int (*cuInit)(unsigned);
  int (*cuDriverGetVersion)(int*);
  int (*cuDeviceGetCount)(int*);
  int (*cuDeviceGet)(int*, int);
  int (*cuDeviceGetName)(char*, int, int);
  int (*cuDeviceTotalMem_v2)(size_t*, int);
  int (*cuDeviceGetAttribute)(int*, int, int);
  int (*cuDevicePrimaryCtxRetain)(void**, int);
  int (*cuDevicePrimaryCtxRelease_v2)(int);
  int (*cuCtxSetCurrent)(void*);
  int (*cuMemGetInfo_v2)(size_t*, size_t*);
  int (*cuMemAlloc_v2)(Address*, size_t);
  int (*cuMemFree_v2)(Address);
  int (*cuMemHostAlloc)(void**, size_t, unsigned);
  int (*cuMemFreeHost)(void*);
  int (*cuMemcpyHtoDAsync_v2)(Address, const void*, size_t, void*);
  int (*cuMemcpyDtoHAsync_v2)(void*, Address, size_t, void*);
  int (*cuMemcpyDtoDAsync_v2)(Address, Address, size_t, void*);
  int (*cuMemsetD8Async)(Address, unsigned char, size_t, void*);
  int (*cuStreamCreate)(void**, unsigned);
  int (*cuStreamDestroy_v2)(void*);
  int (*cuStreamSynchronize)(void*);
  int (*cuEventCreate)(void**, unsigned);
  int (*cuEventDestroy_v2)(void*);
  int (*cuEventRecord)(void*, void*);
  int (*cuEventSynchronize)(void*);
  int (*cuEventElapsedTime)(float*, void*, void*);
  int (*cuModuleLoadData)(void**, const void*);
  int (*cuModuleUnload)(void*);
  int (*cuModuleGetFunction)(void**, void*, const char*);
  int (*cuFuncSetAttribute)(void*, int, int);
  int (*cuLaunchKernel)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
  int (*cuGetErrorString)(int, const char**);
  // Null in drivers that lack them.
  int (*cuStreamBeginCapture_v2)(void*, int);
  int (*cuStreamEndCapture)(void*, void**);
  int (*cuGraphInstantiateWithFlags)(void**, void*, unsigned long long);
  int (*cuGraphExecUpdate)(void*, void*, void**, int*);
  int (*cuGraphLaunch)(void*, void*);
  int (*cuGraphDestroy)(void*);
  int (*cuGraphExecDestroy)(void*);

  void find_graphs(const Library& library) {
    std::string missing;
    graphs = library.find(cuStreamBeginCapture_v2, "cuStreamBeginCapture_v2", &missing) &&
             library.find(cuStreamEndCapture, "cuStreamEndCapture", &missing) &&
             library.find(cuGraphInstantiateWithFlags, "cuGraphInstantiateWithFlags", &missing) &&
             library.find(cuGraphExecUpdate, "cuGraphExecUpdate", &missing) && library.find(cuGraphLaunch, "cuGraphLaunch", &missing) &&
             library.find(cuGraphDestroy, "cuGraphDestroy", &missing) && library.find(cuGraphExecDestroy, "cuGraphExecDestroy", &missing);
  }
  bool graphs = false;

  bool find(const Library& library, std::string* missing) {
    return library.find(cuInit, "cuInit", missing) && library.find(cuDriverGetVersion, "cuDriverGetVersion", missing) &&
           library.find(cuDeviceGetCount, "cuDeviceGetCount", missing) && library.find(cuDeviceGet, "cuDeviceGet", missing) &&
           library.find(cuDeviceGetName, "cuDeviceGetName", missing) &&
           library.find(cuDeviceTotalMem_v2, "cuDeviceTotalMem_v2", missing) &&
           library.find(cuDeviceGetAttribute, "cuDeviceGetAttribute", missing) &&
           library.find(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", missing) &&
           library.find(cuDevicePrimaryCtxRelease_v2, "cuDevicePrimaryCtxRelease_v2", missing) &&
           library.find(cuCtxSetCurrent, "cuCtxSetCurrent", missing) && library.find(cuMemGetInfo_v2, "cuMemGetInfo_v2", missing) &&
           library.find(cuMemAlloc_v2, "cuMemAlloc_v2", missing) && library.find(cuMemFree_v2, "cuMemFree_v2", missing) &&
           library.find(cuMemHostAlloc, "cuMemHostAlloc", missing) && library.find(cuMemFreeHost, "cuMemFreeHost", missing) &&
           library.find(cuMemcpyHtoDAsync_v2, "cuMemcpyHtoDAsync_v2", missing) &&
           library.find(cuMemcpyDtoHAsync_v2, "cuMemcpyDtoHAsync_v2", missing) &&
           library.find(cuMemcpyDtoDAsync_v2, "cuMemcpyDtoDAsync_v2", missing) &&
           library.find(cuMemsetD8Async, "cuMemsetD8Async", missing) && library.find(cuStreamCreate, "cuStreamCreate", missing) &&
           library.find(cuStreamDestroy_v2, "cuStreamDestroy_v2", missing) &&
           library.find(cuStreamSynchronize, "cuStreamSynchronize", missing) &&
           library.find(cuEventCreate, "cuEventCreate", missing) && library.find(cuEventDestroy_v2, "cuEventDestroy_v2", missing) &&
           library.find(cuEventRecord, "cuEventRecord", missing) && library.find(cuEventSynchronize, "cuEventSynchronize", missing) &&
           library.find(cuEventElapsedTime, "cuEventElapsedTime", missing) &&
           library.find(cuModuleLoadData, "cuModuleLoadData", missing) && library.find(cuModuleUnload, "cuModuleUnload", missing) &&
           library.find(cuModuleGetFunction, "cuModuleGetFunction", missing) &&
           library.find(cuFuncSetAttribute, "cuFuncSetAttribute", missing) && library.find(cuLaunchKernel, "cuLaunchKernel", missing) &&
           library.find(cuGetErrorString, "cuGetErrorString", missing);
  }
};

Address address(const void* p) { return reinterpret_cast<Address>(p); }

class CudaDriver final : public Driver {
 public:
  // False, with what is wrong and how to mend it.
  bool load(std::string* reason) {
    const char* named = getenv("LF_CUDA_DRIVER");
    Library library;
    std::string why;
    if (!(named ? library.open({named}, &why) : library.open({"libcuda.so.1"}, &why))) {
      *reason = "NVIDIA's driver is not installed: " + why +
                ". Install it (Debian, Ubuntu: \"apt-get install nvidia-driver\"; in a container, start it with \"--gpus all\" and "
                "NVIDIA's container toolkit)";
      return false;
    }
    std::string missing;
    if (!f.find(library, &missing)) {
      *reason = "NVIDIA's driver lacks " + missing + ": it is too old. Install one for CUDA 11.8 or newer (R520)";
      return false;
    }
    f.find_graphs(library);
    if (const int status = f.cuInit(0)) {
      *reason = why_no_start(status);
      return false;
    }
    int version = 0;
    f.cuDriverGetVersion(&version);
    const Image* image = linked_image();
    const int toolkit = image ? static_cast<int>(image->toolkit) : 0;
    // Kernels run on drivers of the same major version as the toolkit that compiled them, and newer ones.
    const int needed = toolkit / 1000 * 1000 > kOldestDriver ? toolkit / 1000 * 1000 : kOldestDriver;
    if (version >= needed) return true;
    char text[320];
    snprintf(text, sizeof text,
             "NVIDIA's driver is too old: it supports CUDA %d.%d, and these kernels need %d.%d. Install a newer driver, or build with "
             "an older toolkit: put its nvcc (11.8 or newer) into PATH and run \"npm run build:cuda\"",
             version / 1000, version % 1000 / 10, needed / 1000, needed % 1000 / 10);
    *reason = text;
    return false;
  }

  const char* kind() const override { return "cuda"; }
  std::string describe(Status status) const override {
    const char* text = nullptr;
    f.cuGetErrorString(status, &text);
    return std::string(text ? text : "unknown error") + " (CUDA error " + std::to_string(status) + ")";
  }
  bool out_of_memory(Status status) const override { return status == kOutOfMemory; }

  Status device_count(int* count) override { return f.cuDeviceGetCount(count); }
  Status device_info(int index, DeviceInfo* info) override {
    int device, major = 0, minor = 0, units = 0, warp = 32, shared = 0;
    char name[128] = "";
    size_t memory = 0;
    if (Status status = f.cuDeviceGet(&device, index)) return status;
    if (Status status = f.cuDeviceGetName(name, sizeof name - 1, device)) return status;
    if (Status status = f.cuDeviceTotalMem_v2(&memory, device)) return status;
    for (auto [value, attribute] : {std::pair{&major, kMajor}, {&minor, kMinor}, {&units, kMultiprocessors}, {&warp, kWarpSize}, {&shared, kSharedOptin}}) {
      if (Status status = f.cuDeviceGetAttribute(value, attribute, device)) return status;
    }
    info->name = name;
    info->architecture = "sm_" + std::to_string(major * 10 + minor);
    info->memory = memory;
    info->units = static_cast<uint32_t>(units);
    info->warp = static_cast<uint32_t>(warp);
    info->shared_limit = static_cast<uint32_t>(shared);
    if (major * 10 + minor < kOldestArchitecture) {
      info->refusal = info->name + " is of compute capability " + std::to_string(major) + "." + std::to_string(minor) +
                      "; 7.5 (Turing) and newer can be used. Choose another device, or another backend";
    }
    return 0;
  }
  Status open(int index) override {
    std::lock_guard<std::mutex> lock(mutex_);
    kept_[index] = true;
    return retain(index);
  }
  Status make_current(int index) override { return f.cuCtxSetCurrent(contexts_[index]); }

  Status free_memory(int index, uint64_t* free) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (Status status = retain(index)) return status;
    uint64_t total = 0;
    Status status = make_current(index);
    if (!status) status = memory_info(free, &total);
    if (!kept_[index]) {
      // A context takes memory itself: no device keeps one that nobody uses.
      f.cuCtxSetCurrent(nullptr);
      int device;
      if (!f.cuDeviceGet(&device, index)) f.cuDevicePrimaryCtxRelease_v2(device);
      contexts_[index] = nullptr;
    }
    return status;
  }
  Status memory_info(uint64_t* free, uint64_t* total) override {
    size_t have = 0, all = 0;
    const Status status = f.cuMemGetInfo_v2(&have, &all);
    *free = have, *total = all;
    return status;
  }
  Status allocate(void** memory, uint64_t bytes) override {
    Address at = 0;
    const Status status = f.cuMemAlloc_v2(&at, bytes);
    *memory = reinterpret_cast<void*>(at);
    return status;
  }
  Status release(void* memory) override { return f.cuMemFree_v2(address(memory)); }
  Status host_allocate(void** memory, uint64_t bytes) override { return f.cuMemHostAlloc(memory, bytes, 0); }
  Status host_release(void* memory) override { return f.cuMemFreeHost(memory); }
  Status copy_to_device(void* to, const void* from, uint64_t bytes, Stream stream) override {
    return f.cuMemcpyHtoDAsync_v2(address(to), from, bytes, stream);
  }
  Status copy_to_host(void* to, const void* from, uint64_t bytes, Stream stream) override {
    return f.cuMemcpyDtoHAsync_v2(to, address(from), bytes, stream);
  }
  Status copy_on_device(void* to, const void* from, uint64_t bytes, Stream stream) override {
    return f.cuMemcpyDtoDAsync_v2(address(to), address(from), bytes, stream);
  }
  Status set_bytes(void* to, uint8_t value, uint64_t bytes, Stream stream) override {
    return f.cuMemsetD8Async(address(to), value, bytes, stream);
  }
  // Not ordered with the legacy stream, which nobody here uses.
  Status stream_create(Stream* stream) override { return f.cuStreamCreate(stream, 1); }
  Status stream_destroy(Stream stream) override { return f.cuStreamDestroy_v2(stream); }
  Status stream_synchronize(Stream stream) override { return f.cuStreamSynchronize(stream); }
  // The waiting thread sleeps instead of spinning.
  Status event_create(Event* event) override { return f.cuEventCreate(event, 1); }
  Status event_destroy(Event event) override { return f.cuEventDestroy_v2(event); }
  Status event_record(Event event, Stream stream) override { return f.cuEventRecord(event, stream); }
  Status event_synchronize(Event event) override { return f.cuEventSynchronize(event); }
  Status event_elapsed(float* milliseconds, Event start, Event stop) override { return f.cuEventElapsedTime(milliseconds, start, stop); }
  Status module_load(Module* module, const void* image) override { return f.cuModuleLoadData(module, image); }
  Status module_unload(Module module) override { return f.cuModuleUnload(module); }
  Status module_function(Function* function, Module module, const char* name) override {
    return f.cuModuleGetFunction(function, module, name);
  }
  Status allow_shared(Function function, uint32_t bytes) override { return f.cuFuncSetAttribute(function, 8, static_cast<int>(bytes)); }
  Status launch(Function function, Grid grid, uint32_t threads, uint32_t shared_bytes, Stream stream, const void* arguments,
                size_t argument_bytes) override {
    void* extra[] = {reinterpret_cast<void*>(1), const_cast<void*>(arguments), reinterpret_cast<void*>(2), &argument_bytes, nullptr};
    return f.cuLaunchKernel(function, grid.x, grid.y, grid.z, threads, 1, 1, shared_bytes, stream, nullptr, extra);
  }

  bool graphs() const override { return f.graphs; }
  // Relaxed: what other threads do with other streams is none of the recording's business.
  Status capture_begin(Stream stream) override { return f.cuStreamBeginCapture_v2(stream, 2); }
  Status capture_end(Stream stream, Graph* graph) override { return f.cuStreamEndCapture(stream, graph); }
  Status graph_instantiate(GraphExec* exec, Graph graph) override { return f.cuGraphInstantiateWithFlags(exec, graph, 0); }
  Status graph_update(GraphExec exec, Graph graph) override {
    void* node = nullptr;
    int why = 0;
    return f.cuGraphExecUpdate(exec, graph, &node, &why);
  }
  Status graph_launch(GraphExec exec, Stream stream) override { return f.cuGraphLaunch(exec, stream); }
  Status graph_release(Graph graph) override { return f.cuGraphDestroy(graph); }
  Status exec_release(GraphExec exec) override { return f.cuGraphExecDestroy(exec); }

 private:
  Status retain(int index) {
    if (contexts_[index]) return 0;
    int device;
    if (Status status = f.cuDeviceGet(&device, index)) return status;
    return f.cuDevicePrimaryCtxRetain(&contexts_[index], device);
  }

  std::string why_no_start(int status) const {
    switch (status) {
      case kNoDevice:
        return "NVIDIA's driver finds no GPU (CUDA error 100). Look at \"nvidia-smi\" and at CUDA_VISIBLE_DEVICES; in a container, "
               "start it with \"--gpus all\"";
      case kInsufficientDriver:
      case kSystemDriverMismatch:
      case kCompatNotSupported:
        return "NVIDIA's driver library and its kernel module don't fit together (CUDA error " + std::to_string(status) +
               "). Restart the machine after a driver update, or remove a libcuda.so.1 of another version from LD_LIBRARY_PATH";
      default: {
        const char* text = nullptr;
        f.cuGetErrorString(status, &text);
        return std::string("NVIDIA's driver does not start: ") + (text ? text : "unknown error") + " (CUDA error " +
               std::to_string(status) + "). Look at \"nvidia-smi\" and \"dmesg\"";
      }
    }
  }

  Symbols f{};
  void* contexts_[64] = {};
  std::mutex mutex_;    // of contexts that come and go
  bool kept_[64] = {};  // contexts that stay until the process ends
};

}  // namespace

Driver* vendor_driver(std::string* reason) {
  static std::mutex mutex;
  static CudaDriver* driver = nullptr;
  std::lock_guard<std::mutex> lock(mutex);
  if (driver) return driver;
  auto* candidate = new CudaDriver;
  if (candidate->load(reason)) return driver = candidate;
  delete candidate;
  return nullptr;
}

const char* vendor_name() { return "cuda"; }

// Numbers of cublasLt.h of CUDA 11 to 13.
const BlasVendor& blas_vendor() {
  static const BlasVendor vendor = {"LF_CUDA_BLAS", {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"}, "cublasLt", 68, 3, 4};
  return vendor;
}

const CollectiveVendor& collective_vendor() {
  static const CollectiveVendor vendor = {
      "LF_CUDA_NCCL",
      {"libnccl.so.2", "libnccl.so"},
      "NCCL",
      "Install it (with NVIDIA's repository: \"apt-get install libnccl2\"; from PyPI: \"pip install nvidia-nccl-cu12\")"};
  return vendor;
}

}  // namespace lf_gpu
