// The table of one ISA level: compiled once for each, with LF_ISA naming it. A level over another one (LF_BASE_TABLE) has
// kernels of its own only where they differ.
#include "kernel.h"

namespace lf_cpu {
namespace LF_ISA {

#define LF_REGISTER(name) void register_##name(KernelTable&);
#include LF_REGISTRATIONS
#undef LF_REGISTER

}  // namespace LF_ISA

#define LF_JOIN_(a, b) a##b
#define LF_JOIN(a, b) LF_JOIN_(a, b)

#ifdef LF_BASE_TABLE
const KernelTable& LF_BASE_TABLE();
#endif

const KernelTable& LF_JOIN(kernel_table_, LF_ISA)() {
  static const KernelTable table = [] {
#ifdef LF_BASE_TABLE
    KernelTable t = LF_BASE_TABLE();
#else
    KernelTable t{};
#endif
    t.isa = LF_ISA_NAME;
#define LF_REGISTER(name) LF_ISA::register_##name(t);
#include LF_REGISTRATIONS
#undef LF_REGISTER
    return t;
  }();
  return table;
}

}  // namespace lf_cpu
