// The N-API addon: loads backends by path and drives them through backend.h, and nothing else.
//
// Objects handed to JavaScript are externals that own a C++ object. Work never runs on JavaScript's thread; the end of
// queued work arrives through a thread-safe function that settles the promise of `flush`.
#define NAPI_VERSION 8
#include <dlfcn.h>
#include <node_api.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "largeforge/backend.h"

namespace {

const char* const kStatusNames[] = {"OK", "INVALID", "UNSUPPORTED", "OUT_OF_MEMORY", "IO", "DEVICE", "CANCELLED", "INTERNAL"};

const char* status_name(lf_status status) {
  return status >= LF_OK && status <= LF_INTERNAL ? kStatusNames[status] : "INTERNAL";
}

// ---- small wrappers of N-API. A failed call leaves a pending exception; callers return at once. ----

napi_value undefined(napi_env env) {
  napi_value value;
  napi_get_undefined(env, &value);
  return value;
}

napi_value string(napi_env env, const char* text) {
  napi_value value;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  return value;
}

napi_value number(napi_env env, double n) {
  napi_value value;
  napi_create_double(env, n, &value);
  return value;
}

void set(napi_env env, napi_value object, const char* key, napi_value value) { napi_set_named_property(env, object, key, value); }

napi_value make_error(napi_env env, const std::string& code, const std::string& message) {
  napi_value error;
  napi_create_error(env, string(env, code.c_str()), string(env, message.c_str()), &error);
  return error;
}

napi_value throw_error(napi_env env, const char* status, const std::string& message) {
  napi_throw(env, make_error(env, std::string("LF_BACKEND_") + status, message));
  return nullptr;
}

// The backend's error as a JavaScript error; frees it.
napi_value take_error(napi_env env, const lf_backend* backend, lf_error* error) {
  const std::string code = std::string("LF_BACKEND_") + status_name(backend->error_status(error));
  napi_value value = make_error(env, code, backend->error_message(error));
  if (const uint32_t op = backend->error_op(error)) set(env, value, "op", number(env, op));
  const uint64_t command = backend->error_command(error);
  if (command != UINT64_MAX) set(env, value, "command", number(env, static_cast<double>(command)));
  backend->error_free(error);
  return value;
}

napi_value throw_backend(napi_env env, const lf_backend* backend, lf_error* error) {
  napi_throw(env, take_error(env, backend, error));
  return nullptr;
}

bool get_number(napi_env env, napi_value value, double* out) { return napi_get_value_double(env, value, out) == napi_ok; }

// A whole number in [0, 2^53).
bool get_size(napi_env env, napi_value value, uint64_t* out) {
  double n;
  if (!get_number(env, value, &n) || !(n >= 0) || n > 9007199254740991.0 || n != static_cast<double>(static_cast<uint64_t>(n))) return false;
  *out = static_cast<uint64_t>(n);
  return true;
}

bool get_u32(napi_env env, napi_value value, uint32_t* out) {
  uint64_t n;
  if (!get_size(env, value, &n) || n > UINT32_MAX) return false;
  *out = static_cast<uint32_t>(n);
  return true;
}

bool get_string(napi_env env, napi_value value, std::string* out) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) return false;
  out->resize(length + 1);
  napi_get_value_string_utf8(env, value, &(*out)[0], length + 1, &length);
  out->resize(length);
  return true;
}

bool get_bytes(napi_env env, napi_value value, uint8_t** data, size_t* length) {
  bool typed = false;
  if (napi_is_typedarray(env, value, &typed) != napi_ok || !typed) return false;
  napi_typedarray_type type;
  void* start;
  return napi_get_typedarray_info(env, value, &type, length, &start, nullptr, nullptr) == napi_ok &&
         type == napi_uint8_array && (*data = static_cast<uint8_t*>(start), true);
}

// ---- the device object ----

struct Device {
  const lf_backend* backend = nullptr;
  lf_device* device = nullptr;
  lf_queue* queue = nullptr;
  napi_threadsafe_function completions = nullptr;
  // Arrays that queued copies read or write, until the next flush is over.
  std::vector<napi_ref> pinned;
  int flushing = 0;  // promises of `flush` that are not settled yet
  bool closed = false;
};

struct Flush {
  Device* device;
  const lf_backend* backend;
  napi_deferred deferred;
  std::vector<napi_ref> pinned;
  lf_error* error = nullptr;
};

void unpin(napi_env env, std::vector<napi_ref>& references) {
  for (napi_ref reference : references) napi_delete_reference(env, reference);
  references.clear();
}

