// Operands and parameters of a command, as the kernels of every backend get them.
#pragma once
#include <cstddef>
#include <cstdint>

#include "largeforge/backend.h"

namespace lf {

// An operand with its memory resolved. `data` is null when the operand is absent.
struct View {
  uint8_t* data;
  lf_dtype dtype;
  lf_layout layout;
  int rank;
  int64_t shape[LF_MAX_RANK];
  int64_t stride[LF_MAX_RANK];  // in elements
  uint32_t group;
  uint16_t scale_operand, zero_operand;
  uint64_t available;  // bytes from `data` to the end of the buffer; the runtime has checked strided views against it

  bool present() const { return data != nullptr; }
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= shape[i];
    return n;
  }
  template <typename T>
  T* as() const { return reinterpret_cast<T*>(data); }
};

inline float param_f32(const uint32_t* params, int i) {
  float f;
  __builtin_memcpy(&f, params + i, 4);
  return f;
}

}  // namespace lf
