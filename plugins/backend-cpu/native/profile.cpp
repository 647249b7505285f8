#include "profile.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "stream.h"

namespace lf_cpu {
namespace {

uint64_t product(std::initializer_list<int64_t> extents) {
  uint64_t n = 1;
  for (int64_t extent : extents) n *= static_cast<uint64_t>(extent);
  return n;
}

// Pairs of a query and a key over all sequences; a causal one sees about half of them. The sequence lengths are in host
// memory here, and a kernel that ran has checked them.
uint64_t attended_pairs(const View& cu_q, const View& cu_k, bool causal) {
  uint64_t pairs = 0;
  for (int64_t b = 0; b + 1 < cu_q.shape[0]; b++) {
    auto length = [b](const View& cu) {
      const int32_t* p = cu.as<const int32_t>();
      return p[(b + 1) * cu.stride[0]] - p[b * cu.stride[0]];
    };
    pairs += product({length(cu_q), length(cu_k)}) / (causal ? 2 : 1);
  }
  return pairs;
}

// Multiplications and additions of the matrix products of an op; 0 for ops that are bound by memory.
uint64_t count_flops(uint32_t op, const uint32_t* params, const View* o) {
  switch (op) {
    case LF_OP_MATMUL:
      return 2 * product({o[2].shape[0], o[2].shape[1], o[0].shape[params[0] ? 0 : 1]});
    case LF_OP_LINEAR: {
      const int64_t m = o[0].shape[0], k = o[0].shape[1], n = o[1].shape[0];
      const int64_t rank = o[5].present() ? o[5].shape[o[5].rank - 2] : 0;
      return 2 * (product({m, n, k}) + product({m, rank, k}) + product({m, n, rank}));
    }
    case LF_OP_LINEAR_BACKWARD_INPUT: {
      const int64_t m = o[0].shape[0], n = o[1].shape[0], k = o[1].shape[1];
      const int64_t rank = o[3].present() ? o[3].shape[0] : 0;
      return 2 * (product({m, n, k}) + product({m, n, rank}) + product({m, rank, k}));
    }
    case LF_OP_LINEAR_BACKWARD_WEIGHT:
      return o[2].present() ? 2 * product({o[1].shape[0], o[2].shape[0], o[2].shape[1]}) : 0;
    case LF_OP_ATTENTION:
      return 4 * attended_pairs(o[3], o[4], params[1] != 0) * product({o[0].shape[1], o[0].shape[2]});
    case LF_OP_ATTENTION_BACKWARD:
      return 10 * attended_pairs(o[3], o[4], params[1] != 0) * product({o[0].shape[1], o[0].shape[2]});
    case LF_OP_CROSS_ENTROPY:
      return 2 * product({o[0].shape[0], o[1].shape[0], o[1].shape[1]}) * (1 + o[6].present() + o[7].present());
    default:
      return 0;
  }
}

}  // namespace

Profile::Profile() {
  const char* setting = getenv("LF_PROFILE");
  enabled_ = setting && *setting && strcmp(setting, "0") != 0;
}

uint64_t Profile::now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
}

void Profile::add(const lf_command* command, const uint32_t* params, const View* operands, uint64_t nanoseconds) {
  std::lock_guard<std::mutex> lock(mutex_);
  Row& row = rows_[command->op];
  row.calls++;
  row.nanoseconds += nanoseconds;
  row.flops += count_flops(command->op, params, operands);
  for (uint32_t i = 0; i < command->tensor_count; i++) {
    const View& v = operands[i];
    if (!v.present()) continue;
    const lf_tensor& t = command_tensors(command)[i];
    row.bytes += static_cast<uint64_t>(v.elements()) * storage_bits(t.dtype) / 8;
  }
}

const char* Profile::take() {
  std::lock_guard<std::mutex> lock(mutex_);
  text_ = "[";
  for (const auto& [op, row] : rows_) {
    char text[192];
    snprintf(text, sizeof text, "%s{\"op\":%u,\"calls\":%llu,\"ns\":%llu,\"flops\":%llu,\"bytes\":%llu}",
             text_.size() > 1 ? "," : "", op, (unsigned long long)row.calls, (unsigned long long)row.nanoseconds,
             (unsigned long long)row.flops, (unsigned long long)row.bytes);
    text_ += text;
  }
  text_ += "]";
  rows_.clear();
  return text_.c_str();
}

}  // namespace lf_cpu
