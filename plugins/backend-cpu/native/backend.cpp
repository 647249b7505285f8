// The table of the ABI for the CPU.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <new>

#include "cpu_features.h"
#include "queue.h"
#include "scheduling.h"
#include "stream.h"
#include "system_memory.h"

using namespace lf_cpu;

namespace {

void fill_properties(const KernelTable& kernels, int threads, lf_device_properties* out) {
  lf_device_properties p{};
  p.struct_size = std::min(out->struct_size, sizeof p);
  cpu_name(p.name, sizeof p.name);
  snprintf(p.kind, sizeof p.kind, "cpu");
  snprintf(p.isa, sizeof p.isa, "%s", kernels.isa);
  const SystemMemory memory = system_memory();
  p.memory_total = memory.total;
  p.memory_free = memory.available;
  p.compute_units = static_cast<uint32_t>(threads);
  p.alignment = 64;
  p.unified_memory = 1;
  p.kv_block_size = 32;
  p.packed_math = LF_MATH_INT8;
  memcpy(out, &p, p.struct_size);
}

lf_error* device_count(uint32_t* count) {
  *count = 1;
  return nullptr;
}

lf_error* no_device(uint32_t index) { return make_error(LF_DEVICE, "there is no CPU device %u; there is one, number 0", index); }

lf_error* device_properties(uint32_t index, lf_device_properties* out) {
  return guarded([&]() -> lf_error* {
    if (index != 0) return no_device(index);
    char reason[256];
    const KernelTable* kernels = select_kernels(nullptr, reason, sizeof reason);
    if (!kernels) return make_error(LF_DEVICE, "%s", reason);
    fill_properties(*kernels, usable_processors(), out);
    return nullptr;
  });
}

lf_error* device_open(uint32_t index, const lf_device_options* given, lf_device** out) {
  return guarded([&]() -> lf_error* {
    if (index != 0) return no_device(index);
    lf_device_options options{};
    if (given) memcpy(&options, given, std::min(given->struct_size, sizeof options));
    char reason[256];
    const KernelTable* kernels = select_kernels(options.isa, reason, sizeof reason);
    if (!kernels) return make_error(LF_DEVICE, "%s", reason);
    if (options.threads > 1024) return make_error(LF_INVALID, "%u threads were asked for; at most 1024", options.threads);
    const int threads = options.threads ? static_cast<int>(options.threads) : usable_processors();
    *out = new lf_device(*kernels, threads, options.memory_limit, options.urgent != 0);
    // Who waits for a device's work has something to do when it ends.
    options.urgent ? run_soon() : wake_soon();
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
    fill_properties(device->kernels, device->threads(), out);
    return nullptr;
  });
}

lf_error* device_memory(lf_device* device, lf_memory_info* out) {
  return guarded([&]() -> lf_error* {
    const SystemMemory memory = system_memory();
    lf_memory_info info{};
    info.struct_size = std::min(out->struct_size, sizeof info);
    info.total = memory.total;
    info.free = std::min(memory.available, device->buffers.left());
    info.allocated = device->buffers.allocated();
    info.peak = device->buffers.peak();
    info.mapped = device->buffers.mapped();
    memcpy(out, &info, info.struct_size);
    return nullptr;
  });
}

lf_error* no_buffer(uint32_t handle) {
  return make_error(LF_INVALID, "buffer %u does not exist (any more)", handle);
}

lf_error* buffer_alloc(lf_device* device, uint64_t bytes, uint32_t* handle) {
  return guarded([&] { return device->buffers.alloc(bytes, handle); });
}

lf_error* buffer_map_file(lf_device* device, const char* path, uint64_t offset, uint64_t bytes, uint32_t* handle) {
  return guarded([&] { return device->buffers.map(path, offset, bytes, handle); });
}

// Work that was queued before still uses the buffer: it is removed when every queue has got here.
lf_error* buffer_free(lf_device* device, uint32_t handle) {
  return guarded([&]() -> lf_error* {
    std::lock_guard<std::mutex> lock(device->queues_mutex);
    if (!device->buffers.begin_free(handle)) return no_buffer(handle);
    if (device->queues.empty()) {
      device->buffers.remove(handle);
      return nullptr;
    }
    auto left = std::make_shared<std::atomic<size_t>>(device->queues.size());
    for (lf_queue* queue : device->queues) {
      queue->then([device, handle, left] {
        if (left->fetch_sub(1) == 1) device->buffers.remove(handle);
      });
    }
    return nullptr;
  });
}

lf_error* buffer_size(lf_device* device, uint32_t handle, uint64_t* bytes) {
  return guarded([&]() -> lf_error* {
    const auto buffer = device->buffers.get_owned(handle);
    if (!buffer) return no_buffer(handle);
    *bytes = buffer->bytes;
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

lf_error* packed_size(lf_device* device, uint32_t dtype, uint32_t layout, uint32_t n, uint32_t k, uint32_t group,
                      uint64_t* bytes) {
  return guarded([&]() -> lf_error* {
    // Beyond this the size would not fit into 64 bits.
    if (n >= 1u << 30 || k >= 1u << 30) return make_error(LF_INVALID, "a weight cannot have shape [%u, %u]", n, k);
    const auto size_of = device->kernels.packed_size;
    *bytes = size_of ? size_of(dtype, layout, n, k, group) : 0;
    if (*bytes) return nullptr;
    return make_error(LF_UNSUPPORTED, "a weight of dtype %u and layout %u cannot be packed by this backend", dtype, layout);
  });
}

lf_error* queue_create(lf_device* device, lf_queue** out) {
  return guarded([&]() -> lf_error* {
    *out = new lf_queue(device);
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

const lf_backend kBackend = {
    sizeof(lf_backend), LF_ABI_MAJOR, LF_ABI_MINOR, "cpu", LF_BACKEND_VERSION, nullptr,
    error_status, error_message, error_command, error_op, free_error,
    device_count, device_properties, device_open, device_close, device_opened_properties, device_memory,
    buffer_alloc, buffer_map_file, buffer_free, buffer_size,
    supports, packed_size,
    queue_create, queue_destroy, queue_submit, queue_write, queue_read, queue_flush,
    event_record, event_wait, event_synchronize, event_free,
    profile,
};

}  // namespace

extern "C" LF_EXPORT const lf_backend* lf_backend_entry(uint32_t abi_major) {
  return abi_major == LF_ABI_MAJOR ? &kBackend : nullptr;
}
