// ALL_REDUCE and ALL_GATHER.
#include "checks.h"

namespace lf_gpu {
namespace {

const char* check_place(Context& c, const uint32_t* p) {
  if (p[2] < 1 || p[2] > lf::kMostWays || p[1] >= p[2]) {
    return c.fail(LF_INVALID, "rank %u of %u devices; a group has 1 to %u", p[1], p[2], lf::kMostWays);
  }
  std::string why;
  if (p[2] > 1 && !Collectives::available(&why)) return c.fail(LF_UNSUPPORTED, "%s", why.c_str());
  return nullptr;
}
Collective collective_of(const uint32_t* p, const View& send, const View& receive, bool gather) {
  return {p[0], p[1], p[2], gather, send.data, receive.data, send.elements(), send.dtype};
}

const char* check_all_reduce(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "x"));
  LF_RETURN_IF(expect_contiguous(c, o[0], "x"));
  return check_place(c, p);
}
const char* run_all_reduce(Context& c, const uint32_t* p, const View* o, int) {
  return p[2] == 1 ? nullptr : c.collective(collective_of(p, o[0], o[0], false));
}

const char* check_all_gather(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "x"));
  LF_RETURN_IF(expect_contiguous(c, o[0], "x"));
  LF_RETURN_IF(expect_dtype(c, o[1], "out", o[0].dtype));
  LF_RETURN_IF(expect_contiguous(c, o[1], "out"));
  LF_RETURN_IF(check_place(c, p));
  if (o[1].rank > 0 && o[1].shape[0] == p[2] && o[1].elements() == o[0].elements() * p[2]) return nullptr;
  return c.fail(LF_INVALID, "operand out does not have the shape of x for each of %u devices", p[2]);
}
const char* run_all_gather(Context& c, const uint32_t* p, const View* o, int) {
  if (p[2] > 1) return c.collective(collective_of(p, o[0], o[1], true));
  const uint64_t bytes = static_cast<uint64_t>(o[0].elements()) * (o[0].dtype == LF_F32 ? 4 : 2);
  return c.copy_bytes(o[1].data, o[0].data, bytes);
}

const OpRegistration kAllReduce{LF_OP_ALL_REDUCE, run_all_reduce, check_all_reduce},
    kAllGather{LF_OP_ALL_GATHER, run_all_gather, check_all_gather};

}  // namespace
}  // namespace lf_gpu