// Settles the promise of a flush.
void finish(napi_env env, Flush* owned) {
  std::unique_ptr<Flush> flush(owned);
  Device* device = flush->device;
  if (flush->error) {
    napi_reject_deferred(env, flush->deferred, take_error(env, device->backend, flush->error));
  } else {
    napi_resolve_deferred(env, flush->deferred, undefined(env));
  }
  // When nothing is awaited any more, the function no longer keeps the process alive. Each flush counts: one that is
  // over does not let go of one that is still under way.
  if (--device->flushing == 0 && !device->closed) napi_unref_threadsafe_function(env, device->completions);
  unpin(env, flush->pinned);
}

// On JavaScript's thread, after `completed`. Without an environment it is going away, and takes its references along.
void settle(napi_env env, napi_value, void*, void* data) {
  auto* flush = static_cast<Flush*>(data);
  if (env) return finish(env, flush);
  if (flush->error) flush->backend->error_free(flush->error);
  delete flush;
}

// On the backend's thread.
void completed(void* user, lf_error* error) {
  auto* flush = static_cast<Flush*>(user);
  flush->error = error;
  if (napi_call_threadsafe_function(flush->device->completions, flush, napi_tsfn_nonblocking) != napi_ok) {
    if (flush->error) flush->backend->error_free(flush->error);
    delete flush;
  }
}

void close_device(Device* device) {
  if (device->closed) return;
  device->closed = true;
  device->backend->device_close(device->device);  // waits for queued work; its completions are on their way
  if (device->completions) napi_release_threadsafe_function(device->completions, napi_tsfn_release);
}

void environment_ends(void* data) { close_device(static_cast<Device*>(data)); }

void finalize_device(napi_env env, void* data, void*) {
  auto* device = static_cast<Device*>(data);
  napi_remove_env_cleanup_hook(env, environment_ends, device);
  close_device(device);
  unpin(env, device->pinned);
  delete device;
}

// The arguments of a method of a device; null (with an exception) when it is closed.
template <size_t N>
Device* arguments(napi_env env, napi_callback_info info, napi_value (&values)[N], size_t needed) {
  size_t count = N;
  napi_value self;
  void* data;
  napi_get_cb_info(env, info, &count, values, &self, nullptr);
  if (napi_unwrap(env, self, &data) != napi_ok) {
    throw_error(env, "INVALID", "not a device");
    return nullptr;
  }
  auto* device = static_cast<Device*>(data);
  if (device->closed) {
    throw_error(env, "INVALID", "the device is closed");
    return nullptr;
  }
  if (count < needed) {
    throw_error(env, "INVALID", "too few arguments");
    return nullptr;
  }
  return device;
}

napi_value properties_object(napi_env env, const lf_device_properties& p) {
  napi_value object;
  napi_create_object(env, &object);
  set(env, object, "name", string(env, p.name));
  set(env, object, "kind", string(env, p.kind));
  set(env, object, "isa", string(env, p.isa));
  set(env, object, "memoryTotal", number(env, static_cast<double>(p.memory_total)));
  set(env, object, "memoryFree", number(env, static_cast<double>(p.memory_free)));
  set(env, object, "computeUnits", number(env, p.compute_units));
  set(env, object, "alignment", number(env, p.alignment));
  napi_value unified;
  napi_get_boolean(env, p.unified_memory != 0, &unified);
  set(env, object, "unifiedMemory", unified);
  set(env, object, "kvBlockSize", number(env, p.kv_block_size));
  const char* const math[] = {"f32", "bf16", "int8"};
  set(env, object, "packedMath", string(env, math[p.packed_math <= LF_MATH_INT8 ? p.packed_math : 0]));
  return object;
}

napi_value device_properties(napi_env env, napi_callback_info info) {
  napi_value args[1];
  Device* d = arguments(env, info, args, 0);
  if (!d) return nullptr;
  lf_device_properties properties{};
  properties.struct_size = sizeof properties;
  if (lf_error* error = d->backend->device_opened_properties(d->device, &properties)) return throw_backend(env, d->backend, error);
  return properties_object(env, properties);
}

napi_value device_memory(napi_env env, napi_callback_info info) {
  napi_value args[1];
  Device* d = arguments(env, info, args, 0);
  if (!d) return nullptr;
  lf_memory_info memory{};
  memory.struct_size = sizeof memory;
  if (lf_error* error = d->backend->device_memory(d->device, &memory)) return throw_backend(env, d->backend, error);
  napi_value object;
  napi_create_object(env, &object);
  set(env, object, "total", number(env, static_cast<double>(memory.total)));
  set(env, object, "free", number(env, static_cast<double>(memory.free)));
  set(env, object, "allocated", number(env, static_cast<double>(memory.allocated)));
  set(env, object, "peak", number(env, static_cast<double>(memory.peak)));
  set(env, object, "mapped", number(env, static_cast<double>(memory.mapped)));
  return object;
}

