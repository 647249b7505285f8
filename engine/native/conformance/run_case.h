// Runs one case on a backend and compares what it wrote with the reference.
#pragma once
#include <string>
#include <vector>

#include "case.h"
#include "session.h"

namespace conformance {

struct Verdict {
  bool refused = false;      // the backend says that it does not support the command
  std::string failure;       // empty when all is well
  double worst = 0.0;        // largest error, in units of what is allowed
  double largest_error = 0.0;  // relative to the magnitude
};

// The operands of a case on a device. Buffers live until it is destroyed.
class Placed {
 public:
  // Uploads the operands, packing those that are to be packed; `failure` says what went wrong.
  Placed(Session& session, const Case& test, std::string& failure);
  ~Placed();
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;

  // Descriptors that name the buffers.
  const std::vector<lf_tensor>& tensors() const { return tensors_; }
  // The memory of each operand's buffer as it is now; empty for absent and packed ones.
  Outcome read(std::vector<std::vector<uint8_t>>& memory);

 private:
  std::string pack(const Operand& operand, lf_tensor& tensor);

  Session& session_;
  const Case& test_;
  std::vector<lf_tensor> tensors_;
  std::vector<uint32_t> buffers_;
};

// Runs the case on each session; their results must be the same to the bit.
// `perturb` makes the reference wrong on purpose: the verdict must be a failure then.
Verdict run_case(const std::vector<Session*>& sessions, const Suite& suite, const Case& test, bool perturb = false);

// The operands as arrays, as a reference takes them; at least 16.
std::vector<Array> arrays_of(const Case& test);
lf_tensor describe(const Operand& operand, uint32_t buffer);

}  // namespace conformance
