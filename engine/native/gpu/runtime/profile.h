// Times of ops, kept when LF_PROFILE is set in the environment: between two events of the device around each command.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace lf_gpu {

class Profile {
 public:
  Profile();
  bool enabled() const { return enabled_; }
  void add(uint32_t op, uint64_t nanoseconds, uint64_t bytes);
  // The JSON that `profile` of the ABI gives; starts anew. The text lives until the next call.
  const char* take();

 private:
  struct Row {
    uint64_t calls = 0, nanoseconds = 0, bytes = 0;
  };
  bool enabled_;
  std::mutex mutex_;
  std::map<uint32_t, Row> rows_;
  std::string text_ = "[]";
};

}  // namespace lf_gpu
