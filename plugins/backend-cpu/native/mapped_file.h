// Read-only ranges of files, guarded against a file that shrinks while it is mapped.
//
// Reading a page beyond the end of the file raises SIGBUS. The handler finds the mapping in a fixed table (no locks, no
// allocation), puts a page of zeros in the hole and marks the mapping as damaged; the queue turns that into LF_IO after
// the command. A SIGBUS elsewhere goes to whoever handled it before. What is missing of the file's last page reads as
// zeros without a signal, so the file's size is asked for as well.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "memory_block.h"

struct lf_error;

namespace lf_cpu {

class OpenFile;

class Mapping {
 public:
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  // The first byte asked for.
  uint8_t* data() const { return data_; }
  const std::string& path() const { return path_; }
  // Whether some of it could not be read.
  bool damaged() const;

 private:
  friend lf_error* map_file(const char* path, uint64_t offset, uint64_t bytes, Mapping* out);
  lf_error* map(std::shared_ptr<OpenFile> file, uint64_t offset, uint64_t bytes);
  lf_error* copy(int file, uint64_t offset, uint64_t bytes);

  uint8_t* base_ = nullptr;  // page-aligned start
  size_t length_ = 0;
  uint8_t* data_ = nullptr;
  int slot_ = -1;
  std::shared_ptr<OpenFile> file_;
  uint64_t file_end_ = 0;  // how long the file must be
  MemoryBlock copied_;
  std::string path_;
};

// Makes `bytes` bytes at `offset`, which must lie within the file, readable. A range that starts at an offset where no
// number can start (not a multiple of 8) is copied, since kernels read aligned numbers.
lf_error* map_file(const char* path, uint64_t offset, uint64_t bytes, Mapping* out);

}  // namespace lf_cpu
