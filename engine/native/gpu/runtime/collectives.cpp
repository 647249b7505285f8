#include "collectives.h"

#include <cstdlib>
#include <cstring>
#include <mutex>

#include "library.h"

namespace lf_gpu {
namespace {

// nccl.h and rccl.h agree on these. Sums of bf16 came with 2.10.
struct UniqueId {
  char bytes[128];
};
enum { kHalf = 6, kFloat = 7, kBrain = 9, kSum = 0, kOldest = 21000 };
int type_of(lf_dtype dtype) { return dtype == LF_F32 ? kFloat : dtype == LF_F16 ? kHalf : kBrain; }

struct Symbols {
  int (*version)(int*);
  const char* (*describe)(int);
  int (*unique_id)(UniqueId*);
  int (*init)(void**, int, UniqueId, int);
  int (*destroy)(void*);
  int (*abort)(void*);
  int (*all_reduce)(const void*, void*, size_t, int, int, void*, Stream);
  int (*all_gather)(const void*, void*, size_t, int, void*, Stream);

  bool load(std::string* why) {
    const CollectiveVendor& vendor = collective_vendor();
    const char* named = getenv(vendor.environment);
    Library library;
    std::string reason;
    const bool opened = named ? library.open({named}, &reason) : library.open({vendor.libraries[0], vendor.libraries[1]}, &reason);
    if (!opened) {
      *why = std::string(vendor.name) + ", by which several devices work on one model, was not found (" + reason + "). " + vendor.remedy +
             ", name the library in " + vendor.environment + ", or use one device";
      return false;
    }
    std::string missing;
    if (!library.find(version, "ncclGetVersion", &missing) || !library.find(describe, "ncclGetErrorString", &missing) ||
        !library.find(unique_id, "ncclGetUniqueId", &missing) || !library.find(init, "ncclCommInitRank", &missing) ||
        !library.find(destroy, "ncclCommDestroy", &missing) || !library.find(abort, "ncclCommAbort", &missing) ||
        !library.find(all_reduce, "ncclAllReduce", &missing) || !library.find(all_gather, "ncclAllGather", &missing)) {
      *why = std::string(vendor.name) + " lacks " + missing + ": it is too old, or another library. " + vendor.remedy;
      return false;
    }
    int number = 0;
    if (version(&number) || number < kOldest) {
      *why = std::string(vendor.name) + " has version " + std::to_string(number) + "; 2.10 (21000) or newer is needed. " + vendor.remedy;
      return false;
    }
    return true;
  }
};

// Loaded once; what was missing stays missing until the process ends.
const Symbols* symbols(std::string* why) {
  static std::mutex mutex;
  static Symbols loaded;
  static int state = 0;  // 1: loaded, 2: missing
  static std::string reason;
  std::lock_guard<std::mutex> lock(mutex);
  if (state == 0) state = loaded.load(&reason) ? 1 : 2;
  if (state == 1) return &loaded;
  *why = reason;
  return nullptr;
}

// A device's end of a group's connections. Ended once: in order, or by force when the group fails.
struct Communicator {
  explicit Communicator(const Symbols& f) : f(f) {}
  ~Communicator() {
    if (!ended && handle) f.destroy(handle);
  }
  void abort() {
    std::lock_guard<std::mutex> lock(mutex);
    if (!ended && handle) f.abort(handle);
    ended = true;
  }
  const Symbols& f;
  void* handle = nullptr;
  std::mutex mutex;  // whoever uses the handle holds it: it may end at any time
  bool ended = false;
};

}  // namespace

Collectives::~Collectives() { leave(); }

bool Collectives::available(std::string* why) { return symbols(why) != nullptr; }

Collectives::Member* Collectives::member(const Collective& what, std::string* why) {
  Member& member = members_[what.group];
  if (member.communicator) return &member;
  const Symbols* f = symbols(why);
  if (!f) return nullptr;
  auto group = lf::DeviceGroup::join(what.group, what.rank, what.ways, this, why);
  if (!group) return nullptr;
  // Whoever comes last makes the number by which they find each other.
  const bool together = group->meet(why, [&](lf::DeviceGroup& g) {
    UniqueId id{};
    g.shared.resize(f->unique_id(&id) ? 0 : sizeof id);
    if (!g.shared.empty()) memcpy(g.shared.data(), &id, sizeof id);
  });
  if (!together) return nullptr;
  if (group->shared.size() != sizeof(UniqueId)) {
    *why = std::string(collective_vendor().name) + " cannot connect devices (ncclGetUniqueId failed; set NCCL_DEBUG=INFO to see why)";
    return nullptr;
  }
  UniqueId id;
  memcpy(&id, group->shared.data(), sizeof id);
  auto communicator = std::make_shared<Communicator>(*f);
  if (const int status = f->init(&communicator->handle, static_cast<int>(what.ways), id, static_cast<int>(what.rank))) {
    *why = std::string(collective_vendor().name) + " cannot connect device " + std::to_string(what.rank) + ": " + f->describe(status) +
           " (set NCCL_DEBUG=INFO to see why)";
    return nullptr;
  }
  group->on_failure(what.rank, [communicator] { communicator->abort(); });
  member.group = std::move(group);
  member.communicator = std::move(communicator);
  return &member;
}

bool Collectives::run(const Collective& what, Stream stream, std::string* why) {
  Member* const place = member(what, why);
  // A group that failed meanwhile says so.
  if (!place || !lf::DeviceGroup::join(what.group, what.rank, what.ways, this, why)) return false;
  auto& communicator = *static_cast<Communicator*>(place->communicator.get());
  std::lock_guard<std::mutex> lock(communicator.mutex);
  if (communicator.ended) {
    *why = "the group of devices failed";
    return false;
  }
  const auto count = static_cast<size_t>(what.count);
  const int type = type_of(what.dtype);
  const int status = what.gather ? communicator.f.all_gather(what.send, what.receive, count, type, communicator.handle, stream)
                                 : communicator.f.all_reduce(what.send, what.receive, count, type, kSum, communicator.handle, stream);
  if (!status) return true;
  *why = std::string(collective_vendor().name) + ": " + communicator.f.describe(status);
  return false;
}

}  // namespace lf_gpu
