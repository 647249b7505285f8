#include "recorder.h"

#include <algorithm>
#include <cstring>

#include "../kernels/check.h"

using namespace lf;

namespace lf_gpu {

CommandRecorder::~CommandRecorder() {
  if (workspace_.data) device_->memory.give_back(workspace_);
  for (const auto& block : outgrown_) device_->memory.give_back(block);
}

const char* CommandRecorder::fail(int status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text_, sizeof text_, format, arguments);
  va_end(arguments);
  status_ = static_cast<lf_status>(status);
  return text_;
}

void* CommandRecorder::workspace(uint64_t bytes) {
  bytes = (std::max<uint64_t>(bytes, 1) + 255) / 256 * 256;
  if (workspace_used_ + bytes > workspace_.bytes) {
    // What was handed out of the old one stays where it is, until the device is past this command.
    DeviceMemory::Block larger;
    std::string why;
    const uint64_t wanted = workspace_used_ + bytes + bytes / 8;
    char purpose[64];
    snprintf(purpose, sizeof purpose, "workspace of op %u", command_->op);
    if (!device_->memory.take(wanted, Consumer::kWorkspace, purpose, &larger, &why) &&
        !device_->memory.take(bytes, Consumer::kWorkspace, purpose, &larger, &why)) {
      fail(LF_OUT_OF_MEMORY, "%s", why.c_str());
      return nullptr;
    }
    if (workspace_.data) outgrown_.push_back(workspace_);
    workspace_ = larger;
    workspace_used_ = 0;
  }
  void* piece = static_cast<uint8_t*>(workspace_.data) + workspace_used_;
  workspace_used_ += bytes;
  return piece;
}

const char* CommandRecorder::exhausted() { return text_; }

bool CommandRecorder::multiply_by_vendor(const BlasProduct& product, const OwnProduct& own) {
  if (!device_->blas) return false;
  const Tuner::Choice known = device_->tuner.choice(shape_of(product));
  if (known == Tuner::Choice::kOwn || (known == Tuner::Choice::kUnknown && recording_)) return false;
  void* const room = workspace(Blas::kWorkspaceBytes);
  if (!room) return false;
  if (known == Tuner::Choice::kUnknown && measure(product, own, room) != Tuner::Choice::kVendor) return false;
  return device_->blas->multiply(product, room, stream_);
}

// Both write to memory of their own, after a first time that counts for nothing.
Tuner::Choice CommandRecorder::measure(const BlasProduct& product, const OwnProduct& own, void* blas_workspace) {
  constexpr int kTimes = 5;
  Driver& driver = device_->driver;
  BlasProduct trial = product;
  trial.beta = 0.0f;
  trial.out = workspace(static_cast<uint64_t>(product.m * product.out_stride) * (product.out_type == LF_F32 ? 4 : 2));
  if (!trial.out) return Tuner::Choice::kUnknown;
  Event start = nullptr, stop = nullptr;
  driver.event_create(&start);
  driver.event_create(&stop);
  auto time = [&](auto&& run) {
    float milliseconds = -1.0f;
    if (!run()) return -1.0f;
    driver.event_record(start, stream_);
    for (int i = 0; i < kTimes; i++) {
      if (!run()) return -1.0f;
    }
    driver.event_record(stop, stream_);
    if (driver.event_synchronize(stop) || driver.event_elapsed(&milliseconds, start, stop)) return -1.0f;
    return milliseconds / kTimes;
  };
  const float by_vendor = time([&] { return device_->blas->multiply(trial, blas_workspace, stream_); });
  const float by_own = time([&] { return own(trial.out) == nullptr; });
  driver.event_destroy(start);
  driver.event_destroy(stop);
  // A device that failed says nothing about speed.
  if (by_own < 0.0f) return Tuner::Choice::kUnknown;
  return device_->tuner.learn(shape_of(product), by_own, by_vendor);
}

const char* CommandRecorder::set_bytes(void* to, uint8_t value, uint64_t bytes) {
  if (bytes == 0) return nullptr;
  const Driver::Status status = device_->driver.set_bytes(to, value, bytes, stream_);
  return status ? fail(LF_DEVICE, "%s", device_->driver.describe(status).c_str()) : nullptr;
}

