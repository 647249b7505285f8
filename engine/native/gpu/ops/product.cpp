#include "product.h"

#include <cstdio>

#include "packed.h"

namespace lf_gpu {
namespace {

uint32_t bytes_of(uint32_t dtype) { return dtype == LF_F32 ? 4 : 2; }

// Whether eight elements along the dense direction may move as words, given where rows (or slices) start.
bool moves_as_words(const MatrixSource& s) {
  const int64_t other = s.depth_stride == 1 ? s.row_stride : s.depth_stride;
  return reinterpret_cast<uintptr_t>(s.data) % 16 == 0 && other % 8 == 0 && s.group_stride % 8 == 0;
}

// How the asynchronous kernel can take an operand: dense along the depth, along the rows, or not at all.
enum class Form { kDepth, kRows, kNone };
Form form_of(const MatrixSource& s, lf_dtype type, int64_t rows, int64_t depth) {
  if (s.dtype != static_cast<uint32_t>(type) || !s.vector) return Form::kNone;
  if (s.depth_stride == 1 && depth % 8 == 0) return Form::kDepth;
  if (s.row_stride == 1 && rows % 8 == 0 && !s.index) return Form::kRows;
  return Form::kNone;
}

const char* pack_into(Context& c, const MatrixSource& source, lf_dtype type, int64_t rows, int64_t columns, MatrixSource* packed) {
  PackArgs args{};
  args.source = source;
  args.out_dtype = type;
  args.rows = rows, args.columns = columns, args.stride = round_up(columns, 8);
  args.out = static_cast<uint8_t*>(c.workspace(static_cast<uint64_t>(rows * args.stride) * bytes_of(type)));
  if (!args.out) return c.exhausted();
  *packed = dense_source(args.out, type, args.stride);
  const int64_t chunks = rows * args.stride / 8;
  const uint32_t threads = threads_for(c, chunks, kPackThreads);
  return c.launch("pack_rows", {static_cast<uint32_t>(ceil_div(chunks, threads))}, threads, 0, args);
}

int64_t row_tiles(const GemmArgs& args, int64_t rows_of_block) {
  return ceil_div(args.m, rows_of_block) + (args.group_kind == kGroupedRows ? args.groups : 0);
}

// Brings an operand into rows of a 16-bit type that move as words, where it is not.
const char* as_rows(Context& c, MatrixSource* s, lf_dtype type, int64_t rows, int64_t depth) {
  return form_of(*s, type, rows, round_up(depth, 8)) == Form::kDepth ? nullptr : pack_into(c, *s, type, rows, depth, s);
}

// A product that the vendor's library could form: nothing is done to its sums but scaling.
bool is_plain(const GemmArgs& args, lf_dtype type) {
  const bool known = args.out_dtype == LF_F32 || args.out_dtype == static_cast<uint32_t>(type);
  return args.depth2 == 0 && args.group_kind == kNoGroups && args.out && known && args.out_column_stride == 1 && !args.out_index && !args.bias &&
         !args.activation && !args.copy && !args.start && !args.row_limit && !args.a.index && !args.b.index;
}

BlasProduct blas_product(const GemmArgs& args, lf_dtype type, bool a_by_rows, bool b_by_rows) {
  BlasProduct p;
  p.a = args.a.data, p.b = args.b.data, p.out = args.out;
  p.m = args.m, p.n = args.n, p.k = args.depth;
  p.a_by_rows = a_by_rows, p.b_by_rows = b_by_rows;
  p.a_stride = a_by_rows ? args.a.depth_stride : args.a.row_stride, p.b_stride = b_by_rows ? args.b.depth_stride : args.b.row_stride;
  p.out_stride = args.out_row_stride;
  p.type = type, p.out_type = static_cast<lf_dtype>(args.out_dtype);
  p.alpha = args.alpha, p.beta = args.beta;
  return p;
}

const char* launch_product(Context& c, const char* kernel, const GemmArgs& args, int64_t rows, int64_t columns, uint32_t threads,
                           uint32_t shared) {
  const int64_t down = row_tiles(args, rows), across = ceil_div(args.n, columns);
  if (down > 65535) return c.fail(LF_UNSUPPORTED, "a product of %lld rows at once", (long long)args.m);
  const uint32_t groups = args.group_kind == kGroupedDepth ? args.groups : 1;
  return c.launch(kernel, {static_cast<uint32_t>(across), static_cast<uint32_t>(down), groups}, threads, shared, args);
}

// A product with a weight whose 4-bit codes lie in planes.
bool takes_packed(const GemmArgs& args) {
  return args.b.groups && args.group_kind == kNoGroups && !args.a.index && reinterpret_cast<uintptr_t>(args.b.data) % 16 == 0;
}
const char* multiply_packed(Context& c, GemmArgs args, uint32_t math) {
  const uint32_t warp = c.info().warp;
  if (math != LF_MATH_BF16 || !c.info().multiplies_bf16) {
    args.round_operands = math == LF_MATH_BF16;
    return launch_product(c, "gemm_packed_plain", args, kThinRows, kPackedThinColumns, kPackedPlainThreads, kPackedPlainShared);
  }
  LF_RETURN_IF(as_rows(c, &args.a, LF_BF16, args.m, args.depth));
  if (args.depth2 > 0) {
    LF_RETURN_IF(as_rows(c, &args.a2, LF_BF16, args.m, args.depth2));
    LF_RETURN_IF(as_rows(c, &args.b2, LF_BF16, args.n, args.depth2));
  }
  if (args.m <= kPackedThinRows)
    return launch_product(c, "gemm_packed_thin", args, kPackedThinRows, kPackedThinColumns, kPackedThinWarps * warp, kPackedThinShared);
  return launch_product(c, "gemm_packed", args, kPackedRows, kPackedColumns, kPackedWarps * warp, kPackedShared);
}

}  // namespace

MatrixSource source_of(const View& v, int row, int depth) {
  MatrixSource s{};
  s.data = v.data;
  s.dtype = static_cast<uint32_t>(v.dtype);
  s.row_stride = v.stride[row], s.depth_stride = v.stride[depth];
  // A single row or slice may have any stride.
  if (v.shape[depth] == 1) s.depth_stride = s.row_stride == 1 ? s.depth_stride : 1;
  if (v.rank == 3) s.group_stride = v.stride[0];
  s.vector = moves_as_words(s);
  return s;
}

MatrixSource dense_source(const void* data, lf_dtype dtype, int64_t stride) {
  MatrixSource s{};
  s.data = static_cast<const uint8_t*>(data);
  s.dtype = static_cast<uint32_t>(dtype);
  s.row_stride = stride, s.depth_stride = 1;
  s.vector = moves_as_words(s);
  return s;
}

MatrixSource weight_source(const View& w, bool forward) {
  if (is_blocks(w.dtype)) {
    MatrixSource s{};
    s.data = w.data;
    s.dtype = static_cast<uint32_t>(w.dtype);
    s.row_stride = w.shape[1], s.depth_stride = 1;
    if (has_planes(s.dtype) && w.layout != LF_LAYOUT_STRIDED) {
      s.group_depth = codes_group(s.dtype, w.group);
      s.groups_of_row = ceil_div(w.shape[1], s.group_depth);
      s.groups = w.data + codes_bytes(static_cast<uint64_t>(w.shape[0]), static_cast<uint64_t>(w.shape[1]));
    }
    return s;
  }
  if (w.layout == LF_LAYOUT_STRIDED) return forward ? source_of(w, 0, 1) : source_of(w, 1, 0);
  return dense_source(w.data, w.dtype, packed_stride(w.layout == LF_LAYOUT_PACKED_FORWARD ? w.shape[1] : w.shape[0]));
}

lf_dtype product_type(uint32_t math, uint32_t a, uint32_t b, bool exact) {
  if (math == LF_MATH_BF16) return LF_BF16;
  // Products of two numbers of 16 bits are exact in f32.
  if (!exact && a == b && (a == LF_BF16 || a == LF_F16)) return static_cast<lf_dtype>(a);
  return LF_F32;
}

void set_output(GemmArgs& args, const View& y) {
  args.out = y.data;
  args.out_dtype = static_cast<uint32_t>(y.dtype);
  args.out_row_stride = y.stride[y.rank - 2], args.out_column_stride = y.stride[y.rank - 1];
  if (y.rank == 3) args.out_group_stride = y.stride[0];
}

const char* multiply(Context& c, GemmArgs args, uint32_t math) {
  if (args.m == 0 || args.n == 0) return nullptr;
  const bool second = args.depth2 > 0;
  if (takes_packed(args) && ((math == LF_MATH_BF16 && c.info().multiplies_bf16) || (args.m <= kThinRows && !args.row_limit)))
    return multiply_packed(c, args, math);
  const bool few = args.group_kind == kNoGroups ? args.m <= kThinRows : args.group_kind == kGroupedRows && args.m <= kThinRows * args.groups;
  if (few && !args.row_limit && !args.b.groups && (is_blocks(args.b.dtype) || args.b.depth_stride == 1)) {
    args.round_operands = math == LF_MATH_BF16;
    return launch_product(c, "gemm_thin", args, kThinRows, kThinWarps * kThinColumns, kThinWarps * c.info().warp, kThinShared);
  }
  const lf_dtype type = product_type(math, args.a.dtype, args.b.dtype, second);
  if (type != LF_F32) {
    const Form a = form_of(args.a, type, args.m, args.depth), b = form_of(args.b, type, args.n, args.depth);
    const bool grouped_depth = args.group_kind == kGroupedDepth;
    const char* kind = nullptr;
    if (a == Form::kDepth && b == Form::kDepth && !grouped_depth) kind = "nn";
    if (a == Form::kDepth && b == Form::kRows && !grouped_depth) kind = "nt";
    // Groups of rows may begin anywhere, where no words do.
    if (a == Form::kRows && b == Form::kRows && args.group_kind != kGroupedRows) kind = "tt";
    if (kind && second) {
      LF_RETURN_IF(as_rows(c, &args.a2, type, args.m, args.depth2));
      if (form_of(args.b2, type, args.n, args.depth2) != b) {
        MatrixSource flat = args.b2;
        if (b == Form::kRows) std::swap(flat.row_stride, flat.depth_stride);
        const bool depth = b == Form::kDepth;
        LF_RETURN_IF(pack_into(c, flat, type, depth ? args.n : args.depth2, depth ? args.depth2 : args.n, &args.b2));
        if (!depth) std::swap(args.b2.row_stride, args.b2.depth_stride);
      }
    }
    if (kind) {
      char kernel[32];
      snprintf(kernel, sizeof kernel, "gemm_async_%s_%s", kind, type == LF_BF16 ? "bf16" : "f16");
      const uint32_t shared = async_gemm_shared(a == Form::kRows, b == Form::kRows);
      auto own = [&](void* out, float beta) {
        GemmArgs mine = args;
        mine.out = static_cast<uint8_t*>(out), mine.beta = beta;
        return launch_product(c, kernel, mine, kAsyncRows, kAsyncColumns, kAsyncThreads, shared);
      };
      if (is_plain(args, type)) {
        const BlasProduct product = blas_product(args, type, a == Form::kRows, b == Form::kRows);
        if (c.multiply_by_vendor(product, [&](void* out) { return own(out, 0.0f); })) return nullptr;
      }
      return own(args.out, args.beta);
    }
  }
  const char* kernel = type == LF_F32 ? "gemm_f32" : type == LF_BF16 ? "gemm_bf16" : "gemm_f16";
  return launch_product(c, kernel, args, kGemmRows, kGemmColumns, kGemmWarps * c.info().warp, general_gemm_shared(bytes_of(type)));
}

const char* expect_matrix(Context& c, const View& v, const char* name, int64_t rows, int64_t columns) {
  return expect_floats(c, v, name, {rows, columns});
}

const char* expect_weight(Context& c, const View& w, const char* name, lf_layout layout, bool blocks) {
  if (!w.present()) return c.fail(LF_INVALID, "operand %s is absent", name);
  if (w.rank != 2) return c.fail(LF_INVALID, "operand %s has %d dimensions, expected 2", name, w.rank);
  if (w.layout == LF_LAYOUT_STRIDED) {
    if (is_float(w) || (blocks && is_blocks(w.dtype) && w.shape[1] % block_extent(w.dtype) == 0)) return nullptr;
    return c.fail(LF_UNSUPPORTED, "operand %s is strided, of data type %d", name, w.dtype);
  }
  if (w.layout != layout) return c.fail(LF_INVALID, "operand %s is packed for another use (layout %d)", name, w.layout);
  if (packed_bytes(w.dtype, w.layout, static_cast<uint32_t>(w.shape[0]), static_cast<uint32_t>(w.shape[1]), w.group) || w.elements() == 0)
    return nullptr;
  return c.fail(LF_UNSUPPORTED, "operand %s is packed as data type %d", name, w.dtype);
}

const char* expect_math(Context& c, uint32_t math) {
  return math <= LF_MATH_BF16 ? nullptr : c.fail(LF_UNSUPPORTED, "there is no math mode %u", math);
}

}  // namespace lf_gpu
