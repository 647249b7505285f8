// Scratch memory in parts.
#pragma once
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {

// Hands out parts of one allocation, each aligned to 64 bytes. With a null base it only adds up.
struct Arena {
  uint8_t* base;
  size_t used = 0;
  template <typename T>
  T* take(int64_t count) {
    T* p = base ? reinterpret_cast<T*>(base + used) : nullptr;
    used += round_up(count * int64_t(sizeof(T)), 64);
    return p;
  }
};

}  // namespace LF_ISA
}  // namespace lf_cpu
