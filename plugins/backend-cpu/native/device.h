// A device object: memory, threads and the kernels of one ISA level. Queues share them.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "buffers.h"
#include "device_group.h"
#include "error.h"
#include "profile.h"
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

  // Runs one command; null on success. Commands of several queues take turns.
  lf_error* run(const lf_command* command, uint64_t at);
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

  const char* resolve(const lf_command* command, lf_cpu::View* views, std::shared_ptr<lf_cpu::Buffer>* owners);
  const char* write_inline(const lf_command* command, const lf_cpu::View* views);
  const char* execute(const lf_command* command);

  lf_cpu::ThreadPool pool_;
  std::mutex busy_;
  lf_cpu::MemoryBlock shared_scratch_;
  std::vector<std::unique_ptr<lf_cpu::MemoryBlock>> local_scratch_;
  lf_cpu::Failure failure_;
};
