#include "checks.h"

#include <cstdio>
#include <string>

namespace lf_gpu {
namespace {

std::string shape_text(const View& v) {
  std::string text = "[";
  for (int d = 0; d < v.rank; d++) text += (d ? ", " : "") + std::to_string(v.shape[d]);
  return text + "]";
}

// Pads in front and joins neighbouring dimensions, but for the last `kept`.
Operand joined(const View& v, int kept) {
  Operand o{};
  o.data = v.data;
  o.dtype = static_cast<uint32_t>(v.dtype);
  uint32_t shape[4], stride[4];
  int rank = 0;
  for (int d = 0; d < v.rank; d++) {
    const uint32_t extent = static_cast<uint32_t>(v.shape[d]), step = static_cast<uint32_t>(v.stride[d]);
    const bool may_join = rank > 0 && d < v.rank - kept;
    if (may_join && extent == 1) continue;
    if (may_join && shape[rank - 1] == 1) {
      shape[rank - 1] = extent, stride[rank - 1] = step;
    } else if (may_join && uint64_t{stride[rank - 1]} == uint64_t{step} * extent && uint64_t{shape[rank - 1]} * extent < 0xffffffffu) {
      shape[rank - 1] *= extent, stride[rank - 1] = step;
    } else {
      shape[rank] = extent, stride[rank++] = step;
    }
  }
  for (int d = 0; d < 4; d++) {
    const int from = d - (4 - rank);
    o.shape[d] = from < 0 ? 1 : shape[from];
    o.stride[d] = from < 0 ? 0 : stride[from];
  }
  // Kernels look at dimension 0 when 1 and 2 are 1.
  if (o.shape[1] == 1 && o.shape[0] == 1 && o.shape[2] != 1) {
    o.shape[0] = o.shape[2], o.stride[0] = o.stride[2];
    o.shape[2] = 1, o.stride[2] = 0;
  }
  bool vector = is_float(v) && o.shape[3] % 8 == 0 && (o.stride[3] == 1) && reinterpret_cast<uintptr_t>(v.data) % 16 == 0;
  for (int d = 0; d < 3; d++) vector = vector && (o.shape[d] == 1 || o.stride[d] % 8 == 0);
  if (vector) o.flags |= kVector;
  return o;
}

}  // namespace

const char* expect_strided(Context& c, const View& v, const char* name) {
  if (!v.present()) return c.fail(LF_INVALID, "operand %s is absent", name);
  return v.layout == LF_LAYOUT_STRIDED ? nullptr : c.fail(LF_INVALID, "operand %s has a packed layout", name);
}
const char* expect_float(Context& c, const View& v, const char* name) {
  LF_RETURN_IF(expect_strided(c, v, name));
  return is_float(v) ? nullptr : c.fail(LF_UNSUPPORTED, "operand %s has data type %d; f32, bf16 and f16 are possible", name, v.dtype);
}
const char* expect_dtype(Context& c, const View& v, const char* name, lf_dtype dtype) {
  LF_RETURN_IF(expect_strided(c, v, name));
  return v.dtype == dtype ? nullptr : c.fail(LF_UNSUPPORTED, "operand %s has data type %d, expected %d", name, v.dtype, dtype);
}
const char* expect_rank(Context& c, const View& v, const char* name, int low, int high) {
  LF_RETURN_IF(expect_strided(c, v, name));
  return v.rank >= low && v.rank <= high ? nullptr : c.fail(LF_INVALID, "operand %s has %d dimensions", name, v.rank);
}
const char* expect_shape(Context& c, const View& v, const char* name, std::initializer_list<int64_t> shape) {
  if (!v.present()) return c.fail(LF_INVALID, "operand %s is absent", name);
  bool same = v.rank == static_cast<int>(shape.size());
  std::string text;
  int d = 0;
  for (int64_t extent : shape) {
    text += (d ? ", " : "") + std::to_string(extent);
    same = same && v.shape[d] == extent;
    d++;
  }
  return same ? nullptr : c.fail(LF_INVALID, "operand %s has shape %s, expected [%s]", name, shape_text(v).c_str(), text.c_str());
}
const char* expect_same_shape(Context& c, const View& v, const char* name, const View& other, const char* other_name) {
  LF_RETURN_IF(expect_strided(c, v, name));
  bool same = v.rank == other.rank;
  for (int d = 0; d < v.rank && same; d++) same = v.shape[d] == other.shape[d];
  if (same) return nullptr;
  return c.fail(LF_INVALID, "operand %s has shape %s, but %s has %s", name, shape_text(v).c_str(), other_name, shape_text(other).c_str());
}
const char* expect_floats(Context& c, const View& v, const char* name, std::initializer_list<int64_t> shape) {
  LF_RETURN_IF(expect_float(c, v, name));
  return expect_shape(c, v, name, shape);
}
const char* expect_indices(Context& c, const View& v, const char* name, std::initializer_list<int64_t> shape) {
  LF_RETURN_IF(expect_dtype(c, v, name, LF_I32));
  return expect_shape(c, v, name, shape);
}
const char* expect_dense_rows(Context& c, const View& v, const char* name) {
  const bool dense = v.rank > 0 && (v.stride[v.rank - 1] == 1 || v.shape[v.rank - 1] <= 1);
  return dense ? nullptr : c.fail(LF_UNSUPPORTED, "operand %s: elements of a row do not lie next to each other", name);
}
bool is_contiguous(const View& v) {
  int64_t expected = 1;
  for (int d = v.rank; d-- > 0;) {
    if (v.shape[d] != 1 && v.stride[d] != expected) return false;
    expected *= v.shape[d];
  }
  return true;
}
const char* expect_contiguous(Context& c, const View& v, const char* name) {
  return is_contiguous(v) || v.elements() == 0 ? nullptr : c.fail(LF_UNSUPPORTED, "operand %s is not contiguous", name);
}

Operand elements_of(const View& v) { return joined(v, 0); }
Operand rows_of(const View& v) { return joined(v, 1); }

Operand matrix_of(void* data, lf_dtype dtype, int64_t rows, int64_t columns) {
  View v{};
  v.data = static_cast<uint8_t*>(data);
  v.dtype = dtype;
  v.rank = 2;
  v.shape[0] = rows, v.shape[1] = columns;
  v.stride[0] = columns, v.stride[1] = 1;
  return rows_of(v);
}

const char* expect_cache_scale(Context& c, const View& scale, const char* name, const View& cache) {
  if (cache.dtype != LF_I8) return scale.present() ? c.fail(LF_INVALID, "operand %s is given, but the cache is of floats", name) : nullptr;
  LF_RETURN_IF(expect_dtype(c, scale, name, LF_F32));
  LF_RETURN_IF(expect_rank(c, scale, name, 3, 3));
  LF_RETURN_IF(expect_shape(c, scale, name, {cache.shape[0], cache.shape[1], cache.shape[2]}));
  return expect_dense_rows(c, scale, name);
}

}  // namespace lf_gpu
