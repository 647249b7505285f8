// What the runtime asks of a vendor's driver. CUDA's driver API and HIP's module API each implement it (in their plugins),
// by symbols that are looked up when the backend is opened: nothing is linked.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace lf_gpu {

struct DeviceInfo {
  std::string name, architecture;  // "NVIDIA A100-SXM4-80GB", "sm_80"
  uint64_t memory = 0;             // bytes
  uint32_t units = 0, warp = 32;
  uint32_t shared_limit = 0;       // bytes of shared memory that a block may have
  // Of an open device: by a matrix unit, as the code that was loaded for it; else by plain arithmetic.
  bool multiplies_bf16 = false;
  std::string refusal;             // why the kernels cannot run on it, and what to do; empty when they can
};

// Objects of the driver.
using Stream = void*;
using Event = void*;
using Module = void*;
using Function = void*;
using Graph = void*;
using GraphExec = void*;  // a graph that is ready to be launched

struct Grid {
  uint32_t x = 1, y = 1, z = 1;
};

class Driver {
 public:
  // 0 is success; `describe` says what the others mean.
  using Status = int;

  virtual ~Driver() = default;
  virtual const char* kind() const = 0;  // "cuda", "rocm"
  virtual std::string describe(Status status) const = 0;
  virtual bool out_of_memory(Status status) const = 0;

  virtual Status device_count(int* count) = 0;
  virtual Status device_info(int index, DeviceInfo* info) = 0;
  // Readies the device; `make_current` then binds it to the calling thread, before any of the calls below.
  virtual Status open(int index) = 0;
  virtual Status make_current(int index) = 0;

  // Free memory of a device that need not be open, and is left as it was.
  virtual Status free_memory(int index, uint64_t* free) = 0;
  virtual Status memory_info(uint64_t* free, uint64_t* total) = 0;
  virtual Status allocate(void** memory, uint64_t bytes) = 0;
  virtual Status release(void* memory) = 0;
  virtual Status host_allocate(void** memory, uint64_t bytes) = 0;
  virtual Status host_release(void* memory) = 0;

  virtual Status copy_to_device(void* to, const void* from, uint64_t bytes, Stream stream) = 0;
  virtual Status copy_to_host(void* to, const void* from, uint64_t bytes, Stream stream) = 0;
  virtual Status copy_on_device(void* to, const void* from, uint64_t bytes, Stream stream) = 0;
  virtual Status set_bytes(void* to, uint8_t value, uint64_t bytes, Stream stream) = 0;

  virtual Status stream_create(Stream* stream) = 0;
  virtual Status stream_destroy(Stream stream) = 0;
  virtual Status stream_synchronize(Stream stream) = 0;
  virtual Status event_create(Event* event) = 0;
  virtual Status event_destroy(Event event) = 0;
  virtual Status event_record(Event event, Stream stream) = 0;
  virtual Status event_synchronize(Event event) = 0;
  virtual Status event_elapsed(float* milliseconds, Event start, Event stop) = 0;

  virtual Status module_load(Module* module, const void* image) = 0;
  virtual Status module_unload(Module module) = 0;
  virtual Status module_function(Function* function, Module module, const char* name) = 0;
  // Allows launches of the function that much dynamic shared memory.
  virtual Status allow_shared(Function function, uint32_t bytes) = 0;
  virtual Status launch(Function function, Grid grid, uint32_t threads, uint32_t shared_bytes, Stream stream, const void* arguments,
                        size_t argument_bytes) = 0;

  // What is handed to a stream between the two becomes a graph instead, which is launched as one. Only where `graphs` says so.
  virtual bool graphs() const = 0;
  virtual Status capture_begin(Stream stream) = 0;
  virtual Status capture_end(Stream stream, Graph* graph) = 0;
  virtual Status graph_instantiate(GraphExec* exec, Graph graph) = 0;
  // Gives `exec` the arguments and grids of another graph of the same kernels; fails for one of others.
  virtual Status graph_update(GraphExec exec, Graph graph) = 0;
  virtual Status graph_launch(GraphExec exec, Stream stream) = 0;
  virtual Status graph_release(Graph graph) = 0;
  virtual Status exec_release(GraphExec exec) = 0;
};

// The driver of this plugin's vendor; null, with what is missing and how to mend it in `reason`. Loaded once per process.
Driver* vendor_driver(std::string* reason);

// Name and version that the table of the ABI gives.
const char* vendor_name();

}  // namespace lf_gpu
