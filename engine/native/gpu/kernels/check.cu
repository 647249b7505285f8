// The kernels of the runtime: indices are checked here, once, so that the others need not.
#include "check.h"

#include "fault.h"

namespace lf_gpu {

LF_KERNEL(check_indices, CheckArgs, kCheckThreads) {
  Operand o{};
  for (int d = 0; d < 4; d++) o.shape[d] = a.shape[d], o.stride[d] = a.stride[d];
  for (int64_t i = int64_t(block_x()) * block_threads() + thread_id(); i < a.count; i += int64_t(grid_x()) * block_threads()) {
    const int32_t v = load(a.data + place_of(o, i));
    if ((v < a.low || v > a.high) && !(a.excepts && v == a.exception)) claim_fault(a.head, a.operand, i, v, a.low, a.high, kFaultRange);
    if (!a.rising) continue;
    if ((i == 0 && v != a.low) || (i == a.count - 1 && v != a.high)) claim_fault(a.head, a.operand, i, v, a.low, a.high, kFaultRange);
    if (i == 0) continue;
    const int32_t before = load(a.data + place_of(o, i - 1));
    if (v < before) claim_fault(a.head, a.operand, i, v, a.low, a.high, kFaultOrder);
    else if (a.longest && int64_t(v) - before > a.longest) claim_fault(a.head, a.operand, i, v, a.low, a.high, kFaultLength);
  }
}

LF_KERNEL(write_bytes, WriteArgs, kCheckThreads) {
  for (uint32_t i = uint32_t(thread_id()); i < a.bytes; i += uint32_t(block_threads())) store(a.to + i, a.data[i]);
}

}  // namespace lf_gpu
