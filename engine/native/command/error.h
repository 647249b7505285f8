// Error objects of the ABI.
#pragma once
#include <cstdint>
#include <exception>
#include <new>
#include <string>

#include "largeforge/backend.h"

struct lf_error {
  lf_status status = LF_INTERNAL;
  std::string message;
  uint64_t command = UINT64_MAX;  // offset within the stream
  uint32_t op = 0;
};

namespace lf {
// Never throws: without memory for the error, it is the one that says so. Every error is freed by `free_error`.
lf_error* make_error(lf_status status, const char* format, ...) noexcept __attribute__((format(printf, 2, 3)));
lf_error* copy_error(const lf_error& error) noexcept;
// Says that memory is exhausted; needs none itself.
lf_error* exhausted_error() noexcept;
void free_error(lf_error* error) noexcept;

// Runs a body that returns lf_error*. Nothing may be thrown across the ABI, nor out of a thread of ours.
template <typename F>
lf_error* guarded(F&& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return exhausted_error();
  } catch (const std::exception& error) {
    return make_error(LF_INTERNAL, "%s", error.what());
  }
}
}  // namespace lf
