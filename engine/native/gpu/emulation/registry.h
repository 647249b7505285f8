// The kernels that were compiled for the emulator, by target and name.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "simt.h"

namespace simt {

struct Registration {
  Registration(int target, const char* name, size_t argument_bytes, uint32_t most_threads, Body body);

  int target;
  const char* name;
  size_t argument_bytes;
  uint32_t most_threads;
  Body body;
};

// Null when there is none.
const Registration* find_kernel(int target, const std::string& name);

}  // namespace simt
