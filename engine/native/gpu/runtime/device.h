// A device object: the driver's device, its memory, buffers and kernels. Queues share them.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "buffers.h"
#include "context.h"
#include "kernels.h"
#include "profile.h"
#include "tuner.h"

struct lf_device {
  // Throws std::bad_alloc or std::system_error. `open` follows.
  lf_device(lf_gpu::Driver& driver, int index, const lf_gpu::DeviceInfo& info, uint64_t memory_limit);
  ~lf_device();

  lf_error* open();
  // May be called from any thread at any time.
  lf_error* supports(const lf_command* command) const;
  // Copies a range of a file into a new read-only buffer; returns when it is there.
  lf_error* read_file(const char* path, uint64_t offset, uint64_t bytes, uint32_t* handle);

  lf_gpu::Driver& driver;
  const int index;
  lf_gpu::DeviceInfo info;  // does not change once the device is open
  lf_gpu::DeviceMemory memory;
  lf_gpu::BufferTable buffers;
  lf_gpu::Kernels kernels;
  std::unique_ptr<lf_gpu::Blas> blas;  // null where there is none
  lf_gpu::Tuner tuner;
  lf_gpu::Collectives collectives;
  lf_gpu::Profile profile;
  std::mutex queues_mutex;
  std::vector<lf_queue*> queues;

 private:
  bool opened_ = false;
};
