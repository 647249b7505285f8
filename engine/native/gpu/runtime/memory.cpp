#include "memory.h"

#include <algorithm>
#include <cstdio>

namespace lf_gpu {

DeviceMemory::DeviceMemory(Driver& driver, uint64_t total, uint64_t limit)
    : driver_(driver), total_(total), cap_(total / 100 * 94) {
  if (limit) cap_ = std::min(cap_, limit);
}

DeviceMemory::~DeviceMemory() { trim(); }

// Coarser for larger blocks, so that what is given back fits what is asked for next.
uint64_t DeviceMemory::rounded(uint64_t bytes) {
  const uint64_t unit = bytes < 1 << 20 ? 512 : 2 << 20;
  return (bytes + unit - 1) / unit * unit;
}

bool DeviceMemory::take(uint64_t bytes, Consumer consumer, const char* purpose, Block* block, std::string* why) {
  std::lock_guard<std::mutex> lock(mutex_);
  uint64_t used = 0;
  for (uint64_t u : used_) used += u;
  const bool fits = bytes <= cap_ && used <= cap_ - bytes;
  if (fits) {
    const uint64_t wanted = rounded(bytes);
    block->bytes = bytes;
    block->consumer = consumer;
    // A kept block may be an eighth larger.
    const auto kept = kept_.lower_bound(wanted);
    if (kept != kept_.end() && kept->first <= wanted + wanted / 8) {
      block->data = kept->second;
      block->reserved = kept->first;
      kept_.erase(kept);
    } else {
      if (reserved_ + wanted > std::max(cap_, rounded(cap_))) trim_locked();
      Driver::Status status = driver_.allocate(&block->data, wanted);
      if (status && !kept_.empty()) {
        trim_locked();
        status = driver_.allocate(&block->data, wanted);
      }
      if (status) block->data = nullptr;
      else reserved_ += block->reserved = wanted;
    }
    if (block->data) {
      used_[static_cast<int>(consumer)] += bytes;
      peak_ = std::max(peak_, used + bytes);
      return true;
    }
  }
  uint64_t free = 0, total = total_;
  driver_.memory_info(&free, &total);
  auto mib = [](uint64_t n) { return static_cast<double>(n) / 1048576.0; };
  char text[512];
  snprintf(text, sizeof text,
           "%s: %.1f MiB of device memory were asked for. In use are %.1f MiB by buffers, %.1f MiB by weights of files and %.1f MiB by "
           "workspaces; the cap is %.1f MiB of the device's %.1f MiB, of which the driver says %.1f MiB are free",
           purpose, mib(bytes), mib(used_[0]), mib(used_[1]), mib(used_[2]), mib(cap_), mib(total_), mib(free));
  *why = text;
  return false;
}

void DeviceMemory::give_back(const Block& block) {
  std::lock_guard<std::mutex> lock(mutex_);
  used_[static_cast<int>(block.consumer)] -= block.bytes;
  kept_.emplace(block.reserved, block.data);
}

void DeviceMemory::trim() {
  std::lock_guard<std::mutex> lock(mutex_);
  trim_locked();
}

void DeviceMemory::trim_locked() {
  for (const auto& [bytes, data] : kept_) {
    driver_.release(data);
    reserved_ -= bytes;
  }
  kept_.clear();
}

uint64_t DeviceMemory::allocated() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return used_[static_cast<int>(Consumer::kBuffers)] + used_[static_cast<int>(Consumer::kWorkspace)];
}
uint64_t DeviceMemory::peak() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return peak_;
}
uint64_t DeviceMemory::files() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return used_[1];
}

}  // namespace lf_gpu
