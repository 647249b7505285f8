// What several devices do as one (ALL_REDUCE, ALL_GATHER), by the vendor's library (NCCL, RCCL), which is looked up when it is
// first needed: nothing is linked.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "device_group.h"
#include "driver.h"
#include "largeforge/backend.h"

namespace lf_gpu {

// What differs between the two libraries, whose functions have the same names. The plugin gives it.
struct CollectiveVendor {
  const char* environment;   // the variable that names the library
  const char* libraries[2];  // else these are tried
  const char* name;          // "NCCL"
  const char* remedy;        // how to get it
};
const CollectiveVendor& collective_vendor();

struct Collective {
  uint32_t group = 0, rank = 0, ways = 1;
  bool gather = false;
  const void* send = nullptr;
  void* receive = nullptr;
  int64_t count = 0;  // elements that this device brings
  lf_dtype dtype = LF_F32;
};

// A device's places in groups.
class Collectives {
 public:
  Collectives() = default;
  ~Collectives();
  Collectives(const Collectives&) = delete;
  Collectives& operator=(const Collectives&) = delete;

  // Whether the library is there and new enough; else what is missing and how to mend it.
  static bool available(std::string* why);
  // Hands the operation to the stream of the current device. The first of a group waits for its other devices. False, with
  // the reason, when nothing was handed over.
  bool run(const Collective& what, Stream stream, std::string* why);
  // The device's groups fail, and operations that are under way on the others end.
  void fail(const std::string& why) { lf::DeviceGroup::fail(this, why); }
  void leave() { lf::DeviceGroup::leave(this); }

 private:
  struct Member {
    std::shared_ptr<lf::DeviceGroup> group;
    std::shared_ptr<void> communicator;
  };
  Member* member(const Collective& what, std::string* why);

  std::map<uint32_t, Member> members_;  // touched by the queue's thread alone
};

}  // namespace lf_gpu
