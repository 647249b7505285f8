#include "device.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>

#include "stream.h"

namespace lf_cpu {
namespace {

// Which worker this thread is while it runs a task, else -1: a nested parallel call then runs inline, as this worker.
thread_local int t_worker = -1;

struct TaskScope {
  Task fn;
  void* user;
};

void run_task(void* user, int64_t task, int worker) {
  const auto* scope = static_cast<const TaskScope*>(user);
  t_worker = worker;
  scope->fn(scope->user, task, worker);
  t_worker = -1;
}

// Grows, with some slack so that a slowly growing need does not allocate at each call.
void* grow(MemoryBlock& scratch, size_t bytes) {
  if (bytes <= scratch.bytes()) return scratch.data();
  uint64_t left;
  const uint64_t wanted = uint64_t{bytes} + bytes / 8 + 4096;
  return scratch.take(wanted, &left) || scratch.take(bytes, &left) ? scratch.data() : nullptr;
}

// What a kernel's `supports` is called with: only failing makes sense there.
class SupportsContext final : public Context {
 public:
  explicit SupportsContext(int workers) : workers_(workers) {}
  int workers() const override { return workers_; }
  void parallel(int64_t, Task, void*) override {}
  void* shared(size_t) override { return nullptr; }
  void* local(int, size_t) override { return nullptr; }
  __attribute__((format(printf, 3, 4))) const char* fail(lf_status status, const char* format, ...) override {
    va_list arguments;
    va_start(arguments, format);
    const char* message = failure.set(status, format, arguments);
    va_end(arguments);
    return message;
  }
  Failure failure;

 private:
  int workers_;
};

// A command's parameters followed by zeros up to kParamPadding words.
const uint32_t* padded_params(const lf_command* command, uint32_t (&padded)[kParamPadding]) {
  if (command->param_words >= kParamPadding) return command_params(command);
  memcpy(padded, command_params(command), command->param_words * sizeof(uint32_t));
  return padded;
}

const KernelEntry* find_kernel(const KernelTable& kernels, uint32_t op) {
  return op < kMaxOp && kernels.entry[op].run ? &kernels.entry[op] : nullptr;
}

}  // namespace

const char* Failure::set(lf_status status, const char* format, va_list arguments) {
  status_ = status;
  vsnprintf(text_, sizeof text_, format, arguments);
  return text_;
}

lf_error* Failure::take(const char* message, uint64_t at, uint32_t op) {
  lf_error* error = make_error(message == text_ ? status_ : LF_INTERNAL, "%s", message);
  if (error == exhausted_error()) return error;
  error->command = at;
  error->op = op;
  return error;
}

}  // namespace lf_cpu

using namespace lf_cpu;

lf_device::lf_device(const KernelTable& table, int threads, uint64_t memory_limit, bool urgent)
    : kernels(table), urgent(urgent), buffers(memory_limit), pool_(threads, urgent) {
  for (int i = 0; i < threads; i++) local_scratch_.push_back(std::make_unique<MemoryBlock>());
}

void lf_device::parallel(int64_t count, Task fn, void* user) {
  if (t_worker >= 0) {
    for (int64_t i = 0; i < count; i++) fn(user, i, t_worker);
    return;
  }
  TaskScope scope{fn, user};
  pool_.run(count, run_task, &scope);
}

void* lf_device::shared(size_t bytes) { return grow(shared_scratch_, bytes); }
void* lf_device::local(int worker, size_t bytes) { return grow(*local_scratch_[static_cast<size_t>(worker)], bytes); }

const char* lf_device::fail(lf_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const char* message = failure_.set(status, format, arguments);
  va_end(arguments);
  return message;
}

