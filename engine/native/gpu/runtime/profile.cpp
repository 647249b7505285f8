#include "profile.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace lf_gpu {

Profile::Profile() {
  const char* setting = getenv("LF_PROFILE");
  enabled_ = setting && *setting && strcmp(setting, "0") != 0;
}

void Profile::add(uint32_t op, uint64_t nanoseconds, uint64_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  Row& row = rows_[op];
  row.calls++;
  row.nanoseconds += nanoseconds;
  row.bytes += bytes;
}

const char* Profile::take() {
  std::lock_guard<std::mutex> lock(mutex_);
  text_ = "[";
  for (const auto& [op, row] : rows_) {
    char text[160];
    snprintf(text, sizeof text, "%s{\"op\":%u,\"calls\":%llu,\"ns\":%llu,\"flops\":0,\"bytes\":%llu}", text_.size() > 1 ? "," : "", op,
             (unsigned long long)row.calls, (unsigned long long)row.nanoseconds, (unsigned long long)row.bytes);
    text_ += text;
  }
  text_ += "]";
  rows_.clear();
  return text_.c_str();
}

}  // namespace lf_gpu
