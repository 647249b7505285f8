// The part of NCCL and RCCL that the runtime uses, on the fake driver: an operation is done when the streams of all ranks got to
// it. Refuses memory that is not live, operations that are not the same on all ranks, and use of a communicator that ended.
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "fake_driver.h"
#include "numbers.h"

#define LF_SYMBOL extern "C" __attribute__((visibility("default")))

namespace {

enum { kSuccess = 0, kInvalidArgument = 4, kInvalidUsage = 5 };
enum { kHalf = 6, kFloat = 7, kBrain = 9 };

struct UniqueId {
  char bytes[128];
};

// One operation of a group.
struct Operation {
  bool gather = false;
  size_t count = 0;
  int type = 0;
  std::vector<const void*> send;
  std::vector<void*> receive;
  std::vector<bool> here;
  bool done = false;
};
struct Group {
  explicit Group(int ranks) : next(static_cast<size_t>(ranks), 0) {}
  std::mutex mutex;
  std::condition_variable changed;
  int joined = 0;
  std::vector<uint64_t> next;  // of each rank: the number of its next operation
  std::map<uint64_t, std::shared_ptr<Operation>> operations;
  std::atomic<bool> aborted{false};
};
struct Communicator {
  std::shared_ptr<Group> group;
  size_t rank;
};

std::mutex groups_mutex;
std::map<uint64_t, std::shared_ptr<Group>>& groups() {
  static auto* const it = new std::map<uint64_t, std::shared_ptr<Group>>;
  return *it;
}
std::atomic<uint64_t> operations_done{0};

size_t bytes_of(int type) { return type == kFloat ? 4 : 2; }
NumberType number_type(int type) {
  return type == kFloat ? NumberType::kF32 : type == kHalf ? NumberType::kF16 : NumberType::kBf16;
}

fake::Result perform(Operation& o) {
  const size_t ranks = o.send.size(), bytes = o.count * bytes_of(o.type);
  for (size_t r = 0; r < ranks; r++) {
    if (bytes && (!fake::live(o.send[r], bytes) || !fake::live(o.receive[r], o.gather ? bytes * ranks : bytes))) return fake::kInvalidValue;
  }
  if (o.gather) {
    std::vector<uint8_t> all(bytes * ranks);
    for (size_t r = 0; r < ranks; r++) memcpy(all.data() + r * bytes, o.send[r], bytes);
    for (void* receive : o.receive) memcpy(receive, all.data(), all.size());
  } else {
    std::vector<float> sums(o.count, 0.0f);
    for (const void* send : o.send)
      for (size_t i = 0; i < o.count; i++) sums[i] += read_number(send, number_type(o.type), i);
    for (void* receive : o.receive)
      for (size_t i = 0; i < o.count; i++) write_number(receive, number_type(o.type), i, sums[i]);
  }
  operations_done++;
  return fake::kOk;
}

int enqueue(void* comm, bool gather, const void* send, void* receive, size_t count, int type, void* stream) {
  auto* c = static_cast<Communicator*>(comm);
  if (!c || (type != kHalf && type != kFloat && type != kBrain)) return kInvalidArgument;
  const auto group = c->group;
  const size_t rank = c->rank;
  std::shared_ptr<Operation> operation;
  {
    std::lock_guard<std::mutex> lock(group->mutex);
    if (group->aborted) return kInvalidUsage;
    const size_t ranks = group->next.size();
    const uint64_t serial = group->next[rank]++;
    auto& entry = group->operations[serial];
    if (!entry) {
      entry = std::make_shared<Operation>();
      entry->gather = gather, entry->count = count, entry->type = type;
      entry->send.resize(ranks), entry->receive.resize(ranks), entry->here.resize(ranks);
    }
    operation = entry;
    if (operation->gather != gather || operation->count != count || operation->type != type) return kInvalidUsage;
    operation->send[rank] = send, operation->receive[rank] = receive;
    bool all = true;
    for (uint64_t next : group->next) all = all && next > serial;
    if (all) group->operations.erase(serial);
  }
  return fake::host_work(static_cast<fake::Stream*>(stream), 0.0, [group, operation, rank]() -> fake::Result {
    std::lock_guard<std::mutex> lock(group->mutex);
    if (operation->done || group->aborted) return fake::kOk;
    operation->here[rank] = true;
    for (bool here : operation->here) {
      if (!here) return fake::kNotYet;
    }
    operation->done = true;
    return perform(*operation);
  });
}

}  // namespace

LF_SYMBOL int ncclGetVersion(int* version) {
  const char* told = getenv("LF_EMULATED_NCCL_VERSION");
  *version = told ? atoi(told) : 22703;
  return kSuccess;
}
LF_SYMBOL const char* ncclGetErrorString(int status) {
  return status == kInvalidUsage ? "invalid usage" : status == kInvalidArgument ? "invalid argument" : "no error";
}
LF_SYMBOL int ncclGetUniqueId(UniqueId* id) {
  static std::atomic<uint64_t> count{1};
  const uint64_t number = count++;
  memset(id, 0, sizeof *id);
  memcpy(id->bytes, &number, sizeof number);
  return kSuccess;
}
// Waits for all ranks, as the real one does.
LF_SYMBOL int ncclCommInitRank(void** comm, int ranks, UniqueId id, int rank) {
  uint64_t number;
  memcpy(&number, id.bytes, sizeof number);
  if (!number || rank < 0 || rank >= ranks) return kInvalidArgument;
  std::shared_ptr<Group> group;
  {
    std::lock_guard<std::mutex> lock(groups_mutex);
    auto& entry = groups()[number];
    if (!entry) entry = std::make_shared<Group>(ranks);
    group = entry;
  }
  std::unique_lock<std::mutex> lock(group->mutex);
  group->joined++;
  group->changed.notify_all();
  group->changed.wait(lock, [&] { return group->joined == ranks || group->aborted; });
  *comm = new Communicator{group, static_cast<size_t>(rank)};
  return kSuccess;
}
LF_SYMBOL int ncclCommDestroy(void* comm) {
  delete static_cast<Communicator*>(comm);
  return kSuccess;
}
LF_SYMBOL int ncclCommAbort(void* comm) {
  auto* c = static_cast<Communicator*>(comm);
  {
    std::lock_guard<std::mutex> lock(c->group->mutex);
    c->group->aborted = true;
    c->group->changed.notify_all();
  }
  delete c;
  return kSuccess;
}
LF_SYMBOL int ncclAllReduce(const void* send, void* receive, size_t count, int type, int op, void* comm, void* stream) {
  return op == 0 ? enqueue(comm, false, send, receive, count, type, stream) : kInvalidArgument;
}
LF_SYMBOL int ncclAllGather(const void* send, void* receive, size_t count, int type, void* comm, void* stream) {
  return enqueue(comm, true, send, receive, count, type, stream);
}
// Operations that were done, for tests.
LF_SYMBOL unsigned long long lf_emulated_collectives() { return operations_done; }
