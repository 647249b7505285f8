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

// Whether two commands are of one op and read the same memory as their operand 0.
bool same_first_operand(const lf_command* a, const lf_command* b) {
  if (a->op != b->op || a->tensor_count == 0 || b->tensor_count == 0) return false;
  const lf_tensor &x = command_tensors(a)[0], &y = command_tensors(b)[0];
  return x.buffer != 0 && x.buffer == y.buffer && x.offset == y.offset;
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

const char* lf_device::resolve(const lf_command* command, Resolved* resolved) {
  View* views = resolved->views;
  std::shared_ptr<Buffer>* owners = resolved->owners;
  resolved->command = command;
  resolved->params = padded_params(command, resolved->padded);
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

const char* lf_device::check_mappings(const Resolved& resolved) {
  for (uint32_t i = 0; i < resolved.command->tensor_count; i++) {
    const auto& owner = resolved.owners[i];
    if (!owner || !owner->mapping.damaged()) continue;
    return fail(LF_IO, "%s cannot be read any more: it was made shorter while it was in use, or its storage failed",
                owner->mapping.path().c_str());
  }
  return nullptr;
}

const char* lf_device::run_alone(const KernelEntry& kernel, const Resolved& resolved) {
  const uint64_t start = profile.enabled() ? Profile::now() : 0;
  const lf_command* command = resolved.command;
  const char* failed = kernel.run(*this, resolved.params, resolved.views, static_cast<int>(command->tensor_count));
  if (failed) return failed;
  if (profile.enabled()) profile.add(command, resolved.params, resolved.views, Profile::now() - start);
  return check_mappings(resolved);
}

// A command that cannot be resolved, or does not join, is left for later: it then fails or runs by itself.
const char* lf_device::run_joint(const KernelEntry& kernel, const Resolved& first, const uint8_t* end, uint64_t* ran) {
  Resolved others[kMaxJoint - 1];
  JointCommand commands[kMaxJoint] = {first.joint()};
  int count = 1;
  const uint8_t* next = reinterpret_cast<const uint8_t*>(first.command) + *ran;
  for (; count < kMaxJoint && next < end; count++) {
    const auto* command = reinterpret_cast<const lf_command*>(next);
    if (!same_first_operand(first.command, command) || resolve(command, &others[count - 1])) break;
    commands[count] = others[count - 1].joint();
    bool joins = true;
    for (int i = 0; i < count && joins; i++) joins = kernel.joins(*this, commands[i], commands[count]);
    if (!joins) break;
    next += command->bytes;
  }
  if (count == 1) return run_alone(kernel, first);
  *ran = static_cast<uint64_t>(next - reinterpret_cast<const uint8_t*>(first.command));
  const uint64_t start = profile.enabled() ? Profile::now() : 0;
  if (const char* failed = kernel.run_joint(*this, commands, count)) return failed;
  uint64_t nanoseconds = profile.enabled() ? Profile::now() - start : 0;
  const char* failed = nullptr;
  for (int i = 0; i < count && !failed; i++) {
    const Resolved& each = i == 0 ? first : others[i - 1];
    // The time is that of all; it counts with the first.
    if (profile.enabled()) profile.add(each.command, each.params, each.views, i == 0 ? nanoseconds : 0);
    failed = check_mappings(each);
  }
  return failed;
}

const char* lf_device::execute(const lf_command* command, const uint8_t* end, uint64_t* ran) {
  *ran = command->bytes;
  const KernelEntry* kernel = find_kernel(kernels, command->op);
  if (!kernel && command->op != LF_OP_WRITE) {
    return fail(LF_UNSUPPORTED, "op %u is not known to this backend", command->op);
  }
  Resolved resolved;
  if (const char* failed = resolve(command, &resolved)) return failed;
  if (!kernel) return write_inline(command, resolved.views);
  const uint8_t* next = reinterpret_cast<const uint8_t*>(command) + command->bytes;
  const bool followed =
      kernel->joins && next < end && same_first_operand(command, reinterpret_cast<const lf_command*>(next));
  return followed ? run_joint(*kernel, resolved, end, ran) : run_alone(*kernel, resolved);
}

lf_error* lf_device::run(const uint8_t* stream, uint64_t bytes, uint64_t* at) {
  std::lock_guard<std::mutex> lock(busy_);
  const auto* command = reinterpret_cast<const lf_command*>(stream + *at);
  uint64_t ran = 0;
  const char* failed = execute(command, stream + bytes, &ran);
  if (failed) return failure_.take(failed, *at, command->op);
  *at += ran;
  return nullptr;
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
