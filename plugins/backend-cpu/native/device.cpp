#include "device.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "stream.h"

namespace lf_cpu {
namespace {
// Set while this thread runs a task: a nested parallel call then runs inline.
thread_local bool t_in_task = false;

struct TaskScope {
  Task fn;
  void* user;
};

void run_task(void* user, int64_t task, int worker) {
  auto* scope = static_cast<TaskScope*>(user);
  const bool outer = t_in_task;
  t_in_task = true;
  scope->fn(scope->user, task, worker);
  t_in_task = outer;
}
}  // namespace

Scratch::~Scratch() { free(data_); }

void* Scratch::get(size_t bytes) {
  if (bytes <= size_) return data_;
  free(data_);
  // Some slack, so that a slowly growing need does not allocate at each call.
  const size_t rounded = (bytes + bytes / 8 + 4095) / 4096 * 4096;
  data_ = aligned_alloc(4096, rounded);
  size_ = data_ ? rounded : 0;
  return data_;
}

lf_error* make_error(lf_status status, const char* format, ...) {
  char text[768];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  auto* error = new lf_error;
  error->status = status;
  error->message = text;
  return error;
}

}  // namespace lf_cpu

using namespace lf_cpu;

lf_device::lf_device(const KernelTable& table, int threads, uint64_t memory_limit)
    : kernels(table), buffers(memory_limit), pool(threads), local_scratch(static_cast<size_t>(threads)) {
  const char* setting = getenv("LF_PROFILE");
  profiling = setting && *setting && strcmp(setting, "0") != 0;
  message[0] = 0;
}

void lf_device::parallel(int64_t count, Task fn, void* user) {
  if (t_in_task) {
    // The worker's number is not known here; nested calls are for kernels that call other kernels from worker 0.
    for (int64_t i = 0; i < count; i++) fn(user, i, 0);
    return;
  }
  TaskScope scope{fn, user};
  pool.run(count, run_task, &scope);
}

const char* lf_device::fail(lf_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  failed_status = status;
  return message;
}

lf_error* lf_device::failure(uint64_t at, uint32_t op) {
  lf_error* error = make_error(failed_status == LF_OK ? LF_INTERNAL : failed_status, "%s", message);
  error->command = at;
  error->op = op;
  failed_status = LF_OK;
  return error;
}

lf_error* lf_device::resolve(const lf_command* command, View* views, std::shared_ptr<Buffer>* owners, uint64_t at) {
  const lf_tensor* tensors = command_tensors(command);
  const uint32_t written = written_operands(command->op);
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    const lf_tensor& t = tensors[i];
    if (t.buffer == 0) {
      views[i] = View{};
      continue;
    }
    describe(t, &views[i]);
    owners[i] = buffers.get(t.buffer);
    if (!owners[i]) {
      fail(LF_INVALID, "operand %u names buffer %u, which does not exist (any more)", i, t.buffer);
      return failure(at, command->op);
    }
    const uint64_t span = tensor_span(t, kernels);
    if (span == UINT64_MAX) {
      fail(LF_INVALID, "operand %u has an impossible dtype, rank, shape or layout", i);
      return failure(at, command->op);
    }
    if (t.offset > owners[i]->bytes || span > owners[i]->bytes - t.offset) {
      fail(LF_INVALID, "operand %u needs bytes %llu to %llu of a buffer of %llu", i, (unsigned long long)t.offset,
           (unsigned long long)(t.offset + span), (unsigned long long)owners[i]->bytes);
      return failure(at, command->op);
    }
    if (!owners[i]->writable && (written >> i & 1)) {
      fail(LF_INVALID, "operand %u is written, but its buffer is a file mapped for reading", i);
      return failure(at, command->op);
    }
    views[i].data = owners[i]->data + t.offset;
    views[i].available = owners[i]->bytes - t.offset;
  }
  return nullptr;
}

