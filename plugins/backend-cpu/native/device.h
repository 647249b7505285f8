// A device object: memory, threads and the kernels of one ISA level. Queues share them.
#pragma once
#include <cstdarg>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "buffers.h"
#include "error.h"
#include "thread_pool.h"

namespace lf_cpu {

struct Timing {
  uint64_t calls = 0, nanoseconds = 0;
};

class Scratch {
 public:
  ~Scratch();
  void* get(size_t bytes);

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lf_cpu

struct lf_device final : lf_cpu::Context {
  lf_device(const lf_cpu::KernelTable& table, int threads, uint64_t memory_limit);
  // A pool of its own would be torn down by the base: nothing here is virtual beyond Context.

  int workers() const override { return pool.workers(); }
  void parallel(int64_t count, lf_cpu::Task fn, void* user) override;
  void* shared(size_t bytes) override { return shared_scratch.get(bytes); }
  void* local(int worker, size_t bytes) override { return local_scratch[static_cast<size_t>(worker)].get(bytes); }
  const char* fail(lf_status status, const char* format, ...) override __attribute__((format(printf, 3, 4)));

  // Runs one command; null on success. Only one command of a device runs at a time.
  lf_error* run(const lf_command* command, uint64_t at);
  lf_error* supports(const lf_command* command);
  const char* take_profile();

  const lf_cpu::KernelTable& kernels;
  lf_cpu::BufferTable buffers;
  lf_cpu::ThreadPool pool;
  std::mutex busy;  // kernels of several queues take turns
  std::mutex queues_mutex;
  std::vector<lf_queue*> queues;

 private:
  lf_error* resolve(const lf_command* command, lf_cpu::View* views, std::shared_ptr<lf_cpu::Buffer>* owners, uint64_t at);
  lf_error* failure(uint64_t at, uint32_t op);
  lf_error* write_inline(const lf_command* command, uint64_t at);

  lf_cpu::Scratch shared_scratch;
  std::vector<lf_cpu::Scratch> local_scratch;
  lf_status failed_status = LF_OK;
  char message[512];
  bool profiling;
  std::map<uint32_t, lf_cpu::Timing> timings;
  std::string profile_text;
};
