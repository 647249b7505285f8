#include "meeting.h"

#include "device_group.h"

namespace lf_cpu {

static_assert(kMostDevices == kMostWays, "the limits are one");

struct Meeting::Place {
  std::shared_ptr<DeviceGroup> group;
};

Meeting::Meeting() : place_(new Place) {}
Meeting::~Meeting() { delete place_; }

const char* Meeting::begin(Context& ctx, const char* op, uint32_t code, const uint32_t* params, const View& x, int64_t elements) {
  std::string why;
  auto group = DeviceGroup::join(params[0], params[1], params[2], &ctx, &why);
  if (!group) return ctx.fail(LF_DEVICE, "%s: %s", op, why.c_str());
  group->posted[params[1]] = {x.data, elements, code, static_cast<uint32_t>(x.dtype)};
  if (!group->meet(&why)) return ctx.fail(LF_DEVICE, "%s: %s", op, why.c_str());
  for (uint32_t r = 0; r < params[2]; r++) {
    const auto& other = group->posted[r];
    if (other.op != code || other.elements != elements || other.dtype != static_cast<uint32_t>(x.dtype)) {
      return ctx.fail(LF_INVALID, "%s of %lld elements of type %d: rank %u brings %lld of type %u to op %u", op, (long long)elements, x.dtype, r,
                      (long long)other.elements, other.dtype, other.op);
    }
    data[r] = other.data;
  }
  place_->group = std::move(group);
  return nullptr;
}

const char* Meeting::end(Context& ctx, const char* op) {
  std::string why;
  return place_->group->meet(&why) ? nullptr : ctx.fail(LF_DEVICE, "%s: %s", op, why.c_str());
}

}  // namespace lf_cpu
