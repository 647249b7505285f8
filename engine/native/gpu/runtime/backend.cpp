// The table of the ABI for a GPU. The vendor's plugin brings the driver, the name and the kernels' image.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>

#include "image.h"
#include "queue.h"
#include "stream.h"

using namespace lf;
using namespace lf_gpu;

namespace {

lf_error* with_driver(Driver** driver) {
  std::string reason;
  *driver = vendor_driver(&reason);
  if (!*driver) return make_error(LF_DEVICE, "%s", reason.c_str());
  if (linked_image()) return nullptr;
  return make_error(LF_DEVICE,
                    "this library was built without device code; in a checkout, \"npm run build:%s\" compiles it (with a compiler "
                    "for the device, which it finds or fetches)",
                    vendor_name());
}

lf_error* failed(Driver& driver, Driver::Status status, const char* what) {
  return make_error(LF_DEVICE, "%s: %s", what, driver.describe(status).c_str());
}

lf_error* find_device(Driver& driver, uint32_t index, DeviceInfo* info) {
  int count = 0;
  if (Driver::Status status = driver.device_count(&count)) return failed(driver, status, "counting devices");
  if (index >= static_cast<uint32_t>(count)) {
    return make_error(LF_DEVICE, "there is no %s device %u; there are %d, from number 0", driver.kind(), index, count);
  }
  if (Driver::Status status = driver.device_info(static_cast<int>(index), info)) return failed(driver, status, "asking for the device's properties");
  if (!info->refusal.empty()) return make_error(LF_DEVICE, "%s", info->refusal.c_str());
  return nullptr;
}

void fill_properties(Driver& driver, const DeviceInfo& info, uint64_t free, lf_device_properties* out) {
  lf_device_properties p{};
  p.struct_size = std::min(out->struct_size, sizeof p);
  snprintf(p.name, sizeof p.name, "%s", info.name.c_str());
  snprintf(p.kind, sizeof p.kind, "%s", driver.kind());
  snprintf(p.isa, sizeof p.isa, "%s", info.architecture.c_str());
  p.memory_total = info.memory;
  p.memory_free = free;
  p.compute_units = info.units;
  p.alignment = 256;
  p.unified_memory = 0;
  p.kv_block_size = 32;
  // Weights are decoded into the matrix unit's own numbers; plain arithmetic gains nothing by 8 bits either.
  p.packed_math = LF_MATH_BF16;
  memcpy(out, &p, p.struct_size);
}

lf_error* device_count(uint32_t* count) {
  return guarded([&]() -> lf_error* {
    Driver* driver;
    if (lf_error* error = with_driver(&driver)) return error;
    int n = 0;
    if (Driver::Status status = driver->device_count(&n)) return failed(*driver, status, "counting devices");
    *count = static_cast<uint32_t>(n);
    return nullptr;
  });
}

lf_error* device_properties(uint32_t index, lf_device_properties* out) {
  return guarded([&]() -> lf_error* {
    Driver* driver;
    if (lf_error* error = with_driver(&driver)) return error;
    DeviceInfo info;
    if (lf_error* error = find_device(*driver, index, &info)) return error;
    uint64_t free = 0;
    if (Driver::Status status = driver->free_memory(static_cast<int>(index), &free)) return failed(*driver, status, "asking for free memory");
    fill_properties(*driver, info, free, out);
    return nullptr;
  });
}

lf_error* device_open(uint32_t index, const lf_device_options* given, lf_device** out) {
  return guarded([&]() -> lf_error* {
    Driver* driver;
    if (lf_error* error = with_driver(&driver)) return error;
    DeviceInfo info;
    if (lf_error* error = find_device(*driver, index, &info)) return error;
    lf_device_options options{};
    if (given) memcpy(&options, given, std::min(given->struct_size, sizeof options));
    if (options.isa && info.architecture != options.isa) {
      return make_error(LF_DEVICE, "%s was asked for, but device %u (%s) is %s", options.isa, index, info.name.c_str(),
                        info.architecture.c_str());
    }
    auto device = std::make_unique<lf_device>(*driver, static_cast<int>(index), info, options.memory_limit);
    if (lf_error* error = device->open()) return error;
    *out = device.release();
    return nullptr;
  });
}

void device_close(lf_device* device) {
  if (!device) return;
  std::vector<lf_queue*> queues;
  {
    std::lock_guard<std::mutex> lock(device->queues_mutex);
    queues = device->queues;
  }
  for (lf_queue* queue : queues) delete queue;
  delete device;
}

lf_error* device_opened_properties(lf_device* device, lf_device_properties* out) {
  return guarded([&]() -> lf_error* {
    uint64_t free = 0, total = 0;
    device->driver.make_current(device->index);
    if (Driver::Status status = device->driver.memory_info(&free, &total)) return failed(device->driver, status, "asking for free memory");
    fill_properties(device->driver, device->info, free, out);
    return nullptr;
  });
}

lf_error* device_memory(lf_device* device, lf_memory_info* out) {
  return guarded([&]() -> lf_error* {
    lf_memory_info info{};
    info.struct_size = std::min(out->struct_size, sizeof info);
    device->driver.make_current(device->index);
    if (Driver::Status status = device->driver.memory_info(&info.free, &info.total)) {
      return failed(device->driver, status, "asking for free memory");
    }
    info.allocated = device->memory.allocated();
    info.peak = device->memory.peak();
    info.mapped = device->memory.files();
    memcpy(out, &info, info.struct_size);
    return nullptr;
  });
}

lf_error* no_buffer(uint32_t handle) { return make_error(LF_INVALID, "buffer %u does not exist (any more)", handle); }

lf_error* buffer_alloc(lf_device* device, uint64_t bytes, uint32_t* handle) {
  return guarded([&]() -> lf_error* {
    if (Driver::Status status = device->driver.make_current(device->index)) return failed(device->driver, status, "a buffer");
    return device->buffers.alloc(bytes, Consumer::kBuffers, true, handle);
  });
}

lf_error* buffer_map_file(lf_device* device, const char* path, uint64_t offset, uint64_t bytes, uint32_t* handle) {
  return guarded([&] { return device->read_file(path, offset, bytes, handle); });
}

// Work that was queued before still uses the buffer: its handle goes when every queue has got here, its memory when the
// device has.
lf_error* buffer_free(lf_device* device, uint32_t handle) {
  return guarded([&]() -> lf_error* {
    std::lock_guard<std::mutex> lock(device->queues_mutex);
    if (!device->buffers.begin_free(handle)) return no_buffer(handle);
    if (device->queues.empty()) {
      device->buffers.release(device->buffers.retire(handle));
      return nullptr;
    }
    struct Leaving {
      std::atomic<size_t> queues, devices;
      std::shared_ptr<Buffer> buffer;
    };
    auto leaving = std::make_shared<Leaving>();
    leaving->queues = leaving->devices = device->queues.size();
    for (lf_queue* queue : device->queues) {
      queue->then(
          [device, handle, leaving] {
            if (leaving->queues.fetch_sub(1) == 1) leaving->buffer = device->buffers.retire(handle);
          },
          [device, leaving] {
            if (leaving->devices.fetch_sub(1) == 1) device->buffers.release(leaving->buffer);
          });
    }
    return nullptr;
  });
}

lf_error* buffer_size(lf_device* device, uint32_t handle, uint64_t* bytes) {
  return guarded([&]() -> lf_error* {
    const auto buffer = device->buffers.get_owned(handle);
    if (!buffer) return no_buffer(handle);
    *bytes = buffer->bytes();
    return nullptr;
  });
}

lf_error* supports(lf_device* device, const lf_command* command) {
  return guarded([&]() -> lf_error* {
    char reason[256];
    if (!check_command(reinterpret_cast<const uint8_t*>(command), command->bytes, 0, reason, sizeof reason)) {
      return make_error(LF_INVALID, "%s", reason);
    }
    return device->supports(command);
  });
}

lf_error* packed_size(lf_device*, uint32_t dtype, uint32_t layout, uint32_t n, uint32_t k, uint32_t group, uint64_t* bytes) {
  return guarded([&]() -> lf_error* {
    // Beyond this the size would not fit into 64 bits.
    if (n >= 1u << 30 || k >= 1u << 30) return make_error(LF_INVALID, "a weight cannot have shape [%u, %u]", n, k);
    *bytes = packed_bytes(dtype, layout, n, k, group);
    if (*bytes) return nullptr;
    return make_error(LF_UNSUPPORTED, "a weight of dtype %u and layout %u cannot be packed by this backend", dtype, layout);
  });
}

lf_error* queue_create(lf_device* device, lf_queue** out) {
  return guarded([&]() -> lf_error* {
    auto queue = std::make_unique<lf_queue>(device);
    if (lf_error* error = queue->open()) return error;
    *out = queue.release();
    return nullptr;
  });
}
void queue_destroy(lf_queue* queue) { delete queue; }

lf_error* queue_submit(lf_queue* queue, const void* stream, uint64_t bytes) {
  return guarded([&] { return queue->submit(stream, bytes); });
}
lf_error* queue_write(lf_queue* queue, uint32_t handle, uint64_t offset, const void* source, uint64_t bytes) {
  return guarded([&] { return queue->write(handle, offset, source, bytes); });
}
lf_error* queue_read(lf_queue* queue, uint32_t handle, uint64_t offset, void* destination, uint64_t bytes) {
  return guarded([&] { return queue->read(handle, offset, destination, bytes); });
}
lf_error* queue_flush(lf_queue* queue, lf_completion done, void* user) {
  return guarded([&]() -> lf_error* {
    queue->flush(done, user);
    return nullptr;
  });
}

lf_error* event_record(lf_queue* queue, lf_event** out) {
  return guarded([&]() -> lf_error* {
    *out = new lf_event;
    queue->record(*out);
    return nullptr;
  });
}
lf_error* event_wait(lf_queue* queue, lf_event* event) {
  return guarded([&]() -> lf_error* {
    queue->wait(event);
    return nullptr;
  });
}
lf_error* event_synchronize(lf_event* event) {
  return guarded([&] { return event->state->wait(); });
}
void event_free(lf_event* event) { delete event; }

const char* profile(lf_device* device) { return device->profile.take(); }

lf_status error_status(const lf_error* error) { return error->status; }
const char* error_message(const lf_error* error) { return error->message.c_str(); }
uint64_t error_command(const lf_error* error) { return error->command; }
uint32_t error_op(const lf_error* error) { return error->op; }

}  // namespace

extern "C" LF_EXPORT const lf_backend* lf_backend_entry(uint32_t abi_major) {
  static const lf_backend backend = {
      sizeof(lf_backend), LF_ABI_MAJOR, LF_ABI_MINOR, vendor_name(), LF_BACKEND_VERSION, nullptr,
      error_status, error_message, error_command, error_op, free_error,
      device_count, device_properties, device_open, device_close, device_opened_properties, device_memory,
      buffer_alloc, buffer_map_file, buffer_free, buffer_size,
      supports, packed_size,
      queue_create, queue_destroy, queue_submit, queue_write, queue_read, queue_flush,
      event_record, event_wait, event_synchronize, event_free,
      profile,
  };
  return abi_major == LF_ABI_MAJOR ? &backend : nullptr;
}
