// A backend under test, driven through backend.h and nothing else.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "largeforge/backend.h"

namespace conformance {

// What a call or a command came to.
struct Outcome {
  lf_status status = LF_OK;
  std::string message;
  uint64_t command = UINT64_MAX;
  uint32_t op = 0;
  bool ok() const { return status == LF_OK; }
};

// Loads a backend's library; ends the program with a message when that fails.
const lf_backend* load_backend(const char* path);

// A device with one queue. Every call waits for what it does.
class Session {
 public:
  // Ends the program with a message when the device cannot be opened.
  Session(const lf_backend* backend, uint32_t threads, const char* isa);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  uint32_t alloc(uint64_t bytes);
  void free(uint32_t buffer);
  Outcome write(uint32_t buffer, const std::vector<uint8_t>& bytes);
  Outcome read(uint32_t buffer, std::vector<uint8_t>& bytes);
  // Runs a stream to its end.
  Outcome run(const std::vector<uint8_t>& stream);
  Outcome supports(const std::vector<uint8_t>& command);
  // Bytes of a packed weight; 0 when the backend does not pack it.
  uint64_t packed_size(lf_dtype dtype, lf_layout layout, uint32_t n, uint32_t k, uint32_t group);
  lf_device_properties properties();

  const lf_backend* backend() const { return backend_; }
  lf_device* device() const { return device_; }
  lf_queue* queue() const { return queue_; }
  Outcome take(lf_error* error);
  Outcome flush();

 private:
  const lf_backend* backend_;
  lf_device* device_ = nullptr;
  lf_queue* queue_ = nullptr;
};

// Appends a command to a stream.
void encode(std::vector<uint8_t>& stream, uint32_t op, const std::vector<uint32_t>& params, const std::vector<lf_tensor>& tensors);

}  // namespace conformance
