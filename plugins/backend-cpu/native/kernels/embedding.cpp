// EMBEDDING, EMBEDDING_BACKWARD and GATHER_COLUMNS.
#include <type_traits>

#include "operands.h"
#include "quant_formats.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

// Columns that one task of the backward pass owns: it adds all rows in order, so that no two tasks share an element.
constexpr int64_t kColumns = 64;

const char* check_ids(Context& ctx, const char* op, const View& ids, int64_t vocabulary, int32_t lowest) {
  for (int64_t t = 0; t < ids.shape[0]; t++) {
    const int32_t id = ids.as<const int32_t>()[t * ids.stride[0]];
    if (id < lowest || id >= vocabulary)
      return ctx.fail(LF_INVALID, "%s: id %d at position %lld is outside of the table of %lld rows", op, id, (long long)t,
                      (long long)vocabulary);
  }
  return nullptr;
}

const char* check_embedding(Context& ctx, const uint32_t*, const View* operands, int) {
  const View &ids = operands[0], &table = operands[1], &out = operands[2];
  LF_CHECK(expect_dtype(ctx, "EMBEDDING", "ids", ids, LF_I32));
  LF_CHECK(expect_rank(ctx, "EMBEDDING", "ids", ids, 1));
  LF_CHECK(expect_present(ctx, "EMBEDDING", "table", table));
  LF_CHECK(expect_strided(ctx, "EMBEDDING", "table", table));
  LF_CHECK(expect_rank(ctx, "EMBEDDING", "table", table, 2));
  LF_CHECK(expect_float(ctx, "EMBEDDING", "out", out));
  LF_CHECK(expect_shape(ctx, "EMBEDDING", "out", out, ids.shape[0], table.shape[1]));
  if (!is_block_format(table.dtype)) return expect_float(ctx, "EMBEDDING", "table", table);
  const int64_t block = block_elements(table.dtype);
  if (block == 0) return ctx.fail(LF_UNSUPPORTED, "EMBEDDING: table has unknown block format %d", int(table.dtype));
  if (table.shape[1] % block)
    return ctx.fail(LF_INVALID, "EMBEDDING: rows of table %s are no multiple of the %lld elements of a %s block",
                    shape_text(table).text, (long long)block, dtype_name(table.dtype));
  return nullptr;
}

const char* embedding(Context& ctx, const uint32_t* params, const View* operands, int count) {
  LF_CHECK(check_embedding(ctx, params, operands, count));
  const View &ids = operands[0], &table = operands[1], &out = operands[2];
  LF_CHECK(check_ids(ctx, "EMBEDDING", ids, table.shape[0], 0));
  const float scale = param_f32(params, 0);
  const bool accumulate = params[1] != 0;
  const int64_t n = table.shape[1];
  const size_t row_bytes = round_up(larger<int64_t>(n, 1), 16) * 4, bytes = 2 * row_bytes;
  for (int w = 0; w < ctx.workers(); w++)
    if (!ctx.local(w, bytes)) return out_of_scratch(ctx, "EMBEDDING", bytes);
  ctx.for_each(ids.shape[0], [&](int64_t t, int worker) {
    uint8_t* scratch = static_cast<uint8_t*>(ctx.local(worker, bytes));
    float *row = reinterpret_cast<float*>(scratch), *old = reinterpret_cast<float*>(scratch + row_bytes);
    const int64_t id = ids.as<const int32_t>()[t * ids.stride[0]], to = t * out.stride[0];
    const float* src = row;
    if (is_block_format(table.dtype)) {
      dequantize_row(table.dtype, table.data + id * (n / block_elements(table.dtype)) * block_bytes(table.dtype), n, row);
    } else {
      src = read_row(table, id * table.stride[0], n, table.stride[1], row);
    }
    if (scale != 1.0f || accumulate) {
      const float* base = accumulate ? read_row(out, to, n, out.stride[1], old) : nullptr;
      for_lanes(n, [&](int64_t i, int64_t lanes) {
        f32v v = load_lanes(src + i, lanes) * scale;
        if (base) v = v + load_lanes(base + i, lanes);
        store_lanes(row + i, v, lanes);
      });
      src = row;
    }
    write_row(out, to, n, out.stride[1], src);
  });
  return nullptr;
}

const char* check_embedding_backward(Context& ctx, const uint32_t*, const View* operands, int) {
  const View &ids = operands[0], &dout = operands[1], &dtable = operands[2];
  LF_CHECK(expect_dtype(ctx, "EMBEDDING_BACKWARD", "ids", ids, LF_I32));
  LF_CHECK(expect_rank(ctx, "EMBEDDING_BACKWARD", "ids", ids, 1));
  LF_CHECK(expect_dtype(ctx, "EMBEDDING_BACKWARD", "dtable", dtable, LF_F32));
  LF_CHECK(expect_rank(ctx, "EMBEDDING_BACKWARD", "dtable", dtable, 2));
  LF_CHECK(expect_float(ctx, "EMBEDDING_BACKWARD", "dout", dout));
  return expect_shape(ctx, "EMBEDDING_BACKWARD", "dout", dout, ids.shape[0], dtable.shape[1]);
}