napi_value device_alloc(napi_env env, napi_callback_info info) {
  napi_value args[1];
  Device* d = arguments(env, info, args, 1);
  if (!d) return nullptr;
  uint64_t bytes;
  if (!get_size(env, args[0], &bytes)) return throw_error(env, "INVALID", "alloc takes a number of bytes");
  uint32_t handle;
  if (lf_error* error = d->backend->buffer_alloc(d->device, bytes, &handle)) return throw_backend(env, d->backend, error);
  return number(env, handle);
}

napi_value device_map_file(napi_env env, napi_callback_info info) {
  napi_value args[3];
  Device* d = arguments(env, info, args, 3);
  if (!d) return nullptr;
  std::string path;
  uint64_t offset, bytes;
  if (!get_string(env, args[0], &path) || !get_size(env, args[1], &offset) || !get_size(env, args[2], &bytes)) {
    return throw_error(env, "INVALID", "mapFile takes a path, an offset and a number of bytes");
  }
  uint32_t handle;
  if (lf_error* error = d->backend->buffer_map_file(d->device, path.c_str(), offset, bytes, &handle)) {
    return throw_backend(env, d->backend, error);
  }
  return number(env, handle);
}

napi_value device_free(napi_env env, napi_callback_info info) {
  napi_value args[1];
  Device* d = arguments(env, info, args, 1);
  if (!d) return nullptr;
  uint32_t handle;
  if (!get_u32(env, args[0], &handle)) return throw_error(env, "INVALID", "free takes a buffer's handle");
  if (lf_error* error = d->backend->buffer_free(d->device, handle)) return throw_backend(env, d->backend, error);
  return undefined(env);
}

napi_value device_size(napi_env env, napi_callback_info info) {
  napi_value args[1];
  Device* d = arguments(env, info, args, 1);
  if (!d) return nullptr;
  uint32_t handle;
  if (!get_u32(env, args[0], &handle)) return throw_error(env, "INVALID", "size takes a buffer's handle");
  uint64_t bytes;
  if (lf_error* error = d->backend->buffer_size(d->device, handle, &bytes)) return throw_backend(env, d->backend, error);
  return number(env, static_cast<double>(bytes));
}

napi_value device_supports(napi_env env, napi_callback_info info) {
  napi_value args[1];
  Device* d = arguments(env, info, args, 1);
  if (!d) return nullptr;
  uint8_t* data;
  size_t length;
  if (!get_bytes(env, args[0], &data, &length) || length < sizeof(lf_command)) {
    return throw_error(env, "INVALID", "supports takes one encoded command");
  }
  std::vector<lf_command> aligned(length / sizeof(lf_command));
  memcpy(aligned.data(), data, aligned.size() * sizeof(lf_command));
  if (aligned[0].bytes > aligned.size() * sizeof(lf_command)) return throw_error(env, "INVALID", "the command is cut short");
  lf_error* error = d->backend->supports(d->device, aligned.data());
  napi_value result;
  if (!error) {
    napi_get_null(env, &result);
    return result;
  }
  result = string(env, d->backend->error_message(error));
  d->backend->error_free(error);
  return result;
}

napi_value device_packed_size(napi_env env, napi_callback_info info) {
  napi_value args[5];
  Device* d = arguments(env, info, args, 5);
  if (!d) return nullptr;
  uint32_t v[5];
  for (int i = 0; i < 5; i++) {
    if (!get_u32(env, args[i], &v[i])) return throw_error(env, "INVALID", "packedSize takes dtype, layout, n, k and group");
  }
  uint64_t bytes;
  if (lf_error* error = d->backend->packed_size(d->device, v[0], v[1], v[2], v[3], v[4], &bytes)) {
    return throw_backend(env, d->backend, error);
  }
  return number(env, static_cast<double>(bytes));
}

napi_value device_submit(napi_env env, napi_callback_info info) {
  napi_value args[2];
  Device* d = arguments(env, info, args, 2);
  if (!d) return nullptr;
  uint8_t* data;
  size_t length;
  uint64_t bytes;
  if (!get_bytes(env, args[0], &data, &length) || !get_size(env, args[1], &bytes) || bytes > length) {
    return throw_error(env, "INVALID", "submit takes a Uint8Array and the number of its bytes to submit");
  }
  if (lf_error* error = d->backend->queue_submit(d->queue, data, bytes)) return throw_backend(env, d->backend, error);
  return undefined(env);
}