const char* CommandRecorder::copy_bytes(void* to, const void* from, uint64_t bytes) {
  if (bytes == 0) return nullptr;
  const Driver::Status status = device_->driver.copy_on_device(to, from, bytes, stream_);
  return status ? fail(LF_DEVICE, "%s", device_->driver.describe(status).c_str()) : nullptr;
}

const char* CommandRecorder::collective(const Collective& what) {
  std::string why;
  return device_->collectives.run(what, stream_, &why) ? nullptr : fail(LF_DEVICE, "%s", why.c_str());
}

const char* CommandRecorder::launch_bytes(const char* kernel, Grid grid, uint32_t threads, uint32_t shared_bytes,
                                          const void* arguments, size_t bytes) {
  std::string why;
  const Function function = device_->kernels.find(kernel, shared_bytes, &why);
  if (!function) return fail(LF_DEVICE, "%s", why.c_str());
  const Driver::Status status = device_->driver.launch(function, grid, threads, shared_bytes, stream_, arguments, bytes);
  return status ? fail(LF_DEVICE, "%s: %s", kernel, device_->driver.describe(status).c_str()) : nullptr;
}

const char* CommandRecorder::check_indices(const View* operands, const IndexRule& rule) {
  const View& v = operands[rule.operand];
  const Buffer* buffer = owners_[rule.operand].get();
  const lf_tensor& t = command_tensors(command_)[rule.operand];
  if (v.elements() == 0) return nullptr;
  const uint64_t version = buffer->version.load();
  const auto same = [&](const Checked& c) {
    return c.buffer == buffer && c.version == version && c.offset == t.offset && c.count == v.elements() &&
           c.stride == t.stride[0] && c.rule.low == rule.low && c.rule.high == rule.high && c.rule.rising == rule.rising &&
           c.rule.longest == rule.longest && c.rule.excepts == rule.excepts && c.rule.exception == rule.exception;
  };
  if (std::any_of(checked_.begin(), checked_.end(), same)) return nullptr;
  CheckArgs args{};
  args.data = v.as<const int32_t>();
  args.operand = static_cast<uint32_t>(rule.operand);
  for (int d = 0; d < 4; d++) args.shape[d] = 1, args.stride[d] = 0;
  for (int d = 0; d < v.rank; d++) {
    args.shape[4 - v.rank + d] = static_cast<uint32_t>(v.shape[d]);
    args.stride[4 - v.rank + d] = static_cast<uint32_t>(v.stride[d]);
  }
  args.count = v.elements();
  args.low = rule.low, args.high = rule.high;
  args.rising = rule.rising, args.longest = rule.longest;
  args.excepts = rule.excepts, args.exception = rule.exception;
  const uint32_t blocks = static_cast<uint32_t>(std::min<int64_t>(256, (args.count + kCheckThreads - 1) / kCheckThreads));
  LF_RETURN_IF(launch("check_indices", {blocks}, kCheckThreads, 0, args));
  if (v.rank <= 1) {
    if (checked_.size() >= 16) checked_.erase(checked_.begin());
    checked_.push_back({buffer, version, t.offset, static_cast<uint32_t>(args.count), t.stride[0], rule});
  }
  return nullptr;
}

const char* CommandRecorder::resolve(const lf_command* command, View* views) {
  const lf_tensor* tensors = command_tensors(command);
  const uint32_t written = written_operands(command->op), indices = index_operands(command->op);
  uint64_t spans[kMaxOperands] = {};
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    const lf_tensor& t = tensors[i];
    if (t.buffer == 0) continue;
    owners_[i] = device_->buffers.get(t.buffer);
    if (!owners_[i]) return fail(LF_INVALID, "operand %u names buffer %u, which does not exist (any more)", i, t.buffer);
    char reason[256];
    if (!check_operand(command, i, packed_bytes, &spans[i], reason, sizeof reason)) return fail(LF_INVALID, "%s", reason);
    const Buffer& buffer = *owners_[i];
    if (t.offset > buffer.bytes() || spans[i] > buffer.bytes() - t.offset) {
      return fail(LF_INVALID, "operand %u spans %llu bytes at %llu of a buffer of %llu", i, (unsigned long long)spans[i],
                  (unsigned long long)t.offset, (unsigned long long)buffer.bytes());
    }
    describe(t, &views[i]);
    views[i].data = buffer.data() + t.offset;
    views[i].available = buffer.bytes() - t.offset;
    if (t.offset % operand_alignment(t) != 0 && spans[i] > 0) {
      return fail(LF_INVALID, "operand %u starts at byte %llu of its buffer, which is not aligned to %llu bytes", i,
                  (unsigned long long)t.offset, (unsigned long long)operand_alignment(t));
    }
    if (!buffer.writable && (written >> i & 1)) return fail(LF_INVALID, "operand %u is written, but its buffer is a file's", i);
  }
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    for (uint32_t j = 0; j < command->tensor_count && (indices >> i & 1) && spans[i]; j++) {
      if (!(written >> j & 1) || !spans[j] || owners_[i] != owners_[j]) continue;
      if (tensors[i].offset >= tensors[j].offset + spans[j] || tensors[j].offset >= tensors[i].offset + spans[i]) continue;
      return fail(LF_INVALID, "operand %u is written, but overlaps operand %u, which says where", j, i);
    }
  }
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    if ((written >> i & 1) && owners_[i]) owners_[i]->version++;
  }
  return nullptr;
}