const char* lf_device::resolve(const lf_command* command, View* views, std::shared_ptr<Buffer>* owners) {
  const lf_tensor* tensors = command_tensors(command);
  const uint32_t written = written_operands(command->op), indices = index_operands(command->op);
  uint64_t spans[kMaxOperands] = {};
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    const lf_tensor& t = tensors[i];
    if (t.buffer == 0) continue;
    owners[i] = buffers.get(t.buffer);
    if (!owners[i]) return fail(LF_INVALID, "operand %u names buffer %u, which does not exist (any more)", i, t.buffer);
    char reason[256];
    if (!check_operand(command, i, kernels.packed_size, &spans[i], reason, sizeof reason)) return fail(LF_INVALID, "%s", reason);
    const Buffer& buffer = *owners[i];
    if (t.offset > buffer.bytes || spans[i] > buffer.bytes - t.offset) {
      return fail(LF_INVALID, "operand %u spans %llu bytes at %llu of a buffer of %llu", i, (unsigned long long)spans[i],
                  (unsigned long long)t.offset, (unsigned long long)buffer.bytes);
    }
    describe(t, &views[i]);
    views[i].data = buffer.data + t.offset;
    views[i].available = buffer.bytes - t.offset;
    if (reinterpret_cast<uintptr_t>(views[i].data) % operand_alignment(t) != 0 && spans[i] > 0) {
      return fail(LF_INVALID, "operand %u starts at byte %llu of its buffer, which is not aligned to %llu bytes", i,
                  (unsigned long long)t.offset, (unsigned long long)operand_alignment(t));
    }
    if (!buffer.writable && (written >> i & 1)) {
      return fail(LF_INVALID, "operand %u is written, but its buffer is a file mapped for reading", i);
    }
  }
  if (!indices) return nullptr;
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    for (uint32_t j = 0; j < command->tensor_count && (indices >> i & 1) && spans[i]; j++) {
      if (!(written >> j & 1) || !spans[j] || owners[i] != owners[j]) continue;
      if (tensors[i].offset >= tensors[j].offset + spans[j] || tensors[j].offset >= tensors[i].offset + spans[i]) continue;
      return fail(LF_INVALID, "operand %u is written, but overlaps operand %u, which says where", j, i);
    }
  }
  return nullptr;
}

const char* lf_device::write_inline(const lf_command* command, const View* views) {
  const uint32_t* params = command_params(command);
  const uint32_t bytes = command->param_words > 0 ? params[0] : 0;
  if (command->tensor_count != 1 || command->param_words < 1 || bytes > (command->param_words - 1) * 4 || bytes > 65536) {
    return fail(LF_INVALID, "WRITE takes one operand and at most 64 KiB of data within the command");
  }
  if (!views[0].present() || bytes > views[0].available) {
    return fail(LF_INVALID, "WRITE of %u bytes does not fit its operand", bytes);
  }
  memcpy(views[0].data, params + 1, bytes);
  return nullptr;
}

const char* lf_device::execute(const lf_command* command) {
  const KernelEntry* kernel = find_kernel(kernels, command->op);
  if (!kernel && command->op != LF_OP_WRITE) {
    return fail(LF_UNSUPPORTED, "op %u is not known to this backend", command->op);
  }
  View views[kMaxOperands] = {};
  std::shared_ptr<Buffer> owners[kMaxOperands];
  if (const char* failed = resolve(command, views, owners)) return failed;
  if (!kernel) return write_inline(command, views);
  uint32_t padded[kParamPadding] = {};
  const uint32_t* params = padded_params(command, padded);
  const uint64_t start = profile.enabled() ? Profile::now() : 0;
  const char* failed = kernel->run(*this, params, views, static_cast<int>(command->tensor_count));
  if (failed) return failed;
  if (profile.enabled()) profile.add(command, params, views, Profile::now() - start);
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    if (!owners[i] || !owners[i]->mapping.damaged()) continue;
    return fail(LF_IO, "%s cannot be read any more: it was made shorter while it was in use, or its storage failed",
                owners[i]->mapping.path().c_str());
  }
  return nullptr;
}

lf_error* lf_device::run(const lf_command* command, uint64_t at) {
  std::lock_guard<std::mutex> lock(busy_);
  const char* failed = execute(command);
  return failed ? failure_.take(failed, at, command->op) : nullptr;
}

lf_error* lf_device::supports(const lf_command* command) const {
  SupportsContext context(pool_.workers());
  auto refusal = [&](const char* message) { return context.failure.take(message, UINT64_MAX, command->op); };
  const KernelEntry* kernel = find_kernel(kernels, command->op);
  if (!kernel && command->op != LF_OP_WRITE) {
    return refusal(context.fail(LF_UNSUPPORTED, "op %u is not known to this backend", command->op));
  }
  View views[kMaxOperands] = {};
  const lf_tensor* tensors = command_tensors(command);
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    if (tensors[i].buffer == 0) continue;
    uint64_t span;
    char reason[256];
    if (!check_operand(command, i, kernels.packed_size, &span, reason, sizeof reason)) {
      return refusal(context.fail(LF_INVALID, "%s", reason));
    }
    describe(tensors[i], &views[i]);
    // Present, as large as it must be, and read by nobody.
    views[i].data = reinterpret_cast<uint8_t*>(uintptr_t{64});
    views[i].available = span;
  }
  if (!kernel || !kernel->supports) return nullptr;
  uint32_t padded[kParamPadding] = {};
  const char* reason =
      kernel->supports(context, padded_params(command, padded), views, static_cast<int>(command->tensor_count));
  return reason ? refusal(reason) : nullptr;
}
