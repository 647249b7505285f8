// The table of one ISA level: compiled once for each, with LF_ISA naming it.
#include "kernel.h"

namespace lf_cpu {
namespace LF_ISA {

#define LF_REGISTER(name) void register_##name(KernelTable&);
#include "kernel_registrations.inc"
#undef LF_REGISTER

}  // namespace LF_ISA

#define LF_JOIN_(a, b) a##b
#define LF_JOIN(a, b) LF_JOIN_(a, b)

const KernelTable& LF_JOIN(kernel_table_, LF_ISA)() {
  static const KernelTable table = [] {
    KernelTable t{};
    t.isa = LF_ISA_NAME;
#define LF_REGISTER(name) LF_ISA::register_##name(t);
#include "kernel_registrations.inc"
#undef LF_REGISTER
    return t;
  }();
  return table;
}

}  // namespace lf_cpu
