#include "system_memory.h"

#include <sched.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <thread>

namespace lf_cpu {
namespace {

// A number in a file; `fallback` when there is none ("max", no such file).
uint64_t read_number(const char* path, uint64_t fallback) {
  FILE* file = fopen(path, "r");
  if (!file) return fallback;
  uint64_t value;
  if (fscanf(file, "%" SCNu64, &value) != 1) value = fallback;
  fclose(file);
  return value;
}

}  // namespace

SystemMemory system_memory() {
  SystemMemory memory{0, 0};
  if (FILE* file = fopen("/proc/meminfo", "r")) {
    char line[128];
    uint64_t kilobytes;
    while (fgets(line, sizeof line, file)) {
      if (sscanf(line, "MemTotal: %" SCNu64, &kilobytes) == 1) memory.total = kilobytes * 1024;
      if (sscanf(line, "MemAvailable: %" SCNu64, &kilobytes) == 1) memory.available = kilobytes * 1024;
    }
    fclose(file);
  }
  const uint64_t limit = read_number("/sys/fs/cgroup/memory.max", UINT64_MAX);
  if (limit < memory.total) {
    const uint64_t used = read_number("/sys/fs/cgroup/memory.current", 0);
    memory.total = limit;
    memory.available = std::min(memory.available, limit > used ? limit - used : 0);
  }
  return memory;
}

int usable_processors() {
  int count = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  if (FILE* file = fopen("/sys/fs/cgroup/cpu.max", "r")) {
    uint64_t quota, period;
    if (fscanf(file, "%" SCNu64 " %" SCNu64, &quota, &period) == 2 && period > 0) {
      count = std::min(count, static_cast<int>((quota + period - 1) / period));
    }
    fclose(file);
  }
  return std::max(count, 1);
}

}  // namespace lf_cpu
