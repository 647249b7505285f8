#include "tuner.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace lf_gpu {
namespace {

// Only what is clearly faster is worth another order of sums.
constexpr float kClearly = 0.95f;

std::string table_path(const std::string& device) {
  if (const char* named = getenv("LF_GPU_TUNING")) return named;
  std::string folder;
  if (const char* cache = getenv("LARGEFORGE_CACHE")) folder = cache;
  else if (const char* shared = getenv("XDG_CACHE_HOME")) folder = std::string(shared) + "/largeforge";
  else if (const char* home = getenv("HOME")) folder = std::string(home) + "/.cache/largeforge";
  else return "";
  std::string name;
  for (char c : device) name += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '-';
  return folder + "/gpu-products-" + name + ".txt";
}

}  // namespace

Tuner::Tuner(const std::string& device) : path_(table_path(device)) { read(); }

void Tuner::read() {
  std::ifstream file(path_);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string shape;
    Row row;
    if (words >> shape >> row.own >> row.vendor) rows_.emplace(shape, row);
  }
}

Tuner::Choice Tuner::choice(const std::string& shape) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = rows_.find(shape);
  if (found == rows_.end()) return Choice::kUnknown;
  const Row& row = found->second;
  return row.vendor >= 0.0f && row.vendor < row.own * kClearly ? Choice::kVendor : Choice::kOwn;
}

Tuner::Choice Tuner::learn(const std::string& shape, float own, float vendor) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    // What other processes have found meanwhile stays.
    read();
    rows_.insert_or_assign(shape, Row{own, vendor});
    save();
  }
  return choice(shape);
}

// A table that cannot be saved is measured again by the next process.
void Tuner::save() const {
  if (path_.empty()) return;
  for (size_t slash = path_.find('/', 1); slash != std::string::npos; slash = path_.find('/', slash + 1))
    mkdir(path_.substr(0, slash).c_str(), 0777);
  const std::string temporary = path_ + "." + std::to_string(getpid());
  {
    std::ofstream file(temporary);
    for (const auto& [shape, row] : rows_) file << shape << ' ' << row.own << ' ' << row.vendor << '\n';
    if (!file.flush()) return;
  }
  rename(temporary.c_str(), path_.c_str());
}

}  // namespace lf_gpu
