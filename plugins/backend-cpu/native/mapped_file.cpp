#include "mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "error.h"

namespace lf_cpu {
namespace {

struct Slot {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> damaged{false};
};

constexpr int kSlots = 4096;
Slot g_slots[kSlots];
std::mutex g_mutex;
struct sigaction g_previous;
uintptr_t g_page = 4096;

void on_sigbus(int number, siginfo_t* info, void* context) {
  uintptr_t address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Slot& slot : g_slots) {
    uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= slot.end.load(std::memory_order_acquire)) continue;
    void* page = reinterpret_cast<void*>(address & ~(g_page - 1));
    if (mmap(page, g_page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) break;
    slot.damaged.store(true, std::memory_order_release);
    return;
  }
  if (g_previous.sa_flags & SA_SIGINFO) {
    g_previous.sa_sigaction(number, info, context);
  } else if (g_previous.sa_handler != SIG_DFL && g_previous.sa_handler != SIG_IGN) {
    g_previous.sa_handler(number);
  } else {
    // Back to the default, so that the faulting instruction ends the process as it would have without us.
    signal(SIGBUS, SIG_DFL);
  }
}

void install_handler() {
  static bool installed = [] {
    g_page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &g_previous);
    return true;
  }();
  (void)installed;
}

}  // namespace

lf_error* map_file(const char* path, uint64_t offset, uint64_t bytes, Mapping* out) {
  if (bytes == 0) return make_error(LF_INVALID, "an empty range of %s cannot be mapped", path);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return make_error(LF_IO, "cannot open %s: %s", path, strerror(errno));
  struct stat status {};
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(file);
    return make_error(LF_IO, "%s is not a regular file", path);
  }
  uint64_t size = static_cast<uint64_t>(status.st_size);
  if (offset > size || bytes > size - offset) {
    close(file);
    return make_error(LF_IO, "%s is %llu bytes long; bytes %llu to %llu were asked for", path, (unsigned long long)size,
                      (unsigned long long)offset, (unsigned long long)(offset + bytes));
  }
  std::lock_guard<std::mutex> lock(g_mutex);
  install_handler();
  uint64_t start = offset & ~static_cast<uint64_t>(g_page - 1);
  size_t length = static_cast<size_t>(offset - start + bytes);
  void* base = mmap(nullptr, length, PROT_READ, MAP_SHARED, file, static_cast<off_t>(start));
  int error = errno;
  close(file);
  if (base == MAP_FAILED) return make_error(LF_IO, "cannot map %s: %s", path, strerror(error));
  for (int i = 0; i < kSlots; i++) {
    if (g_slots[i].begin.load() != 0) continue;
    g_slots[i].damaged.store(false);
    g_slots[i].end.store(reinterpret_cast<uintptr_t>(base) + length);
    g_slots[i].begin.store(reinterpret_cast<uintptr_t>(base), std::memory_order_release);
    out->base = static_cast<uint8_t*>(base);
    out->length = length;
    out->data = out->base + (offset - start);
    out->slot = i;
    out->path = path;
    return nullptr;
  }
  munmap(base, length);
  return make_error(LF_OUT_OF_MEMORY, "more than %d files are mapped", kSlots);
}

void unmap_file(Mapping& mapping) {
  std::lock_guard<std::mutex> lock(g_mutex);
  if (mapping.slot >= 0) g_slots[mapping.slot].begin.store(0, std::memory_order_release);
  if (mapping.base) munmap(mapping.base, mapping.length);
  mapping = Mapping();
}

bool mapping_damaged(const Mapping& mapping) {
  return mapping.slot >= 0 && g_slots[mapping.slot].damaged.load(std::memory_order_acquire);
}

}  // namespace lf_cpu