napi_value device_copy(napi_env env, napi_callback_info info, bool write) {
  napi_value args[3];
  Device* d = arguments(env, info, args, 3);
  if (!d) return nullptr;
  uint32_t handle;
  uint64_t offset;
  uint8_t* data;
  size_t length;
  if (!get_u32(env, args[0], &handle) || !get_size(env, args[1], &offset) || !get_bytes(env, args[2], &data, &length)) {
    return throw_error(env, "INVALID", "a copy takes a buffer's handle, an offset and a Uint8Array");
  }
  lf_error* error = write ? d->backend->queue_write(d->queue, handle, offset, data, length)
                          : d->backend->queue_read(d->queue, handle, offset, data, length);
  if (error) return throw_backend(env, d->backend, error);
  napi_ref reference;
  napi_create_reference(env, args[2], 1, &reference);
  d->pinned.push_back(reference);
  return undefined(env);
}
napi_value device_write(napi_env env, napi_callback_info info) { return device_copy(env, info, true); }
napi_value device_read(napi_env env, napi_callback_info info) { return device_copy(env, info, false); }

napi_value device_flush(napi_env env, napi_callback_info info) {
  napi_value args[1];
  Device* d = arguments(env, info, args, 0);
  if (!d) return nullptr;
  auto* flush = new Flush{d, d->backend, nullptr, std::move(d->pinned), nullptr};
  d->pinned.clear();
  // The device itself must outlive the flush, whoever drops it meanwhile.
  size_t none = 0;
  napi_value self;
  napi_get_cb_info(env, info, &none, nullptr, &self, nullptr);
  napi_ref reference;
  napi_create_reference(env, self, 1, &reference);
  flush->pinned.push_back(reference);
  napi_value promise;
  napi_create_promise(env, &flush->deferred, &promise);
  if (d->flushing++ == 0) napi_ref_threadsafe_function(env, d->completions);
  if (lf_error* error = d->backend->queue_flush(d->queue, completed, flush)) {
    flush->error = error;
    finish(env, flush);
  }
  return promise;
}

napi_value device_profile(napi_env env, napi_callback_info info) {
  napi_value args[1];
  Device* d = arguments(env, info, args, 0);
  return d ? string(env, d->backend->profile(d->device)) : nullptr;
}

napi_value device_close(napi_env env, napi_callback_info info) {
  napi_value self;
  void* data;
  size_t count = 0;
  napi_get_cb_info(env, info, &count, nullptr, &self, nullptr);
  if (napi_unwrap(env, self, &data) == napi_ok) close_device(static_cast<Device*>(data));
  return undefined(env);
}

// ---- the backend object ----

const lf_backend* this_backend(napi_env env, napi_callback_info info, size_t* count, napi_value* args) {
  napi_value self;
  void* data;
  napi_get_cb_info(env, info, count, args, &self, nullptr);
  if (napi_unwrap(env, self, &data) == napi_ok) return static_cast<const lf_backend*>(data);
  throw_error(env, "INVALID", "not a backend");
  return nullptr;
}

napi_value backend_devices(napi_env env, napi_callback_info info) {
  size_t none = 0;
  const lf_backend* backend = this_backend(env, info, &none, nullptr);
  if (!backend) return nullptr;
  uint32_t count;
  if (lf_error* error = backend->device_count(&count)) return throw_backend(env, backend, error);
  napi_value list;
  napi_create_array_with_length(env, count, &list);
  for (uint32_t i = 0; i < count; i++) {
    lf_device_properties properties{};
    properties.struct_size = sizeof properties;
    if (lf_error* error = backend->device_properties(i, &properties)) return throw_backend(env, backend, error);
    napi_set_element(env, list, i, properties_object(env, properties));
  }
  return list;
}

bool option(napi_env env, napi_value options, const char* key, napi_value* value) {
  napi_valuetype type;
  return napi_get_named_property(env, options, key, value) == napi_ok && napi_typeof(env, *value, &type) == napi_ok &&
         type != napi_undefined && type != napi_null;
}

