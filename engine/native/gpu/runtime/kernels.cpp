#include "kernels.h"

#include "error.h"

namespace lf_gpu {

using namespace lf;

constexpr uint32_t kSharedWithoutAsking = 48 << 10;

Kernels::~Kernels() {
  for (Module module : modules_) driver_.module_unload(module);
}

lf_error* Kernels::load(const DeviceInfo& info) {
  const Image* image = linked_image();
  const auto* first = reinterpret_cast<const uint8_t*>(image);
  const auto* entries = reinterpret_cast<const ImageModule*>(image + 1);
  for (uint32_t i = 0; i < image->count; i++) {
    Module module = nullptr;
    if (Driver::Status status = driver_.module_load(&module, first + entries[i].offset)) {
      return make_error(LF_DEVICE, "the kernels of \"%s\" do not load on %s (%s): %s. They were compiled for %s with toolkit %u.%u",
                        entries[i].name, info.name.c_str(), info.architecture.c_str(), driver_.describe(status).c_str(),
                        image->architectures, image->toolkit / 1000, image->toolkit % 1000 / 10);
    }
    modules_.push_back(module);
  }
  return nullptr;
}

Function Kernels::find(const char* name, uint32_t shared_bytes, std::string* why) {
  std::lock_guard<std::mutex> lock(mutex_);
  Known& known = known_[name];
  for (size_t i = 0; i < modules_.size() && !known.function; i++) {
    if (driver_.module_function(&known.function, modules_[i], name)) known.function = nullptr;
  }
  if (!known.function) {
    *why = std::string("the library has no kernel ") + name;
    return nullptr;
  }
  if (shared_bytes > kSharedWithoutAsking && shared_bytes > known.shared_bytes) {
    if (Driver::Status status = driver_.allow_shared(known.function, shared_bytes)) {
      *why = std::string(name) + " needs " + std::to_string(shared_bytes) + " bytes of shared memory: " + driver_.describe(status);
      return nullptr;
    }
    known.shared_bytes = shared_bytes;
  }
  return known.function;
}

}  // namespace lf_gpu
