#include "device.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "error.h"
#include "queue.h"
#include "stream.h"

using namespace lf;
using namespace lf_gpu;

namespace {

// What an op's check is called with: only failing makes sense there.
class CheckContext final : public Context {
 public:
  explicit CheckContext(const DeviceInfo& info) : info_(info) {}
  const DeviceInfo& info() const override { return info_; }
  const char* fail(int status, const char* format, ...) override {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    this->status = static_cast<lf_status>(status);
    return text;
  }
  void* workspace(uint64_t) override { return nullptr; }
  const char* exhausted() override { return nullptr; }
  const char* check_indices(const View*, const IndexRule&) override { return nullptr; }
  bool multiply_by_vendor(const BlasProduct&, const OwnProduct&) override { return false; }
  const char* set_bytes(void*, uint8_t, uint64_t) override { return nullptr; }
  const char* copy_bytes(void*, const void*, uint64_t) override { return nullptr; }
  const char* collective(const Collective&) override { return nullptr; }

  char text[512] = "";
  lf_status status = LF_INTERNAL;

 protected:
  Head head() const override { return {}; }
  const char* launch_bytes(const char*, Grid, uint32_t, uint32_t, const void*, size_t) override { return nullptr; }

 private:
  const DeviceInfo& info_;
};

lf_error* driver_error(Driver& driver, Driver::Status status, const char* what) {
  return make_error(LF_DEVICE, "%s: %s", what, driver.describe(status).c_str());
}

}  // namespace

lf_device::lf_device(Driver& driver, int index, const DeviceInfo& info, uint64_t memory_limit)
    : driver(driver), index(index), info(info), memory(driver, info.memory, memory_limit), buffers(memory), kernels(driver), tuner(info.name) {}

lf_error* lf_device::open() {
  if (Driver::Status status = driver.open(index)) return driver_error(driver, status, "the device cannot be opened");
  opened_ = true;
  if (Driver::Status status = driver.make_current(index)) return driver_error(driver, status, "the device cannot be used");
  blas = Blas::open();
  if (lf_error* error = kernels.load(info)) return error;
  // Targets without a matrix unit for it have no such kernel.
  std::string why;
  info.multiplies_bf16 = kernels.find("gemm_packed", 0, &why) != nullptr;
  return nullptr;
}

lf_device::~lf_device() {
  if (!opened_) return;
  driver.make_current(index);
  blas.reset();
  buffers.clear();
  memory.trim();
}

lf_error* lf_device::supports(const lf_command* command) const {
  const OpEntry* op = find_op(command->op);
  if (!op && command->op != LF_OP_WRITE) return make_error(LF_UNSUPPORTED, "op %u is not known to this backend", command->op);
  View views[kMaxOperands] = {};
  const lf_tensor* tensors = command_tensors(command);
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    if (tensors[i].buffer == 0) continue;
    uint64_t span;
    char reason[256];
    if (!check_operand(command, i, packed_bytes, &span, reason, sizeof reason)) return make_error(LF_INVALID, "%s", reason);
    describe(tensors[i], &views[i]);
    // Present, as large as it must be, and read by nobody.
    views[i].data = reinterpret_cast<uint8_t*>(uintptr_t{256});
    views[i].available = span;
  }
  if (!op) return nullptr;
  uint32_t padded[kParamPadding] = {};
  memcpy(padded, command_params(command), std::min<size_t>(command->param_words, kParamPadding) * 4);
  CheckContext context(info);
  const char* reason = op->check(context, padded, views, static_cast<int>(command->tensor_count));
  if (!reason) return nullptr;
  lf_error* error = make_error(context.status, "%s", reason);
  if (error != exhausted_error()) error->op = command->op;
  return error;
}

lf_error* lf_device::read_file(const char* path, uint64_t offset, uint64_t bytes, uint32_t* handle) {
  if (bytes == 0) return make_error(LF_INVALID, "%s: a buffer of 0 bytes was asked for", path);
  struct File {
    int descriptor;
    ~File() {
      if (descriptor >= 0) close(descriptor);
    }
  } file{::open(path, O_RDONLY | O_CLOEXEC)};
  if (file.descriptor < 0) return make_error(LF_IO, "%s: %s", path, strerror(errno));
  struct stat status;
  if (fstat(file.descriptor, &status)) return make_error(LF_IO, "%s: %s", path, strerror(errno));
  if (!S_ISREG(status.st_mode)) return make_error(LF_IO, "%s is not a file", path);
  const uint64_t size = static_cast<uint64_t>(status.st_size);
  if (offset > size || bytes > size - offset) {
    return make_error(LF_IO, "%s has %llu bytes; %llu from %llu on were asked for", path, (unsigned long long)size,
                      (unsigned long long)bytes, (unsigned long long)offset);
  }
  if (Driver::Status failed = driver.make_current(index)) return driver_error(driver, failed, path);
  if (lf_error* error = buffers.alloc(bytes, Consumer::kFiles, false, handle)) return error;
  auto abandon = [&](lf_error* error) {
    buffers.begin_free(*handle);
    buffers.release(buffers.retire(*handle));
    return error;
  };
  // One half is read while the other is copied.
  const uint64_t piece = std::min<uint64_t>(bytes, 4 << 20);
  Stream stream = nullptr;
  void* staging[2] = {};
  Driver::Status failed = driver.stream_create(&stream);
  for (void*& half : staging) failed = failed ? failed : driver.host_allocate(&half, piece);
  uint8_t* const data = buffers.get(*handle)->data();
  lf_error* error = nullptr;
  for (uint64_t at = 0, turn = 0; at < bytes && !failed && !error; turn++) {
    const uint64_t count = std::min(piece, bytes - at);
    auto* half = static_cast<uint8_t*>(staging[turn % 2]);
    for (uint64_t got = 0; got < count;) {
      const ssize_t n = pread(file.descriptor, half + got, count - got, static_cast<off_t>(offset + at + got));
      if (n <= 0) {
        error = make_error(LF_IO, "%s cannot be read: %s", path, n ? strerror(errno) : "it was made shorter");
        break;
      }
      got += static_cast<uint64_t>(n);
    }
    if (error) break;
    failed = driver.stream_synchronize(stream);
    if (!failed) failed = driver.copy_to_device(data + at, half, count, stream);
    at += count;
  }
  if (stream) {
    const Driver::Status last = driver.stream_synchronize(stream);
    failed = failed ? failed : last;
    driver.stream_destroy(stream);
  }
  for (void* half : staging) {
    if (half) driver.host_release(half);
  }
  if (failed && !error) error = driver_error(driver, failed, path);
  return error ? abandon(error) : nullptr;
}
