// Read-only mappings of files, guarded against a file that shrinks while it is mapped.
//
// Reading a page beyond the end of the file raises SIGBUS. The handler finds the mapping in a fixed table (no locks, no
// allocation), puts a page of zeros in the hole and marks the mapping as damaged; the queue turns that into LF_IO after
// the command. A SIGBUS elsewhere goes to whoever handled it before.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

struct lf_error;

namespace lf_cpu {

struct Mapping {
  uint8_t* base = nullptr;  // page-aligned start
  size_t length = 0;
  uint8_t* data = nullptr;  // first byte asked for
  int slot = -1;
  std::string path;
};

// Maps `bytes` bytes at `offset`. The range must lie within the file.
lf_error* map_file(const char* path, uint64_t offset, uint64_t bytes, Mapping* out);
void unmap_file(Mapping& mapping);
bool mapping_damaged(const Mapping& mapping);

}  // namespace lf_cpu
