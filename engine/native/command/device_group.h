// Devices of one process that work on one model: where commands of several queues that belong together meet.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace lf {

constexpr uint32_t kMostWays = 64;

// A group of `ways` devices, one for each rank. One that failed stays so: its devices would no longer agree on what comes next.
class DeviceGroup {
 public:
  // What a rank brings to a meeting.
  struct Posted {
    uint8_t* data = nullptr;
    int64_t elements = 0;
    uint32_t op = 0, dtype = 0;
  };

  // Takes a place in the group `id`, which begins with its first member. Null, with the reason, when the place is another
  // owner's, `ways` is not what the others say, or the group has failed.
  static std::shared_ptr<DeviceGroup> join(uint32_t id, uint32_t rank, uint32_t ways, const void* owner, std::string* why);
  // The groups that `owner` is in fail: its queue stopped before it got to what the others wait for.
  static void fail(const void* owner, const std::string& why);
  // The same, and the owner's places are given up: it is going to close.
  static void leave(const void* owner);

  // Waits until every rank is here. `last` runs once, on the thread that comes last, before the others go on. False, with the
  // reason, when the group failed.
  bool meet(std::string* why, const std::function<void(DeviceGroup&)>& last = nullptr);
  // Called once when the group fails, on whatever thread; at once if it has failed already. It must not wait.
  void on_failure(uint32_t rank, std::function<void()> call);

  const uint32_t ways;
  // Of each rank; a rank writes its own before it meets the others, and reads theirs after that.
  std::vector<Posted> posted;
  // What the members of the group share; written by `last`.
  std::vector<uint8_t> shared;

 private:
  explicit DeviceGroup(uint32_t ways) : ways(ways), posted(ways), owners_(ways), on_failure_(ways) {}
  void break_up(const std::string& why);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<const void*> owners_;
  std::vector<std::function<void()>> on_failure_;
  uint32_t here_ = 0;
  uint64_t meetings_ = 0;
  bool failed_ = false;
  std::string failure_;
};

}  // namespace lf
