#include "graphs.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "largeforge/backend.h"
#include "stream.h"

namespace lf_gpu {
namespace {

constexpr size_t kMostKnown = 8;
constexpr int kFewestCommands = 16;  // shorter streams are launched as they are

// Which ops come with which shapes of their first operands, but not which buffers and parameters.
uint64_t signature_of(const std::vector<uint8_t>& commands, int* count) {
  uint64_t hash = 0xcbf29ce484222325u;
  auto add = [&](uint32_t word) { hash = (hash ^ word) * 0x100000001b3u; };
  *count = 0;
  for (uint64_t at = 0; at < commands.size(); ++*count) {
    const auto* command = reinterpret_cast<const lf_command*>(commands.data() + at);
    add(command->op), add(command->tensor_count), add(command->param_words);
    if (command->tensor_count > 0) {
      const lf_tensor& first = lf::command_tensors(command)[0];
      for (int d = 0; d < first.rank && d < LF_MAX_RANK; d++) add(first.shape[d]);
    }
    at += command->bytes;
  }
  return hash ? hash : 1;
}

bool wanted() {
  const char* setting = getenv("LF_GPU_GRAPHS");
  return !setting || strcmp(setting, "0") != 0;
}

}  // namespace

Graphs::Graphs(Driver& driver) : driver_(driver), enabled_(driver.graphs() && wanted()) {}

Graphs::~Graphs() {
  for (const Known& known : known_) {
    if (known.exec) driver_.exec_release(known.exec);
  }
}

uint64_t Graphs::recognise(const std::vector<uint8_t>& commands) {
  if (!enabled_) return 0;
  int count = 0;
  const uint64_t signature = signature_of(commands, &count);
  if (count < kFewestCommands) return 0;
  if (std::any_of(known_.begin(), known_.end(), [&](const Known& known) { return known.signature == signature; })) return signature;
  if (known_.size() == kMostKnown) {
    if (known_.front().exec) driver_.exec_release(known_.front().exec);
    known_.pop_front();
  }
  known_.push_back({signature, nullptr});
  return 0;
}

bool Graphs::begin(Stream stream) {
  if (!driver_.capture_begin(stream)) return true;
  enabled_ = false;
  return false;
}

Driver::Status Graphs::refresh(Known& known, Graph graph) {
  if (known.exec && !driver_.graph_update(known.exec, graph)) return 0;
  if (known.exec) driver_.exec_release(known.exec);
  known.exec = nullptr;
  return driver_.graph_instantiate(&known.exec, graph);
}

Driver::Status Graphs::launch(uint64_t recognised, Stream stream) {
  Graph graph = nullptr;
  Driver::Status status = driver_.capture_end(stream, &graph);
  const auto known = std::find_if(known_.begin(), known_.end(), [&](const Known& k) { return k.signature == recognised; });
  if (!status) status = refresh(*known, graph);
  if (!status) status = driver_.graph_launch(known->exec, stream);
  if (graph) driver_.graph_release(graph);
  if (status) enabled_ = false;
  return status;
}

}  // namespace lf_gpu
