#include "system_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#if defined(__linux__)
#include <sched.h>
#endif

namespace lf_cpu {
namespace {

// The numbers at the start of a file, as many as there are; 0 when there is no such file.
int read_numbers(const std::string& path, uint64_t* first, uint64_t* second = nullptr) {
  FILE* file = fopen(path.c_str(), "r");
  if (!file) return 0;
  uint64_t unused;
  const int found = fscanf(file, "%" SCNu64 " %" SCNu64, first, second ? second : &unused);
  fclose(file);
  return std::max(found, 0);
}

// The number that follows `key` at the start of a line; 0 when there is none.
uint64_t read_line(const std::string& path, const char* key) {
  FILE* file = fopen(path.c_str(), "r");
  if (!file) return 0;
  char line[256];
  uint64_t value = 0;
  const size_t length = strlen(key);
  while (fgets(line, sizeof line, file)) {
    if (strncmp(line, key, length) == 0 && sscanf(line + length, " %" SCNu64, &value) == 1) break;
  }
  fclose(file);
  return value;
}

// Folders of the control groups that this process is in, from its own to the root, for a controller ("" is version 2).
std::vector<std::string> group_folders(const char* controller) {
  std::vector<std::string> folders;
  FILE* file = fopen("/proc/self/cgroup", "r");
  if (!file) return folders;
  char line[4096];
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    char* names = strchr(line, ':');
    char* path = names ? strchr(names + 1, ':') : nullptr;
    if (!path) continue;
    *path++ = 0;
    const std::string listed = "," + std::string(names + 1) + ",";
    const bool mine = *controller ? listed.find("," + std::string(controller) + ",") != std::string::npos : !names[1];
    if (!mine) continue;
    const std::string root = *controller ? std::string("/sys/fs/cgroup/") + controller : "/sys/fs/cgroup";
    for (std::string at = path;;) {
      while (!at.empty() && at.back() == '/') at.pop_back();
      folders.push_back(root + at);
      if (at.empty()) break;
      at.erase(at.rfind('/'));
    }
    break;
  }
  fclose(file);
  return folders;
}

// `inactive` is page cache that the group gives up before it runs out.
void limit_memory(SystemMemory& memory, uint64_t limit, uint64_t used, uint64_t inactive) {
  if (limit >= memory.total) return;
  used -= std::min(used, inactive);
  memory.total = limit;
  memory.available = std::min(memory.available, limit > used ? limit - used : 0);
}

#if defined(__linux__)
int physical_cores(const cpu_set_t& set) {
  std::set<std::pair<uint64_t, uint64_t>> cores;
  int unknown = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &set)) continue;
    const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    uint64_t package = 0, core = 0;
    if (read_numbers(topology + "core_id", &core) && read_numbers(topology + "physical_package_id", &package)) {
      cores.insert({package, core});
    } else {
      unknown++;
    }
  }
  return static_cast<int>(cores.size()) + unknown;
}
#endif

}  // namespace

SystemMemory system_memory() {
  SystemMemory memory{read_line("/proc/meminfo", "MemTotal:") * 1024, read_line("/proc/meminfo", "MemAvailable:") * 1024};
  if (memory.total == 0) {
    // No /proc: what is free is unknown, so that only the machine's size limits an allocation.
    memory.total = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    memory.available = memory.total;
  }
  static const std::vector<std::string> groups = group_folders(""), old_groups = group_folders("memory");
  for (const std::string& folder : groups) {
    uint64_t limit, used;
    if (read_numbers(folder + "/memory.max", &limit) && read_numbers(folder + "/memory.current", &used)) {
      limit_memory(memory, limit, used, read_line(folder + "/memory.stat", "inactive_file"));
    }
  }
  for (const std::string& folder : old_groups) {
    uint64_t limit, used;
    if (read_numbers(folder + "/memory.limit_in_bytes", &limit) && read_numbers(folder + "/memory.usage_in_bytes", &used)) {
      limit_memory(memory, limit, used, read_line(folder + "/memory.stat", "total_inactive_file"));
    }
  }
  return memory;
}

int usable_processors() {
  int count = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = physical_cores(set);
#endif
  auto limit = [&](uint64_t quota, uint64_t period) {
    if (period > 0) count = std::min(count, static_cast<int>(std::min<uint64_t>((quota + period - 1) / period, 4096)));
  };
  for (const std::string& folder : group_folders("")) {
    uint64_t quota, period;
    if (read_numbers(folder + "/cpu.max", &quota, &period) == 2) limit(quota, period);
  }
  for (const std::string& folder : group_folders("cpu")) {
    uint64_t quota, period;
    // A quota of -1, which means none, is no unsigned number below the period's multiple: it reads as 2^64 - 1.
    if (read_numbers(folder + "/cpu.cfs_quota_us", &quota) && read_numbers(folder + "/cpu.cfs_period_us", &period) &&
        quota < UINT64_MAX / 2) {
      limit(quota, period);
    }
  }
  return std::max(count, 1);
}

namespace {

std::mutex g_mutex;
std::map<const void*, uint64_t> g_allocations;
uint64_t g_promised = 0;  // bytes of g_allocations, and those reserved that have no address yet

// Bytes of our allocations that the system has already backed by memory.
uint64_t touched_bytes() {
#if defined(__linux__)
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages;
  uint64_t touched = 0;
  for (const auto& [data, bytes] : g_allocations) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(data) / page * page;
    const size_t length = reinterpret_cast<uintptr_t>(data) + bytes - start;
    pages.resize((length + page - 1) / page);
    if (mincore(reinterpret_cast<void*>(start), length, pages.data()) != 0) continue;
    for (unsigned char resident : pages) touched += resident & 1 ? page : 0;
  }
  return touched;
#else
  return 0;
#endif
}

}  // namespace

bool MemoryLedger::reserve(uint64_t bytes, uint64_t* left) {
  std::lock_guard<std::mutex> lock(g_mutex);
  const uint64_t available = system_memory().available;
  uint64_t untouched = g_promised;
  // Which pages were touched takes a while to find out: only where it decides.
  if (untouched > available || bytes > available - untouched) untouched -= std::min(untouched, touched_bytes());
  *left = available - std::min(available, untouched);
  if (bytes > *left) return false;
  g_promised += bytes;
  return true;
}

void MemoryLedger::add(const void* data, uint64_t bytes) {
  std::lock_guard<std::mutex> lock(g_mutex);
  g_allocations.emplace(data, bytes);
}

void MemoryLedger::remove(const void* data, uint64_t bytes) {
  std::lock_guard<std::mutex> lock(g_mutex);
  g_allocations.erase(data);
  g_promised -= bytes;
}

}  // namespace lf_cpu
