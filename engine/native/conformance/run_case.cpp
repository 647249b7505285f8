#include "run_case.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace conformance {
namespace {

__attribute__((format(printf, 1, 2))) std::string format(const char* text, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, text);
  vsnprintf(line, sizeof line, text, arguments);
  va_end(arguments);
  return line;
}

// Half a unit in the last place of what the number is stored as, and a little more: a result that lies next to the
// middle between two numbers may go either way. The second part is for the smallest numbers, which are flushed to zero or
// lost when their reciprocal overflows on the way.
double storage_error(lf_dtype dtype, double value) {
  switch (dtype) {
    case LF_F32: return 0x1p-24 * std::fabs(value) + 0x1p-120;
    case LF_BF16: return 0x1.02p-8 * std::fabs(value) + 0x1p-120;
    case LF_F16: return 0x1.02p-11 * std::fabs(value) + 0x1p-25;
    case LF_F64: return 0x1p-24 * std::fabs(value);
    default: return 0.0;
  }
}

// Whether the two are the same number, beyond what can be subtracted.
bool same_special(double a, double b) { return (std::isnan(a) && std::isnan(b)) || (std::isinf(a) && a == b); }

struct Comparison {
  std::string failure;
  double worst = 0.0, largest_error = 0.0;
};

void compare(size_t index, const Operand& operand, const Array& expected, const std::vector<uint8_t>& memory, Comparison& result) {
  Tensor actual = operand.tensor;
  actual.memory = memory;
  const std::vector<double> values = actual.values();
  for (size_t i = 0; i < values.size(); i++) {
    const double want = expected.value[i], got = values[i];
    if (same_special(want, got)) continue;
    const double magnitude = expected.magnitude.empty() ? std::fabs(want) : expected.magnitude[i];
    if (std::isinf(magnitude)) continue;
    // A number beyond the largest of a short format becomes infinite.
    if (std::isinf(got) && std::isinf(round_to(operand.tensor.dtype, want * 1.01))) continue;
    const double allowed = storage_error(operand.tensor.dtype, want) + kEpsilon * magnitude;
    const double error = std::fabs(want - got);
    if (!(error <= allowed)) {
      if (result.failure.empty()) {
        result.failure = format("operand %zu, element %zu: %.9g, expected %.9g (error %.3g, allowed %.3g)", index, i, got, want,
                                error, allowed);
      }
    }
    if (allowed > 0.0) result.worst = std::fmax(result.worst, error / allowed);
    if (magnitude > 0.0) result.largest_error = std::fmax(result.largest_error, error / magnitude);
  }
}

// Bytes that are no element of a written operand must be as they were.
std::string check_untouched(size_t index, const Case& test, const std::vector<uint8_t>& memory) {
  const Operand& operand = test.operands[index];
  std::vector<bool> may_change(memory.size(), false);
  for (size_t i = 0; i < test.operands.size(); i++) {
    const Operand& other = test.operands[i];
    const bool here = i == index || other.shares == static_cast<int>(index);
    if (!here || !other.present || other.role == Role::kRead) continue;
    const lf_dtype dtype = other.tensor.dtype;
    if (is_block_format(dtype)) {
      const size_t bytes = static_cast<size_t>(other.tensor.elements()) / block_elements(dtype) * block_bytes(dtype);
      for (size_t b = 0; b < bytes; b++) may_change[other.tensor.offset + b] = true;
      continue;
    }
    for (uint64_t position : other.tensor.positions()) {
      for (size_t b = 0; b < element_bytes(dtype); b++) may_change[position + b] = true;
    }
  }
  for (size_t i = 0; i < memory.size(); i++) {
    if (may_change[i] || memory[i] == operand.tensor.memory[i]) continue;
    return format("operand %zu: byte %zu of its buffer, which is none of its elements, was changed", index, i);
  }
  return "";
}

}  // namespace

lf_tensor describe(const Operand& operand, uint32_t buffer) {
  lf_tensor t{};
  if (!operand.present) return t;
  t.buffer = buffer;
  t.dtype = static_cast<uint8_t>(operand.named_dtype >= 0 ? operand.named_dtype : operand.tensor.dtype);
  t.rank = static_cast<uint8_t>(operand.tensor.shape.size());
  t.offset = operand.tensor.offset;
  for (size_t d = 0; d < operand.tensor.shape.size(); d++) {
    t.shape[d] = static_cast<uint32_t>(operand.tensor.shape[d]);
    t.stride[d] = operand.tensor.stride[d];
  }
  if (operand.layout != LF_LAYOUT_STRIDED) {
    t.layout = static_cast<uint8_t>(operand.layout);
    t.dtype = static_cast<uint8_t>(operand.packed_dtype);
    t.group = operand.packed_group;
    t.offset = 0;
  }
  return t;
}

Placed::Placed(Session& session, const Case& test, std::string& failure) : session_(session), test_(test) {
  for (const Operand& operand : test.operands) {
    uint32_t buffer = 0;
    lf_tensor tensor = describe(operand, 0);
    if (operand.present && operand.shares >= 0) {
      tensor.buffer = tensors_[static_cast<size_t>(operand.shares)].buffer;
    } else if (operand.present && operand.layout != LF_LAYOUT_STRIDED) {
      const std::string packing = pack(operand, tensor);
      if (failure.empty()) failure = packing;
    } else if (operand.present) {
      buffer = session_.alloc(operand.tensor.memory.size());
      buffers_.push_back(buffer);
      tensor.buffer = buffer;
      const Outcome outcome = session_.write(buffer, operand.tensor.memory);
      if (!outcome.ok() && failure.empty()) failure = "writing an operand: " + outcome.message;
    }
    tensors_.push_back(tensor);
  }
}