napi_value backend_open(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value args[2];
  const lf_backend* backend = this_backend(env, info, &count, args);
  if (!backend) return nullptr;
  uint32_t index = 0;
  if (count > 0 && !get_u32(env, args[0], &index)) return throw_error(env, "INVALID", "open takes a device's number");
  lf_device_options options{};
  options.struct_size = sizeof options;
  std::string isa;
  napi_value value;
  napi_valuetype type = napi_undefined;
  if (count > 1) napi_typeof(env, args[1], &type);
  if (type == napi_object) {
    if (option(env, args[1], "threads", &value) && !get_u32(env, value, &options.threads)) {
      return throw_error(env, "INVALID", "threads is not a whole number");
    }
    if (option(env, args[1], "memoryLimit", &value) && !get_size(env, value, &options.memory_limit)) {
      return throw_error(env, "INVALID", "memoryLimit is not a number of bytes");
    }
    if (option(env, args[1], "urgent", &value)) {
      bool urgent = false;
      if (napi_get_value_bool(env, value, &urgent) != napi_ok) return throw_error(env, "INVALID", "urgent is not a boolean");
      options.urgent = urgent;
    }
    if (option(env, args[1], "isa", &value)) {
      if (!get_string(env, value, &isa)) return throw_error(env, "INVALID", "isa is not a string");
      options.isa = isa.c_str();
    }
  }
  auto device = std::make_unique<Device>();
  device->backend = backend;
  if (lf_error* error = backend->device_open(index, &options, &device->device)) return throw_backend(env, backend, error);
  if (lf_error* error = backend->queue_create(device->device, &device->queue)) {
    backend->device_close(device->device);
    return throw_backend(env, backend, error);
  }
  napi_create_threadsafe_function(env, nullptr, nullptr, string(env, "largeforge queue"), 0, 1, nullptr, nullptr, nullptr,
                                  settle, &device->completions);
  napi_unref_threadsafe_function(env, device->completions);
  napi_value object;
  napi_create_object(env, &object);
  const napi_property_descriptor methods[] = {
#define METHOD(name, fn) {name, nullptr, fn, nullptr, nullptr, nullptr, napi_enumerable, nullptr}
      METHOD("properties", device_properties), METHOD("memory", device_memory),   METHOD("alloc", device_alloc),
      METHOD("mapFile", device_map_file),      METHOD("free", device_free),       METHOD("size", device_size),
      METHOD("supports", device_supports),     METHOD("packedSize", device_packed_size),
      METHOD("submit", device_submit),         METHOD("write", device_write),     METHOD("read", device_read),
      METHOD("flush", device_flush),           METHOD("profile", device_profile), METHOD("close", device_close),
  };
  napi_define_properties(env, object, sizeof methods / sizeof *methods, methods);
  napi_add_env_cleanup_hook(env, environment_ends, device.get());
  napi_wrap(env, object, device.release(), finalize_device, nullptr, nullptr);
  return object;
}

napi_value load_backend(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value args[1];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  std::string path;
  if (count < 1 || !get_string(env, args[0], &path)) return throw_error(env, "INVALID", "loadBackend takes the path of a library");
  // Never closed: code of the library may still be on some thread's stack when the process ends.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return throw_error(env, "DEVICE", dlerror());
  auto entry = reinterpret_cast<lf_backend_entry_fn>(dlsym(library, "lf_backend_entry"));
  if (!entry) return throw_error(env, "INVALID", path + " is no LargeForge backend: it does not export lf_backend_entry");
  const lf_backend* backend = entry(LF_ABI_MAJOR);
  if (!backend) {
    return throw_error(env, "UNSUPPORTED", path + " does not speak version " + std::to_string(LF_ABI_MAJOR) + " of the backend ABI");
  }
  if (backend->struct_size < sizeof(lf_backend)) {
    return throw_error(env, "UNSUPPORTED", path + " was built for an older minor version of the backend ABI");
  }
  napi_value object, abi;
  napi_create_object(env, &object);
  set(env, object, "name", string(env, backend->name));
  set(env, object, "version", string(env, backend->version));
  napi_create_array_with_length(env, 2, &abi);
  napi_set_element(env, abi, 0, number(env, backend->abi_major));
  napi_set_element(env, abi, 1, number(env, backend->abi_minor));
  set(env, object, "abi", abi);
  const napi_property_descriptor methods[] = {METHOD("devices", backend_devices), METHOD("open", backend_open)};
  napi_define_properties(env, object, sizeof methods / sizeof *methods, methods);
  napi_wrap(env, object, const_cast<lf_backend*>(backend), nullptr, nullptr, nullptr);
  return object;
}

}  // namespace

NAPI_MODULE_INIT() {
  const napi_property_descriptor methods[] = {METHOD("loadBackend", load_backend)};
  napi_define_properties(env, exports, sizeof methods / sizeof *methods, methods);
  return exports;
}
