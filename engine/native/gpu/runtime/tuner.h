// Which products the vendor's library does faster than our kernels, as measured on this device: a table that is kept in a file
// across processes, a line a shape.
#pragma once
#include <map>
#include <mutex>
#include <string>

namespace lf_gpu {

class Tuner {
 public:
  // Reads the table of such devices: LF_GPU_TUNING, or gpu-products-<device>.txt in LargeForge's cache.
  explicit Tuner(const std::string& device);

  enum class Choice { kUnknown, kOwn, kVendor };
  Choice choice(const std::string& shape) const;
  // Times in milliseconds; a time below 0 says that the library has nothing for the shape. Saves the table.
  Choice learn(const std::string& shape, float own, float vendor);

 private:
  struct Row {
    float own, vendor;
  };
  void read();
  void save() const;

  std::string path_;
  mutable std::mutex mutex_;
  std::map<std::string, Row> rows_;
};

}  // namespace lf_gpu