const char* CommandRecorder::write_inline(const lf_command* command, const View* views) {
  const uint32_t* params = command_params(command);
  const uint32_t bytes = command->param_words > 0 ? params[0] : 0;
  if (command->tensor_count != 1 || command->param_words < 1 || bytes > (command->param_words - 1) * 4 || bytes > 65536) {
    return fail(LF_INVALID, "WRITE takes one operand and at most 64 KiB of data within the command");
  }
  if (!views[0].present() || bytes > views[0].available) return fail(LF_INVALID, "WRITE of %u bytes does not fit its operand", bytes);
  // The data travels as the arguments of a kernel, which need no staging.
  for (uint32_t done = 0; done < bytes; done += kWriteBytes) {
    WriteArgs args{};
    args.to = views[0].data + done;
    args.bytes = std::min(bytes - done, kWriteBytes);
    memcpy(args.data, reinterpret_cast<const uint8_t*>(params + 1) + done, args.bytes);
    LF_RETURN_IF(launch("write_bytes", {1}, kCheckThreads, 0, args));
  }
  return nullptr;
}

const char* CommandRecorder::execute(const lf_command* command) {
  const OpEntry* op = find_op(command->op);
  if (!op && command->op != LF_OP_WRITE) return fail(LF_UNSUPPORTED, "op %u is not known to this backend", command->op);
  View views[kMaxOperands] = {};
  LF_RETURN_IF(resolve(command, views));
  if (!op) return write_inline(command, views);
  uint32_t padded[kParamPadding] = {};
  memcpy(padded, command_params(command), std::min<size_t>(command->param_words, kParamPadding) * 4);
  const int count = static_cast<int>(command->tensor_count);
  LF_RETURN_IF(op->check(*this, padded, views, count));
  return op->run(*this, padded, views, count);
}

lf_error* CommandRecorder::run(const lf_command* command, uint64_t at) {
  command_ = command;
  serial_ = serial_ + 1 ? serial_ + 1 : 1;
  workspace_used_ = 0;
  issued_.push_back({serial_, command->op, at});
  // The kernels of commands without a fault need not be remembered for ever.
  if (issued_.size() > 1 << 16) issued_.erase(issued_.begin(), issued_.begin() + (1 << 15));
  const char* failed;
  if (device_->profile.enabled()) {
    Driver& driver = device_->driver;
    Event start = nullptr, stop = nullptr;
    driver.event_create(&start);
    driver.event_create(&stop);
    driver.event_record(start, stream_);
    failed = execute(command);
    driver.event_record(stop, stream_);
    driver.event_synchronize(stop);
    float milliseconds = 0.0f;
    driver.event_elapsed(&milliseconds, start, stop);
    driver.event_destroy(start);
    driver.event_destroy(stop);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < command->tensor_count; i++) {
      const lf_tensor& t = command_tensors(command)[i];
      uint64_t elements = t.buffer != 0;
      for (int d = 0; d < t.rank && d < LF_MAX_RANK; d++) elements *= t.shape[d];
      bytes += elements * storage_bits(t.dtype) / 8;
    }
    device_->profile.add(command->op, static_cast<uint64_t>(milliseconds * 1e6f), bytes);
  } else {
    failed = execute(command);
  }
  for (auto& owner : owners_) owner.reset();
  if (!failed) return nullptr;
  lf_error* error = make_error(status_, "%s", failed);
  if (error != exhausted_error()) error->command = at, error->op = command->op;
  return error;
}

}  // namespace lf_gpu
