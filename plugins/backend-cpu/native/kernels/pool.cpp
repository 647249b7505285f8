// MEAN_POOL: mean over each sequence of a packed batch.
#include "operands.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

const char* check_mean_pool(Context& ctx, const uint32_t*, const View* o, int) {
  const View &x = o[0], &cu = o[1], &out = o[2];
  LF_CHECK(expect_float(ctx, "MEAN_POOL", "x", x));
  LF_CHECK(expect_rank(ctx, "MEAN_POOL", "x", x, 2));
  LF_CHECK(expect_dtype(ctx, "MEAN_POOL", "cu", cu, LF_I32));
  LF_CHECK(expect_rank(ctx, "MEAN_POOL", "cu", cu, 1));
  if (cu.shape[0] < 1) return ctx.fail(LF_INVALID, "MEAN_POOL: operand cu is empty, expected one more than sequences");
  LF_CHECK(expect_dtype(ctx, "MEAN_POOL", "out", out, LF_F32));
  return expect_shape(ctx, "MEAN_POOL", "out", out, cu.shape[0] - 1, x.shape[1]);
}

const char* mean_pool(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_mean_pool(ctx, params, o, count));
  const View &x = o[0], &cu = o[1], &out = o[2];
  const int64_t n = x.shape[1], sequences = out.shape[0];
  auto start_of = [&](int64_t b) { return int64_t(cu.as<const int32_t>()[b * cu.stride[0]]); };
  for (int64_t b = 0; b < sequences; b++)
    if (start_of(b) < 0 || start_of(b + 1) < start_of(b) || start_of(b + 1) > x.shape[0])
      return ctx.fail(LF_INVALID, "MEAN_POOL: sequence %lld is rows %lld to %lld of x %s", (long long)b,
                      (long long)start_of(b), (long long)start_of(b + 1), shape_text(x).text);
  const size_t row_bytes = round_up(larger<int64_t>(n, 1), 16) * 4, bytes = 2 * row_bytes;
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, bytes)) return out_of_scratch(ctx, "MEAN_POOL", bytes);
  ctx.for_each(sequences, [&](int64_t b, int worker) {
    uint8_t* scratch = static_cast<uint8_t*>(ctx.local(worker, bytes));
    float *total = reinterpret_cast<float*>(scratch), *row = reinterpret_cast<float*>(scratch + row_bytes);
    for (int64_t i = 0; i < n; i++) total[i] = 0.0f;
    for (int64_t t = start_of(b); t < start_of(b + 1); t++) {
      const float* src = read_row(x, t * x.stride[0], n, x.stride[1], row);
      for_lanes(n, [&](int64_t i, int64_t lanes) {
        store_lanes(total + i, load_lanes(total + i, lanes) + load_lanes(src + i, lanes), lanes);
      });
    }
    const int64_t length = start_of(b + 1) - start_of(b);
    float factor = length ? 1.0f / float(length) : 0.0f;
    if (params[0]) {
      f32v squares = broadcast(0.0f);
      for_lanes(n, [&](int64_t i, int64_t lanes) {
        const f32v v = load_lanes(total + i, lanes) * factor;
        squares = fma(v, v, squares);
      });
      const float norm = __builtin_sqrtf(sum(squares));
      factor /= norm > 1e-12f ? norm : 1e-12f;  // the floor that PyTorch's normalize has
    }
    for_lanes(n, [&](int64_t i, int64_t lanes) { store_lanes(total + i, load_lanes(total + i, lanes) * factor, lanes); });
    write_row(out, b * out.stride[0], n, out.stride[1], total);
  });
  return nullptr;
}

}  // namespace

void register_pool(KernelTable& table) { table.entry[LF_OP_MEAN_POOL] = {mean_pool, check_mean_pool}; }

}  // namespace LF_ISA
}  // namespace lf_cpu
