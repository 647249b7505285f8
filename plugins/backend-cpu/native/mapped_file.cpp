#include "mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "error.h"

namespace lf_cpu {

using namespace lf;
namespace {

struct Slot {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> damaged{false};
};

constexpr int kSlots = 8192;
Slot g_slots[kSlots];
std::mutex g_mutex;
struct sigaction g_previous;
uintptr_t g_page = 4096;

void on_sigbus(int number, siginfo_t* info, void* context) {
  const int error = errno;
  const uintptr_t address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Slot& slot : g_slots) {
    const uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= slot.end.load(std::memory_order_acquire)) continue;
    void* page = reinterpret_cast<void*>(address & ~(g_page - 1));
    if (mmap(page, g_page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) break;
    slot.damaged.store(true, std::memory_order_release);
    errno = error;
    return;
  }
  errno = error;
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
  static const bool installed = [] {
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

// A descriptor, shared by the mappings of the same file: a model has hundreds of them.
class OpenFile {
 public:
  explicit OpenFile(int descriptor) : descriptor(descriptor) {}
  ~OpenFile() { close(descriptor); }
  uint64_t size() const {
    struct stat status {};
    return fstat(descriptor, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
  }
  const int descriptor;
};

namespace {

// The file that has this identity, if it is open already; else `opened`.
std::shared_ptr<OpenFile> shared_file(const struct stat& status, std::shared_ptr<OpenFile> opened) {
  static std::map<std::pair<dev_t, ino_t>, std::weak_ptr<OpenFile>> files;
  std::lock_guard<std::mutex> lock(g_mutex);
  std::weak_ptr<OpenFile>& known = files[{status.st_dev, status.st_ino}];
  if (std::shared_ptr<OpenFile> file = known.lock()) return file;
  known = opened;
  return opened;
}

}  // namespace

lf_error* map_file(const char* path, uint64_t offset, uint64_t bytes, Mapping* out) {
  if (bytes == 0) return make_error(LF_INVALID, "an empty range of %s cannot be mapped", path);
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return make_error(LF_IO, "cannot open %s: %s", path, strerror(errno));
  auto file = std::make_shared<OpenFile>(descriptor);
  struct stat status {};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    return make_error(LF_IO, "%s is not a regular file", path);
  }
  const uint64_t size = static_cast<uint64_t>(status.st_size);
  if (offset > size || bytes > size - offset) {
    return make_error(LF_IO, "%s is %llu bytes long; %llu bytes at %llu were asked for", path, (unsigned long long)size,
                      (unsigned long long)bytes, (unsigned long long)offset);
  }
  out->path_ = path;
  if (offset % 8 != 0) return out->copy(descriptor, offset, bytes);
  return out->map(shared_file(status, std::move(file)), offset, bytes);
}

lf_error* Mapping::map(std::shared_ptr<OpenFile> file, uint64_t offset, uint64_t bytes) {
  std::lock_guard<std::mutex> lock(g_mutex);
  install_handler();
  const uint64_t start = offset & ~static_cast<uint64_t>(g_page - 1);
  const size_t length = static_cast<size_t>(offset - start + bytes);
  void* base = mmap(nullptr, length, PROT_READ, MAP_SHARED, file->descriptor, static_cast<off_t>(start));
  if (base == MAP_FAILED) return make_error(LF_IO, "cannot map %s: %s", path_.c_str(), strerror(errno));
  for (int i = 0; i < kSlots; i++) {
    if (g_slots[i].begin.load() != 0) continue;
    g_slots[i].damaged.store(false);
    // Whole pages: what lies beyond the range in the last one is also read by vector loads.
    g_slots[i].end.store(reinterpret_cast<uintptr_t>(base) + (length + g_page - 1) / g_page * g_page);
    g_slots[i].begin.store(reinterpret_cast<uintptr_t>(base), std::memory_order_release);
    base_ = static_cast<uint8_t*>(base);
    length_ = length;
    data_ = base_ + (offset - start);
    slot_ = i;
    file_ = std::move(file);
    file_end_ = offset + bytes;
    return nullptr;
  }
  munmap(base, length);
  return make_error(LF_OUT_OF_MEMORY, "%d ranges of files are mapped; there cannot be more", kSlots);
}

lf_error* Mapping::copy(int file, uint64_t offset, uint64_t bytes) {
  uint64_t left;
  if (!copied_.take(bytes, &left)) {
    return make_error(LF_OUT_OF_MEMORY, "no memory for the %llu bytes of %s at %llu, which cannot be mapped at that offset",
                      (unsigned long long)bytes, path_.c_str(), (unsigned long long)offset);
  }
  constexpr uint64_t kMost = uint64_t{1} << 30;
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t count =
        pread(file, copied_.data() + done, static_cast<size_t>(std::min(bytes - done, kMost)), static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return make_error(LF_IO, "cannot read %s: %s", path_.c_str(), count < 0 ? strerror(errno) : "it ends early");
    done += static_cast<uint64_t>(count);
  }
  data_ = copied_.data();
  return nullptr;
}

Mapping::~Mapping() {
  if (!base_) return;
  std::lock_guard<std::mutex> lock(g_mutex);
  g_slots[slot_].begin.store(0, std::memory_order_release);
  munmap(base_, length_);
}

bool Mapping::damaged() const {
  return slot_ >= 0 && (g_slots[slot_].damaged.load(std::memory_order_acquire) || file_->size() < file_end_);
}

}  // namespace lf_cpu
