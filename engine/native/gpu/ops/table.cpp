#include "../runtime/context.h"

namespace lf_gpu {

static OpEntry* entries() {
  static OpEntry all[kMostOps];
  return all;
}

OpRegistration::OpRegistration(uint32_t op, OpFunction run, OpFunction check) { entries()[op] = {run, check}; }

const OpEntry* find_op(uint32_t op) { return op < kMostOps && entries()[op].run ? &entries()[op] : nullptr; }

}  // namespace lf_gpu
