// The seam between the runtime of the CPU backend and its kernels.
//
// The runtime checks handles, ranges and ranks, resolves operands to pointers and calls one kernel per command on the
// queue's thread. A kernel checks shapes and dtypes, splits its work with `parallel`, and returns a message on failure.
// Every file in kernels/ is compiled once per ISA level (LF_ISA names the level's namespace); each level exports one
// table. The partition of work must not influence results: the order of every sum depends on shapes alone, never on
// the number of threads.
#pragma once
#include <cstddef>
#include <cstdint>

#include "largeforge/backend.h"
#include "view.h"

namespace lf_cpu {

using namespace lf;

// Work of one kernel call: fn(user, task, worker). worker < Context::workers().
using Task = void (*)(void* user, int64_t task, int worker);

class Context {
 public:
  virtual int workers() const = 0;
  // Runs tasks 0..count-1 on the pool and the calling thread; returns when all are done. Tasks are handed out by an
  // atomic counter. Nested calls run inline.
  virtual void parallel(int64_t count, Task fn, void* user) = 0;
  // Scratch memory of this kernel call, 64-byte aligned, kept between calls and grown as needed. `shared` belongs to the
  // call, `local` to one worker. Null when memory is exhausted.
  virtual void* shared(size_t bytes) = 0;
  virtual void* local(int worker, size_t bytes) = 0;
  // Formats a message that lives until the next call; kernels return it: `return ctx.fail(LF_INVALID, "...", ...)`.
  virtual const char* fail(lf_status status, const char* format, ...) = 0;

  template <typename F>
  void for_each(int64_t count, F&& fn) {
    parallel(count, [](void* user, int64_t task, int worker) { (*static_cast<F*>(user))(task, worker); }, &fn);
  }

 protected:
  ~Context() = default;
};

// params holds param_words 32-bit words, followed by zeros up to at least 16 words. operands has `count` entries,
// followed by absent ones up to at least 16. Returns null on success, else the message of ctx.fail.
using Kernel = const char* (*)(Context& ctx, const uint32_t* params, const View* operands, int count);
// Answers whether the kernel takes these dtypes, layouts and shapes: null, or the reason why not. Data is not looked at.
using Supports = const char* (*)(Context& ctx, const uint32_t* params, const View* operands, int count);

// One of several commands of an op that run as one.
struct JointCommand {
  const uint32_t* params;
  const View* operands;
  int count;
};
constexpr int kMaxJoint = 4;
// Answers whether `next`, which follows `first` (perhaps with others that join it between them) and reads the same operand 0,
// may run together with `first` alone. Whether it may with the others too follows from that for each of them.
using Joins = bool (*)(Context& ctx, const JointCommand& first, const JointCommand& next);
// Runs 2 .. kMaxJoint commands, all pairs of which join, with the results that they have one after the other.
using RunJoint = const char* (*)(Context& ctx, const JointCommand* commands, int count);

struct KernelEntry {
  Kernel run;
  Supports supports;  // may be null: `run`'s own checks then decide at run time
  // Null where commands always run one by one.
  Joins joins = nullptr;
  RunJoint run_joint = nullptr;
};

constexpr int kMaxOp = 192;

struct KernelTable {
  const char* isa;  // "portable", "avx2", "avx512", "avx512-bf16", "amx"
  KernelEntry entry[kMaxOp];  // indexed by lf_op
  // Bytes of a packed weight; 0 when the combination is not supported.
  uint64_t (*packed_size)(uint32_t dtype, uint32_t layout, uint32_t n, uint32_t k, uint32_t group);
};

// Each source in kernels/ defines, in namespace lf_cpu::LF_ISA, a function `void register_<file>(KernelTable&)`;
// kernels/table.cpp calls them all and defines `const KernelTable& LF_ISA_table()`.

}  // namespace lf_cpu
