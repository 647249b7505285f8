// The seam between the runtime and the ops. The runtime checks handles and ranges and resolves operands to device pointers;
// an op checks shapes and dtypes, takes workspace, and launches kernels on the queue's stream.
#pragma once
#include <cstdarg>
#include <cstdint>
#include <functional>

#include "../kernels/arguments.h"
#include "blas.h"
#include "collectives.h"
#include "driver.h"
#include "view.h"

namespace lf_gpu {

using lf::View;
using lf::param_f32;

// What an index operand's elements must keep to.
struct IndexRule {
  int operand;
  int32_t low, high;  // both included
  bool rising = false;  // also, each at least as large as the one before, from low to high exactly
  int32_t longest = 0;  // with `rising`: the most by which one may exceed the one before; 0 is no limit
  bool excepts = false;  // one more value is possible
  int32_t exception = 0;
};

class Context {
 public:
  virtual ~Context() = default;

  // ---- for checks ----

  virtual const DeviceInfo& info() const = 0;
  // Formats a message that lives until the next; checks return it.
  __attribute__((format(printf, 3, 4))) virtual const char* fail(int status, const char* format, ...) = 0;

  // ---- for running ----

  // Workspace of this command, aligned to 256 bytes. Null without memory: return `exhausted()`.
  virtual void* workspace(uint64_t bytes) = 0;
  virtual const char* exhausted() = 0;
  // Has the device check an operand of indices before the command's kernels, which do nothing when it fails.
  virtual const char* check_indices(const View* operands, const IndexRule& rule) = 0;
  // Has the vendor's library form a product, where it is there and was measured to be faster. False when it is not: then our
  // kernel must. `own` launches that with another output, to be measured.
  using OwnProduct = std::function<const char*(void* out)>;
  virtual bool multiply_by_vendor(const BlasProduct& product, const OwnProduct& own) = 0;
  virtual const char* set_bytes(void* to, uint8_t value, uint64_t bytes) = 0;
  virtual const char* copy_bytes(void* to, const void* from, uint64_t bytes) = 0;
  // Hands an operation of several devices to the stream.
  virtual const char* collective(const Collective& what) = 0;

  // Launches a kernel: null, or a message. Nothing is launched for an empty grid.
  template <typename Args>
  const char* launch(const char* kernel, Grid grid, uint32_t threads, uint32_t shared_bytes, Args args) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return nullptr;
    args.head = head();
    return launch_bytes(kernel, grid, threads, shared_bytes, &args, sizeof args);
  }

 protected:
  virtual Head head() const = 0;
  virtual const char* launch_bytes(const char* kernel, Grid grid, uint32_t threads, uint32_t shared_bytes, const void* arguments,
                                   size_t bytes) = 0;
};

// Both as in the CPU's kernel.h: `params` are padded with zeros, `operands` with absent ones.
using OpFunction = const char* (*)(Context& context, const uint32_t* params, const View* operands, int count);
struct OpEntry {
  OpFunction run = nullptr;
  OpFunction check = nullptr;  // dtypes, layouts and shapes alone
};
constexpr uint32_t kMostOps = 256;

// The table of ops; each file of ops/ adds its own.
const OpEntry* find_op(uint32_t op);
struct OpRegistration {
  OpRegistration(uint32_t op, OpFunction run, OpFunction check);
};
// Bytes of a packed weight; 0 when it is not packed by this backend.
uint64_t packed_bytes(uint32_t dtype, uint32_t layout, uint32_t n, uint32_t k, uint32_t group);

#define LF_RETURN_IF(expression)                          \
  do {                                                    \
    if (const char* lf_failed = (expression)) return lf_failed; \
  } while (0)

}  // namespace lf_gpu
