#include "session.h"

#include <dlfcn.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace conformance {
namespace {

[[noreturn]] void give_up(const std::string& message) {
  fprintf(stderr, "%s\n", message.c_str());
  exit(2);
}

struct Completion {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  lf_error* error = nullptr;
};

void completed(void* user, lf_error* error) {
  auto* completion = static_cast<Completion*>(user);
  std::lock_guard<std::mutex> lock(completion->mutex);
  completion->error = error;
  completion->done = true;
  completion->changed.notify_one();
}

}  // namespace

const lf_backend* load_backend(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) give_up(dlerror());
  auto entry = reinterpret_cast<lf_backend_entry_fn>(dlsym(library, "lf_backend_entry"));
  if (!entry) give_up(std::string(path) + " does not export lf_backend_entry");
  if (entry(LF_ABI_MAJOR + 1)) give_up(std::string(path) + " claims to speak an ABI that does not exist yet");
  const lf_backend* backend = entry(LF_ABI_MAJOR);
  if (!backend || backend->struct_size < sizeof(lf_backend)) give_up(std::string(path) + " does not speak this ABI");
  return backend;
}

Session::Session(const lf_backend* backend, uint32_t threads, const char* isa) : backend_(backend) {
  lf_device_options options{};
  options.struct_size = sizeof options;
  options.threads = threads;
  options.isa = isa;
  Outcome opened = take(backend->device_open(0, &options, &device_));
  if (opened.ok()) opened = take(backend->queue_create(device_, &queue_));
  if (!opened.ok()) give_up(opened.message);
}

Session::~Session() {
  backend_->queue_destroy(queue_);
  backend_->device_close(device_);
}

Outcome Session::take(lf_error* error) {
  Outcome outcome;
  if (!error) return outcome;
  outcome.status = backend_->error_status(error);
  outcome.message = backend_->error_message(error);
  outcome.command = backend_->error_command(error);
  outcome.op = backend_->error_op(error);
  backend_->error_free(error);
  return outcome;
}

uint32_t Session::alloc(uint64_t bytes) {
  uint32_t handle = 0;
  const Outcome outcome = take(backend_->buffer_alloc(device_, bytes, &handle));
  if (!outcome.ok()) give_up(outcome.message);
  return handle;
}

void Session::free(uint32_t buffer) {
  const Outcome outcome = take(backend_->buffer_free(device_, buffer));
  if (!outcome.ok()) give_up(outcome.message);
}

Outcome Session::flush() {
  Completion completion;
  const Outcome outcome = take(backend_->queue_flush(queue_, completed, &completion));
  if (!outcome.ok()) return outcome;
  std::unique_lock<std::mutex> lock(completion.mutex);
  completion.changed.wait(lock, [&] { return completion.done; });
  return take(completion.error);
}

Outcome Session::write(uint32_t buffer, const std::vector<uint8_t>& bytes) {
  const Outcome outcome = take(backend_->queue_write(queue_, buffer, 0, bytes.data(), bytes.size()));
  return outcome.ok() ? flush() : outcome;
}

Outcome Session::read(uint32_t buffer, std::vector<uint8_t>& bytes) {
  const Outcome outcome = take(backend_->queue_read(queue_, buffer, 0, bytes.data(), bytes.size()));
  return outcome.ok() ? flush() : outcome;
}

Outcome Session::run(const std::vector<uint8_t>& stream) {
  const Outcome outcome = take(backend_->queue_submit(queue_, stream.data(), stream.size()));
  return outcome.ok() ? flush() : outcome;
}

Outcome Session::supports(const std::vector<uint8_t>& command) {
  return take(backend_->supports(device_, reinterpret_cast<const lf_command*>(command.data())));
}

uint64_t Session::packed_size(lf_dtype dtype, lf_layout layout, uint32_t n, uint32_t k, uint32_t group) {
  uint64_t bytes = 0;
  return take(backend_->packed_size(device_, dtype, layout, n, k, group, &bytes)).ok() ? bytes : 0;
}

lf_device_properties Session::properties() {
  lf_device_properties properties{};
  properties.struct_size = sizeof properties;
  const Outcome outcome = take(backend_->device_opened_properties(device_, &properties));
  if (!outcome.ok()) give_up(outcome.message);
  return properties;
}

void encode(std::vector<uint8_t>& stream, uint32_t op, const std::vector<uint32_t>& params, const std::vector<lf_tensor>& tensors) {
  const size_t padded = (params.size() + 3) / 4 * 4, start = stream.size();
  lf_command command{};
  command.op = op;
  command.param_words = static_cast<uint32_t>(params.size());
  command.tensor_count = static_cast<uint32_t>(tensors.size());
  command.bytes = static_cast<uint32_t>(sizeof command + padded * 4 + tensors.size() * sizeof(lf_tensor));
  stream.resize(start + command.bytes);
  uint8_t* at = stream.data() + start;
  memcpy(at, &command, sizeof command);
  if (!params.empty()) memcpy(at + sizeof command, params.data(), params.size() * 4);
  memcpy(at + sizeof command + padded * 4, tensors.data(), tensors.size() * sizeof(lf_tensor));
}

}  // namespace conformance
