// A device object: memory, threads and the kernels of one ISA level. Queues share them.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "buffers.h"
#include "device_group.h"
#include "error.h"
#include "profile.h"
#include "stream.h"
#include "thread_pool.h"

namespace lf_cpu {

// The latest failure of a kernel, or of a check before it.
class Failure {
 public:
  const char* set(lf_status status, const char* format, va_list arguments);
  // The error object; `message` is what the kernel returned. Forgets the failure.
  lf_error* take(const char* message, uint64_t at, uint32_t op);

 private:
  lf_status status_ = LF_INTERNAL;
  char text_[768];
};

}  // namespace lf_cpu

struct lf_device final : private lf_cpu::Context {
  // Throws std::bad_alloc or std::system_error.
  lf_device(const lf_cpu::KernelTable& table, int threads, uint64_t memory_limit, bool urgent = false);

  // Runs the command at byte `at` of a stream, together with those after it that join it, and moves `at` behind them; null on
  // success. Commands of several queues take turns.
  lf_error* run(const uint8_t* stream, uint64_t bytes, uint64_t* at);
  // May be called from any thread at any time: it does not wait for the command that runs.
  lf_error* supports(const lf_command* command) const;
  int threads() const { return pool_.workers(); }
  // The groups that it is in fail: what follows in one of its queues is skipped. Or it leaves them.
  void fail_groups(const std::string& why) { lf::DeviceGroup::fail(static_cast<lf_cpu::Context*>(this), why); }
  void leave_groups() { lf::DeviceGroup::leave(static_cast<lf_cpu::Context*>(this)); }

  const lf_cpu::KernelTable& kernels;
  // Whether its threads ask the system to run soon after they wake.
  const bool urgent;
  lf_cpu::BufferTable buffers;
  lf_cpu::Profile profile;
  std::mutex queues_mutex;
  std::vector<lf_queue*> queues;

 private:
  int workers() const override { return pool_.workers(); }
  void parallel(int64_t count, lf_cpu::Task fn, void* user) override;
  void* shared(size_t bytes) override;
  void* local(int worker, size_t bytes) override;
  const char* fail(lf_status status, const char* format, ...) override __attribute__((format(printf, 3, 4)));

  // A command's operands and parameters as kernels take them.
  struct Resolved {
    const lf_command* command;
    lf_cpu::View views[lf::kMaxOperands] = {};
    std::shared_ptr<lf_cpu::Buffer> owners[lf::kMaxOperands];
    uint32_t padded[lf::kParamPadding] = {};
    const uint32_t* params;

    lf_cpu::JointCommand joint() const { return {params, views, static_cast<int>(command->tensor_count)}; }
  };
  const char* resolve(const lf_command* command, Resolved* resolved);
  const char* write_inline(const lf_command* command, const lf_cpu::View* views);
  const char* check_mappings(const Resolved& resolved);
  const char* run_alone(const lf_cpu::KernelEntry& kernel, const Resolved& resolved);
  const char* run_joint(const lf_cpu::KernelEntry& kernel, const Resolved& first, const uint8_t* end, uint64_t* ran);
  // `ran` is set to the bytes of the commands that ran.
  const char* execute(const lf_command* command, const uint8_t* end, uint64_t* ran);

  lf_cpu::ThreadPool pool_;
  std::mutex busy_;
  lf_cpu::MemoryBlock shared_scratch_;
  std::vector<std::unique_ptr<lf_cpu::MemoryBlock>> local_scratch_;
  lf_cpu::Failure failure_;
};
