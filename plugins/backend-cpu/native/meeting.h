// Where kernels of several devices meet. Its code is not the kernels' own: what the standard library has in headers would be
// compiled once for each ISA level, and linkers keep any one of them.
#pragma once
#include "kernel.h"

namespace lf_cpu {

constexpr uint32_t kMostDevices = 64;

// One operation of a group: between `begin` and `end` every rank may read and write what the others brought.
class Meeting {
 public:
  Meeting();
  ~Meeting();
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  // Both wait for all ranks; null, or a message. `params` are group, rank and ways.
  const char* begin(Context& ctx, const char* op, uint32_t code, const uint32_t* params, const View& x, int64_t elements);
  const char* end(Context& ctx, const char* op);

  uint8_t* data[kMostDevices] = {};  // of each rank's x

 private:
  struct Place;
  Place* place_ = nullptr;
};

}  // namespace lf_cpu
