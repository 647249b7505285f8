// The kernels of the runtime: indices are checked here, once, so that the others need not.
#include "check.h"

#include "access.h"

namespace lf_gpu {

LF_ON_DEVICE void claim_fault(const CheckArgs& a, int64_t i, int32_t value, FaultRule rule) {
  Fault* f = a.head.fault;
  if (atomic_claim(&f->claimed, a.head.serial) != 0) return;
  f->operand = a.operand;
  f->element_lo = uint32_t(i);
  f->element_hi = uint32_t(uint64_t(i) >> 32);
  f->value = value;
  f->low = a.low;
  f->high = a.high;
  f->rule = rule;
}

LF_KERNEL(check_indices, CheckArgs, kCheckThreads) {
  Operand o{};
  for (int d = 0; d < 4; d++) o.shape[d] = a.shape[d], o.stride[d] = a.stride[d];
  for (int64_t i = int64_t(block_x()) * block_threads() + thread_id(); i < a.count; i += int64_t(grid_x()) * block_threads()) {
    const int32_t v = load(a.data + place_of(o, i));
    if (v < a.low || v > a.high) claim_fault(a, i, v, kFaultRange);
    if (!a.rising) continue;
    if ((i == 0 && v != a.low) || (i == a.count - 1 && v != a.high)) claim_fault(a, i, v, kFaultRange);
    if (i == 0) continue;
    const int32_t before = load(a.data + place_of(o, i - 1));
    if (v < before) claim_fault(a, i, v, kFaultOrder);
    else if (a.longest && int64_t(v) - before > a.longest) claim_fault(a, i, v, kFaultLength);
  }
}

LF_KERNEL(write_bytes, WriteArgs, kCheckThreads) {
  for (uint32_t i = uint32_t(thread_id()); i < a.bytes; i += uint32_t(block_threads())) store(a.to + i, a.data[i]);
}

}  // namespace lf_gpu
