// Memory that kernels work on: aligned for vectors, in huge pages when it is large, and refused rather than promised when
// the machine does not have it.
#pragma once
#include <cstddef>
#include <cstdint>

namespace lf_cpu {

class MemoryBlock {
 public:
  MemoryBlock() = default;
  MemoryBlock(const MemoryBlock&) = delete;
  MemoryBlock& operator=(const MemoryBlock&) = delete;
  ~MemoryBlock() { release(); }

  // Frees what it holds and takes `bytes`. False when there is no memory; `left` then says how much there is, when that
  // is known (UINT64_MAX otherwise).
  bool take(uint64_t bytes, uint64_t* left);
  void release();

  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  uint8_t* data_ = nullptr;
  uint64_t bytes_ = 0;
  uint64_t counted_ = 0;  // in the ledger
};

}  // namespace lf_cpu
