// Error objects of the ABI.
#pragma once
#include <cstdint>
#include <string>

#include "largeforge/backend.h"

struct lf_error {
  lf_status status;
  std::string message;
  uint64_t command = UINT64_MAX;  // offset within the stream
  uint32_t op = 0;
};

namespace lf_cpu {
lf_error* make_error(lf_status status, const char* format, ...) __attribute__((format(printf, 2, 3)));
}
