#include "error.h"

#include <cstdarg>
#include <cstdio>
#include <new>

namespace lf {
namespace {

lf_error* exhausted() {
  // Made when the library is loaded, never destroyed: an error may outlive the statics of this library.
  static lf_error* const error = new lf_error{LF_OUT_OF_MEMORY, "the system has no memory left", UINT64_MAX, 0};
  return error;
}
[[maybe_unused]] lf_error* const g_made_early = exhausted();

}  // namespace

lf_error* exhausted_error() noexcept { return exhausted(); }

lf_error* make_error(lf_status status, const char* format, ...) noexcept {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  try {
    return new lf_error{status, text, UINT64_MAX, 0};
  } catch (const std::bad_alloc&) {
    return exhausted();
  }
}

lf_error* copy_error(const lf_error& error) noexcept {
  try {
    return new lf_error(error);
  } catch (const std::bad_alloc&) {
    return exhausted();
  }
}

void free_error(lf_error* error) noexcept {
  if (error != exhausted()) delete error;
}

}  // namespace lf
