// How a kernel reports what is wrong with the numbers that it was given.
#pragma once
#include "access.h"

namespace lf_gpu {

LF_ON_DEVICE void claim_fault(const Head& head, uint32_t operand, int64_t element, int32_t value, int32_t low, int32_t high, FaultRule rule) {
  Fault* f = head.fault;
  if (atomic_claim(&f->claimed, head.serial) != 0) return;
  f->operand = operand;
  f->element_lo = uint32_t(element);
  f->element_hi = uint32_t(uint64_t(element) >> 32);
  f->value = value;
  f->low = low;
  f->high = high;
  f->rule = rule;
}

}  // namespace lf_gpu
