// The kernels of the linked image, on one device: modules are loaded when the device is opened, functions looked up once.
#pragma once
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "driver.h"
#include "image.h"

struct lf_error;

namespace lf_gpu {

class Kernels {
 public:
  explicit Kernels(Driver& driver) : driver_(driver) {}
  ~Kernels();

  // LF_DEVICE when there are none for this device, with what to do.
  lf_error* load(const DeviceInfo& info);
  // Null, with the reason in `why`, when there is no such kernel. `shared_bytes` is what launches may ask for.
  Function find(const char* name, uint32_t shared_bytes, std::string* why);

 private:
  struct Known {
    Function function = nullptr;
    uint32_t shared_bytes = 0;
  };
  Driver& driver_;
  std::vector<Module> modules_;
  std::mutex mutex_;
  std::unordered_map<std::string, Known> known_;
};

}  // namespace lf_gpu