const char* embedding_backward(Context& ctx, const uint32_t* params, const View* operands, int count) {
  LF_CHECK(check_embedding_backward(ctx, params, operands, count));
  const View &ids = operands[0], &dout = operands[1], &dtable = operands[2];
  LF_CHECK(check_ids(ctx, "EMBEDDING_BACKWARD", ids, dtable.shape[0], -1));
  const float scale = param_f32(params, 0);
  const int64_t columns = dtable.shape[1];
  ctx.for_each(ceil_div(columns, kColumns), [&](int64_t task, int) {
    const int64_t first = task * kColumns, n = smaller(kColumns, columns - first);
    float scratch[kColumns];
    for (int64_t t = 0; t < ids.shape[0]; t++) {
      const int64_t id = ids.as<const int32_t>()[t * ids.stride[0]];
      if (id < 0) continue;
      const float* src = read_row(dout, t * dout.stride[0] + first * dout.stride[1], n, dout.stride[1], scratch);
      float* dst = dtable.as<float>() + id * dtable.stride[0] + first * dtable.stride[1];
      if (dtable.stride[1] == 1) {
        for_lanes(n, [&](int64_t i, int64_t lanes) {
          store_lanes(dst + i, fma(load_lanes(src + i, lanes), broadcast(scale), load_lanes(dst + i, lanes)), lanes);
        });
      } else {
        for (int64_t i = 0; i < n; i++) dst[i * dtable.stride[1]] = fma(src[i], scale, dst[i * dtable.stride[1]]);
      }
    }
  });
  return nullptr;
}

const char* check_gather_columns(Context& ctx, const uint32_t*, const View* o, int) {
  const View &x = o[0], &index = o[1], &out = o[2];
  LF_CHECK(expect_float(ctx, "GATHER_COLUMNS", "x", x));
  LF_CHECK(expect_rank(ctx, "GATHER_COLUMNS", "x", x, 2));
  LF_CHECK(expect_dtype(ctx, "GATHER_COLUMNS", "index", index, LF_I32));
  LF_CHECK(expect_rank(ctx, "GATHER_COLUMNS", "index", index, 1));
  LF_CHECK(expect_float(ctx, "GATHER_COLUMNS", "out", out));
  return expect_shape(ctx, "GATHER_COLUMNS", "out", out, x.shape[0], index.shape[0]);
}

const char* gather_columns(Context& ctx, const uint32_t* params, const View* o, int count) {
  LF_CHECK(check_gather_columns(ctx, params, o, count));
  const View &x = o[0], &index = o[1], &out = o[2];
  const int64_t n = index.shape[0], k = x.shape[1], step = index.stride[0];
  const int32_t* at = index.as<const int32_t>();
  for (int64_t i = 0; i < n; i++)
    if (at[i * step] < 0 || at[i * step] >= k)
      return ctx.fail(LF_INVALID, "GATHER_COLUMNS: index %d at %lld is outside of the %lld columns of x", at[i * step], (long long)i,
                      (long long)k);
  const auto gather = [&](auto from, auto to) {
    using Source = decltype(from);
    using Target = decltype(to);
    constexpr int64_t kRun = 16;  // rows of a task
    ctx.for_each(ceil_div(x.shape[0], kRun), [&](int64_t task, int) {
      for (int64_t m = task * kRun; m < smaller(x.shape[0], (task + 1) * kRun); m++) {
        const Source* src = x.as<const Source>() + m * x.stride[0];
        Target* dst = out.as<Target>() + m * out.stride[0];
        for (int64_t i = 0; i < n; i++) {
          const Source value = src[at[i * step] * x.stride[1]];
          if constexpr (std::is_same_v<Source, Target>) dst[i * out.stride[1]] = value;
          else dst[i * out.stride[1]] = narrow<Target>(widen(value));
        }
      }
    });
  };
  with_float(x.dtype, [&](auto from) { with_float(out.dtype, [&](auto to) { gather(from, to); }); });
  return nullptr;
}

}  // namespace

void register_embedding(KernelTable& table) {
  table.entry[LF_OP_EMBEDDING] = {embedding, check_embedding};
  table.entry[LF_OP_EMBEDDING_BACKWARD] = {embedding_backward, check_embedding_backward};
  table.entry[LF_OP_GATHER_COLUMNS] = {gather_columns, check_gather_columns};
}

}  // namespace LF_ISA
}  // namespace lf_cpu
