// Hands the commands of one queue to the device's stream: resolves operands, has indices checked, launches kernels.
#pragma once
#include <memory>
#include <vector>

#include "context.h"
#include "device.h"
#include "error.h"
#include "stream.h"

namespace lf_gpu {

class CommandRecorder final : private Context {
 public:
  explicit CommandRecorder(lf_device* device) : device_(device) {}
  ~CommandRecorder() override;

  void begin(Stream stream, Fault* fault) { stream_ = stream, fault_ = fault; }
  // Null, or the error; `at` is the command's offset within its stream.
  lf_error* run(const lf_command* command, uint64_t at);

  // While a graph is recorded, nothing can be measured.
  void record_graph(bool recording) { recording_ = recording; }
  // What was handed over did not reach the device: indices count as unchecked again.
  void forget_checks() { checked_.clear(); }

  // Commands that were handed over, to find the one that a fault belongs to.
  struct Issued {
    uint32_t serial, op;
    uint64_t at;
  };
  std::vector<Issued> take_issued() { return std::move(issued_); }
  // Workspaces that were outgrown: free once the device is past them.
  std::vector<DeviceMemory::Block> take_outgrown() { return std::move(outgrown_); }

 private:
  const DeviceInfo& info() const override { return device_->info; }
  const char* fail(int status, const char* format, ...) override __attribute__((format(printf, 3, 4)));
  void* workspace(uint64_t bytes) override;
  const char* exhausted() override;
  const char* check_indices(const View* operands, const IndexRule& rule) override;
  bool multiply_by_vendor(const BlasProduct& product, const OwnProduct& own) override;
  const char* set_bytes(void* to, uint8_t value, uint64_t bytes) override;
  const char* copy_bytes(void* to, const void* from, uint64_t bytes) override;
  const char* collective(const Collective& what) override;
  Head head() const override { return {fault_, serial_, 0}; }
  const char* launch_bytes(const char* kernel, Grid grid, uint32_t threads, uint32_t shared_bytes, const void* arguments,
                           size_t bytes) override;

  Tuner::Choice measure(const BlasProduct& product, const OwnProduct& own, void* blas_workspace);

  const char* resolve(const lf_command* command, View* views);
  const char* write_inline(const lf_command* command, const View* views);
  const char* execute(const lf_command* command);

  lf_device* device_;
  Stream stream_ = nullptr;
  Fault* fault_ = nullptr;
  uint32_t serial_ = 0;
  bool recording_ = false;
  const lf_command* command_ = nullptr;
  std::shared_ptr<Buffer> owners_[lf::kMaxOperands];
  std::vector<Issued> issued_;

  // A command's workspaces lie one behind the other; the next command starts anew, since the stream runs in order.
  DeviceMemory::Block workspace_;
  std::vector<DeviceMemory::Block> outgrown_;
  uint64_t workspace_used_ = 0;

  // Indices that are known to keep to a rule, as long as their buffer's version is the same.
  struct Checked {
    const Buffer* buffer;
    uint64_t version, offset;
    uint32_t count, stride;
    IndexRule rule;
  };
  std::vector<Checked> checked_;

  lf_status status_ = LF_INTERNAL;
  char text_[768] = "";
};

}  // namespace lf_gpu
