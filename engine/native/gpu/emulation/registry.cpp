#include "registry.h"

#include <map>

namespace simt {

static std::map<std::pair<int, std::string>, const Registration*>& kernels() {
  static auto* const all = new std::map<std::pair<int, std::string>, const Registration*>;
  return *all;
}

Registration::Registration(int target, const char* name, size_t argument_bytes, uint32_t most_threads, Body body)
    : target(target), name(name), argument_bytes(argument_bytes), most_threads(most_threads), body(body) {
  kernels()[{target, name}] = this;
}

const Registration* find_kernel(int target, const std::string& name) {
  const auto found = kernels().find({target, name});
  return found == kernels().end() ? nullptr : found->second;
}

}  // namespace simt