lf_error* lf_device::write_inline(const lf_command* command, uint64_t at) {
  const uint32_t* params = command_params(command);
  const uint32_t bytes = command->param_words > 0 ? params[0] : 0;
  View view{};
  std::shared_ptr<Buffer> owner;
  if (command->tensor_count != 1 || command->param_words < 1 || bytes > (command->param_words - 1) * 4 || bytes > 65536) {
    fail(LF_INVALID, "WRITE takes one operand and at most 64 KiB of data within the command");
    return failure(at, command->op);
  }
  if (lf_error* error = resolve(command, &view, &owner, at)) return error;
  if (!view.present() || bytes > view.available) {
    fail(LF_INVALID, "WRITE of %u bytes does not fit its operand", bytes);
    return failure(at, command->op);
  }
  memcpy(view.data, params + 1, bytes);
  return nullptr;
}

lf_error* lf_device::run(const lf_command* command, uint64_t at) {
  std::lock_guard<std::mutex> lock(busy);
  if (command->op == LF_OP_WRITE) return write_inline(command, at);
  const KernelEntry* entry = command->op < kMaxOp ? &kernels.entry[command->op] : nullptr;
  if (!entry || !entry->run) {
    fail(LF_UNSUPPORTED, "op %u is not known to this backend", command->op);
    return failure(at, command->op);
  }
  View views[kMaxOperands] = {};
  std::shared_ptr<Buffer> owners[kMaxOperands];
  if (lf_error* error = resolve(command, views, owners, at)) return error;
  const uint32_t* params = command_params(command);
  uint32_t padded[kParamPadding] = {};
  if (command->param_words < kParamPadding) {
    memcpy(padded, params, command->param_words * 4);
    params = padded;
  }
  const auto start = profiling ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
  failed_status = LF_OK;
  const char* failed = entry->run(*this, params, views, static_cast<int>(command->tensor_count));
  if (profiling) {
    Timing& timing = timings[command->op];
    timing.calls++;
    timing.nanoseconds += static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count());
  }
  if (failed) return failure(at, command->op);
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    if (!owners[i] || !mapping_damaged(owners[i]->mapping)) continue;
    fail(LF_IO, "%s became shorter while it was in use", owners[i]->mapping.path.c_str());
    return failure(at, command->op);
  }
  return nullptr;
}

lf_error* lf_device::supports(const lf_command* command) {
  std::lock_guard<std::mutex> lock(busy);
  if (command->op == LF_OP_WRITE) return nullptr;
  const KernelEntry* entry = command->op < kMaxOp ? &kernels.entry[command->op] : nullptr;
  if (!entry || !entry->run) {
    fail(LF_UNSUPPORTED, "op %u is not known to this backend", command->op);
    return failure(UINT64_MAX, command->op);
  }
  View views[kMaxOperands] = {};
  const lf_tensor* tensors = command_tensors(command);
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    if (tensors[i].buffer == 0) continue;
    describe(tensors[i], &views[i]);
    // Present, but nobody reads it.
    views[i].data = reinterpret_cast<uint8_t*>(uintptr_t{64});
    if (tensor_span(tensors[i], kernels) == UINT64_MAX) {
      fail(LF_UNSUPPORTED, "operand %u has a dtype, rank, shape or layout that this backend does not know", i);
      return failure(UINT64_MAX, command->op);
    }
  }
  if (!entry->supports) return nullptr;
  uint32_t padded[kParamPadding] = {};
  memcpy(padded, command_params(command), (command->param_words < kParamPadding ? command->param_words : kParamPadding) * 4);
  if (!entry->supports(*this, padded, views, static_cast<int>(command->tensor_count))) return nullptr;
  return failure(UINT64_MAX, command->op);
}

const char* lf_device::take_profile() {
  std::lock_guard<std::mutex> lock(busy);
  profile_text = "[";
  for (const auto& [op, timing] : timings) {
    char text[128];
    snprintf(text, sizeof text, "%s{\"op\":%u,\"calls\":%llu,\"ns\":%llu}", profile_text.size() > 1 ? "," : "", op,
             (unsigned long long)timing.calls, (unsigned long long)timing.nanoseconds);
    profile_text += text;
  }
  profile_text += "]";
  timings.clear();
  return profile_text.c_str();
}
