#include "device_group.h"

#include <algorithm>
#include <map>
#include <set>

namespace lf {
namespace {

struct Groups {
  std::mutex mutex;
  std::map<uint32_t, std::shared_ptr<DeviceGroup>> by_id;
  std::set<uint32_t> over;  // everybody left these; nobody can begin them anew
};
// Never destroyed: threads of queues may outlive the end of `main`.
Groups& groups() {
  static Groups* const it = new Groups;
  return *it;
}

}  // namespace

std::shared_ptr<DeviceGroup> DeviceGroup::join(uint32_t id, uint32_t rank, uint32_t ways, const void* owner, std::string* why) {
  std::shared_ptr<DeviceGroup> group;
  {
    std::lock_guard<std::mutex> lock(groups().mutex);
    if (groups().over.count(id)) {
      *why = "group " + std::to_string(id) + " is over: its devices were closed";
      return nullptr;
    }
    auto& entry = groups().by_id[id];
    if (!entry) entry.reset(new DeviceGroup(ways));
    group = entry;
  }
  std::lock_guard<std::mutex> lock(group->mutex_);
  if (group->failed_) {
    *why = group->failure_;
    return nullptr;
  }
  if (group->ways != ways || rank >= ways) {
    *why = "group " + std::to_string(id) + " has " + std::to_string(group->ways) + " devices; rank " + std::to_string(rank) + " of " +
           std::to_string(ways) + " cannot join it";
    return nullptr;
  }
  const void*& place = group->owners_[rank];
  if (place && place != owner) {
    *why = "rank " + std::to_string(rank) + " of group " + std::to_string(id) + " is another device";
    return nullptr;
  }
  place = owner;
  return group;
}

void DeviceGroup::break_up(const std::string& why) {
  std::vector<std::function<void()>> calls;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (failed_) return;
    failed_ = true;
    failure_ = why;
    calls.swap(on_failure_);
    on_failure_.resize(ways);
    changed_.notify_all();
  }
  for (const auto& call : calls) {
    if (call) call();
  }
}

void DeviceGroup::fail(const void* owner, const std::string& why) {
  std::vector<std::pair<std::shared_ptr<DeviceGroup>, uint32_t>> hit;
  {
    std::lock_guard<std::mutex> lock(groups().mutex);
    for (const auto& [id, group] : groups().by_id) {
      std::lock_guard<std::mutex> inner(group->mutex_);
      const auto at = std::find(group->owners_.begin(), group->owners_.end(), owner);
      if (at != group->owners_.end()) hit.emplace_back(group, static_cast<uint32_t>(at - group->owners_.begin()));
    }
  }
  for (const auto& [group, rank] : hit) group->break_up("device " + std::to_string(rank) + " of the group stopped: " + why);
}

void DeviceGroup::leave(const void* owner) {
  fail(owner, "it was closed");
  std::lock_guard<std::mutex> lock(groups().mutex);
  for (auto at = groups().by_id.begin(); at != groups().by_id.end();) {
    bool empty = true, left = false;
    {
      std::lock_guard<std::mutex> inner(at->second->mutex_);
      for (const void*& place : at->second->owners_) {
        if (place == owner) place = nullptr, left = true;
        empty = empty && !place;
      }
    }
    if (left && empty) {
      groups().over.insert(at->first);
      at = groups().by_id.erase(at);
    } else {
      at++;
    }
  }
}

bool DeviceGroup::meet(std::string* why, const std::function<void(DeviceGroup&)>& last) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!failed_) {
    if (++here_ == ways) {
      if (last) last(*this);
      here_ = 0;
      meetings_++;
      changed_.notify_all();
      return true;
    }
    const uint64_t meeting = meetings_;
    changed_.wait(lock, [&] { return failed_ || meetings_ != meeting; });
    // All were here: whoever failed did so afterwards.
    if (meetings_ != meeting) return true;
  }
  *why = failure_;
  return false;
}

void DeviceGroup::on_failure(uint32_t rank, std::function<void()> call) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!failed_) {
      on_failure_[rank] = std::move(call);
      return;
    }
  }
  call();
}

}  // namespace lf
