// Device memory: blocks that are kept for reuse, below a cap, and counted by what they serve.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "driver.h"

namespace lf_gpu {

// What memory is for, as out-of-memory errors name it.
enum class Consumer { kBuffers, kFiles, kWorkspace };

class DeviceMemory {
 public:
  // At most 94 % of the device's memory (SYS-P-008 asks for less than 95 %), or `limit` when that is less and not 0.
  DeviceMemory(Driver& driver, uint64_t total, uint64_t limit);
  ~DeviceMemory();

  struct Block {
    void* data = nullptr;
    uint64_t bytes = 0;     // asked for
    uint64_t reserved = 0;  // taken from the device
    Consumer consumer = Consumer::kBuffers;
  };
  // False without memory; `why` then says how much was asked for by whom, and what holds the rest.
  bool take(uint64_t bytes, Consumer consumer, const char* purpose, Block* block, std::string* why);
  // Only when nothing on the device uses it any more.
  void give_back(const Block& block);
  // Returns what is kept for reuse to the device.
  void trim();

  uint64_t cap() const { return cap_; }
  // Of buffers and workspaces.
  uint64_t allocated() const;
  uint64_t peak() const;
  uint64_t files() const;

 private:
  static uint64_t rounded(uint64_t bytes);
  void trim_locked();

  Driver& driver_;
  uint64_t total_, cap_;
  mutable std::mutex mutex_;
  std::multimap<uint64_t, void*> kept_;  // by size
  uint64_t used_[3] = {};                // by consumer
  uint64_t reserved_ = 0, peak_ = 0;
};

}  // namespace lf_gpu
