// ALL_REDUCE and ALL_GATHER among devices of this process, whose memory every one of them can read.
#include "../meeting.h"
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr int64_t kChunk = 1024;  // elements that a task sums

const char* check_place(Context& ctx, const char* op, const uint32_t* p) {
  if (p[2] >= 1 && p[2] <= kMostDevices && p[1] < p[2]) return nullptr;
  return ctx.fail(LF_INVALID, "%s: rank %u of %u devices; a group has 1 to %u", op, p[1], p[2], kMostDevices);
}

const char* check_all_reduce(Context& ctx, const uint32_t* p, const View* o, int) {
  LF_CHECK(check_place(ctx, "ALL_REDUCE", p));
  LF_CHECK(expect_float(ctx, "ALL_REDUCE", "x", o[0]));
  return expect_contiguous(ctx, "ALL_REDUCE", "x", o[0]);
}

// Each rank sums its share of the elements, in the order of the ranks, and writes the sums to all.
const char* all_reduce(Context& ctx, const uint32_t* p, const View* o, int count) {
  LF_CHECK(check_all_reduce(ctx, p, o, count));
  const View& x = o[0];
  const int64_t rank = p[1], ways = p[2], n = element_count(x), chunks = ceil_div(n, kChunk);
  if (ways == 1) return nullptr;
  constexpr size_t bytes = 2 * kChunk * 4;
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, bytes)) return out_of_scratch(ctx, "ALL_REDUCE", bytes);
  Meeting meeting;
  LF_CHECK(meeting.begin(ctx, "ALL_REDUCE", LF_OP_ALL_REDUCE, p, x, n));
  auto of = [&](int64_t r) {
    View v = x;
    v.data = meeting.data[r];
    return v;
  };
  ctx.for_each(ceil_div(chunks - rank, ways), [&](int64_t task, int worker) {
    const int64_t first = (task * ways + rank) * kChunk, length = smaller(kChunk, n - first);
    float* total = static_cast<float*>(ctx.local(worker, bytes));
    float* scratch = total + kChunk;
    for (int64_t i = 0; i < length; i++) total[i] = 0.0f;
    for (int64_t r = 0; r < ways; r++) {
      const float* row = read_row(of(r), first, length, 1, scratch);
      for_lanes(length, [&](int64_t i, int64_t lanes) {
        store_lanes(total + i, load_lanes(total + i, lanes) + load_lanes(row + i, lanes), lanes);
      });
    }
    for (int64_t r = 0; r < ways; r++) write_row(of(r), first, length, 1, total);
  });
  return meeting.end(ctx, "ALL_REDUCE");
}

const char* check_all_gather(Context& ctx, const uint32_t* p, const View* o, int) {
  LF_CHECK(check_place(ctx, "ALL_GATHER", p));
  const View &x = o[0], &out = o[1];
  LF_CHECK(expect_float(ctx, "ALL_GATHER", "x", x));
  LF_CHECK(expect_contiguous(ctx, "ALL_GATHER", "x", x));
  LF_CHECK(expect_dtype(ctx, "ALL_GATHER", "out", out, x.dtype));
  LF_CHECK(expect_contiguous(ctx, "ALL_GATHER", "out", out));
  if (out.rank > 0 && out.shape[0] == p[2] && element_count(out) == element_count(x) * p[2]) return nullptr;
  return ctx.fail(LF_INVALID, "ALL_GATHER: operand out has shape %s, expected that of x for each of %u devices", shape_text(out).text, p[2]);
}
const char* all_gather(Context& ctx, const uint32_t* p, const View* o, int count) {
  LF_CHECK(check_all_gather(ctx, p, o, count));
  const View &x = o[0], &out = o[1];
  const int64_t bytes = element_count(x) * element_bytes(x.dtype);
  if (p[2] == 1) {
    __builtin_memcpy(out.data, x.data, size_t(bytes));
    return nullptr;
  }
  Meeting meeting;
  LF_CHECK(meeting.begin(ctx, "ALL_GATHER", LF_OP_ALL_GATHER, p, x, element_count(x)));
  ctx.for_each(int64_t(p[2]), [&](int64_t r, int) {
    __builtin_memcpy(out.data + r * bytes, meeting.data[r], size_t(bytes));
  });
  // Nobody's x may change before all have read it.
  return meeting.end(ctx, "ALL_GATHER");
}

}  // namespace

void register_collective(KernelTable& table) {
  table.entry[LF_OP_ALL_REDUCE] = {all_reduce, check_all_reduce};
  table.entry[LF_OP_ALL_GATHER] = {all_gather, check_all_gather};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