std::string Placed::pack(const Operand& operand, lf_tensor& tensor) {
  const uint64_t bytes = session_.packed_size(operand.packed_dtype, operand.layout, tensor.shape[0], tensor.shape[1], operand.packed_group);
  if (bytes == 0) return format("packed_size knows no packed %s", dtype_name(operand.packed_dtype));
  tensor.buffer = session_.alloc(bytes);
  buffers_.push_back(tensor.buffer);
  Operand source = operand;
  source.layout = LF_LAYOUT_STRIDED;
  const uint32_t buffer = session_.alloc(operand.tensor.memory.size());
  buffers_.push_back(buffer);
  std::vector<uint8_t> stream;
  encode(stream, LF_OP_PACK, {}, {describe(source, buffer), tensor});
  Outcome outcome = session_.write(buffer, operand.tensor.memory);
  if (outcome.ok()) outcome = session_.run(stream);
  return outcome.ok() ? "" : "PACK: " + outcome.message;
}

Placed::~Placed() {
  for (uint32_t buffer : buffers_) session_.free(buffer);
}

Outcome Placed::read(std::vector<std::vector<uint8_t>>& memory) {
  memory.assign(test_.operands.size(), {});
  for (size_t i = 0; i < test_.operands.size(); i++) {
    const Operand& operand = test_.operands[i];
    if (!operand.present || operand.layout != LF_LAYOUT_STRIDED) continue;
    const size_t owner = operand.shares >= 0 ? static_cast<size_t>(operand.shares) : i;
    memory[i].resize(test_.operands[owner].tensor.memory.size());
    const Outcome outcome = session_.read(tensors_[i].buffer, memory[i]);
    if (!outcome.ok()) return outcome;
  }
  return {};
}

std::vector<Array> arrays_of(const Case& test) {
  std::vector<Array> arrays(std::max<size_t>(test.operands.size(), 16));
  for (size_t i = 0; i < test.operands.size(); i++) {
    const Operand& operand = test.operands[i];
    if (!operand.present) continue;
    Tensor tensor = operand.tensor;
    if (operand.shares >= 0) tensor.memory = test.operands[static_cast<size_t>(operand.shares)].tensor.memory;
    Array& array = arrays[i];
    array.present = true;
    array.dtype = tensor.dtype;
    array.shape = tensor.shape;
    if (operand.role == Role::kWritten) {
      array.value.assign(static_cast<size_t>(tensor.elements()), 0.0);
      continue;
    }
    array.value = tensor.values();
    if (operand.layout == LF_LAYOUT_STRIDED) continue;
    array.dtype = operand.packed_dtype;
    if (is_block_format(operand.packed_dtype)) continue;  // kept as it is
    for (double& v : array.value) v = round_to(operand.packed_dtype, v);
  }
  return arrays;
}

Verdict run_case(const std::vector<Session*>& sessions, const Suite& suite, const Case& test, bool perturb) {
  Verdict verdict;
  auto fail = [&](const std::string& failure) {
    verdict.failure = failure + "\n    " + suite.name + " " + test.describe();
    return verdict;
  };
  std::vector<Array> expected = arrays_of(test);
  std::vector<std::vector<uint8_t>> first;
  for (Session* session : sessions) {
    std::string failure;
    Placed placed(*session, test, failure);
    std::vector<uint8_t> stream;
    encode(stream, test.op, test.params.words, placed.tensors());
    const Outcome supported = failure.empty() ? session->supports(stream) : Outcome();
    if (!supported.ok()) {
      verdict.refused = true;
      if (session->run(stream).ok()) return fail("it runs, but `supports` refuses it: " + supported.message);
      if (test.required) return fail("it is refused: " + supported.message);
      return verdict;
    }
    if (!failure.empty()) {
      if (test.required) return fail(failure);
      verdict.refused = true;
      return verdict;
    }
    const Outcome outcome = session->run(stream);
    if (!outcome.ok()) return fail("it fails: " + outcome.message);
    std::vector<std::vector<uint8_t>> memory;
    const Outcome reading = placed.read(memory);
    if (!reading.ok()) return fail("reading the results: " + reading.message);
    if (session != sessions.front()) {
      if (memory != first) return fail(format("the results with %u threads differ from those with %u", session->properties().compute_units, sessions.front()->properties().compute_units));
      continue;
    }
    suite.reference(test.params, expected.data());
    for (size_t i = 0; perturb && i < test.operands.size(); i++) {
      if (test.operands[i].role == Role::kRead) continue;
      for (double& v : expected[i].value) v += 0.05 * (1.0 + std::fabs(v));
    }
    Comparison comparison;
    for (size_t i = 0; i < test.operands.size(); i++) {
      const Operand& operand = test.operands[i];
      if (memory[i].empty()) continue;
      if (operand.role != Role::kRead) compare(i, operand, expected[i], memory[i], comparison);
      if (operand.shares >= 0) continue;
      const std::string touched = check_untouched(i, test, memory[i]);
      if (comparison.failure.empty()) comparison.failure = touched;
    }
    verdict.worst = comparison.worst;
    verdict.largest_error = comparison.largest_error;
    if (!comparison.failure.empty()) return fail(comparison.failure);
    first = std::move(memory);
  }
  return verdict;
}

}  // namespace conformance
