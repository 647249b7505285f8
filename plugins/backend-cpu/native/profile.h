// Kernel timings, kept when LF_PROFILE is set in the environment.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "kernel.h"

namespace lf_cpu {

class Profile {
 public:
  Profile();
  bool enabled() const { return enabled_; }
  // Nanoseconds of a clock that never goes back.
  static uint64_t now();
  void add(const lf_command* command, const uint32_t* params, const View* operands, uint64_t nanoseconds);
  // The JSON that `profile` of the ABI gives; starts anew. The text lives until the next call.
  const char* take();

 private:
  struct Row {
    uint64_t calls = 0, nanoseconds = 0, flops = 0, bytes = 0;
  };
  bool enabled_;
  std::mutex mutex_;
  std::map<uint32_t, Row> rows_;
  std::string text_ = "[]";
};

}  // namespace lf_cpu
