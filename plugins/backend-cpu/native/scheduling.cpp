#include "scheduling.h"

#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#endif

namespace lf_cpu {

#if defined(__linux__)
namespace {

// struct sched_attr of the kernel, which few C libraries have.
struct Attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

// The shortest that the scheduler takes: whoever asks for little at a time is served first (EEVDF, Linux 6.12 on).
constexpr uint64_t kSlice = 100'000;
constexpr uint64_t kResetOnFork = 1;
constexpr int kStep = 10;
constexpr int kLeastNice = -20;

bool schedule(int nice) {
  Attributes attributes{};
  attributes.size = sizeof attributes;
  attributes.flags = kResetOnFork;
  attributes.nice = nice;
  attributes.runtime = kSlice;
  return syscall(SYS_sched_setattr, 0, &attributes, 0) == 0;
}

int own_nice() { return getpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid))); }

}  // namespace

void run_soon() {
  static thread_local bool asked = false;
  if (asked) return;
  asked = true;
  const int nice = own_nice();
  // A lower value than that of the process needs a right that few processes have.
  if (!schedule(std::max(kLeastNice, nice - kStep))) schedule(nice);
}

void wake_soon() { schedule(own_nice()); }
#else
void run_soon() {}
void wake_soon() {}
#endif

}  // namespace lf_cpu
