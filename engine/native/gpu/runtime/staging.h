// Pinned host memory that copies to and from the device pass through, kept for reuse.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>

#include "driver.h"

namespace lf_gpu {

class Staging {
 public:
  explicit Staging(Driver& driver) : driver_(driver) {}

  struct Piece {
    uint8_t* data = nullptr;
    uint64_t bytes = 0;
  };
  Driver::Status take(uint64_t bytes, Piece* piece) {
    uint64_t size = 4096;
    while (size < bytes) size *= 2;
    std::lock_guard<std::mutex> lock(mutex_);
    const auto kept = kept_.find(size);
    if (kept != kept_.end()) {
      *piece = {kept->second, size};
      kept_.erase(kept);
      return 0;
    }
    void* memory = nullptr;
    const Driver::Status status = driver_.host_allocate(&memory, size);
    if (!status) *piece = {static_cast<uint8_t*>(memory), size};
    return status;
  }
  void give_back(const Piece& piece) {
    std::lock_guard<std::mutex> lock(mutex_);
    kept_.emplace(piece.bytes, piece.data);
  }
  void release() {
    for (const auto& [bytes, data] : kept_) driver_.host_release(data);
    kept_.clear();
  }

 private:
  Driver& driver_;
  std::mutex mutex_;
  std::multimap<uint64_t, uint8_t*> kept_;
};

}  // namespace lf_gpu
