// The part of cuBLASLt and hipBLASLt that the runtime uses, on the fake driver: a product is formed when its stream gets
// there. Refuses layouts that don't fit each other, memory that is not live, and more workspace than was announced.
#include <cstdlib>
#include <cstring>
#include <functional>

#include "fake_driver.h"
#include "numbers.h"

#define LF_SYMBOL extern "C" __attribute__((visibility("default")))

namespace {

enum { kSuccess = 0, kInvalidValue = 7, kNotSupported = 15 };
enum { kReal32 = 0, kReal16 = 2, kBrain16 = 14 };

struct Desc {
  int compute, scale;
  int transposed[2] = {0, 0};
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t stride;
  uint64_t element_bytes() const { return type == kReal32 ? 4 : 2; }
  uint64_t bytes() const { return ((columns - 1) * static_cast<uint64_t>(stride) + rows) * element_bytes(); }
};
struct Preference {
  uint64_t workspace = 0;
};
// What a heuristic's result holds of the algorithm: enough to see that it comes back.
constexpr uint64_t kAlgorithm = 0x4c46424c41532121u;

NumberType number_type(const Layout& l) {
  return l.type == kReal32 ? NumberType::kF32 : l.type == kReal16 ? NumberType::kF16 : NumberType::kBf16;
}
float number(const void* data, const Layout& l, uint64_t row, uint64_t column) {
  return read_number(data, number_type(l), column * static_cast<uint64_t>(l.stride) + row);
}
void set_number(void* data, const Layout& l, uint64_t row, uint64_t column, float v) {
  write_number(data, number_type(l), column * static_cast<uint64_t>(l.stride) + row, v);
}

// op(first) [n, k], op(second) [k, m], out [n, m], all column-major.
bool fits(const Desc& d, const Layout& first, const Layout& second, const Layout& out) {
  const uint64_t n = d.transposed[0] ? first.columns : first.rows, k = d.transposed[0] ? first.rows : first.columns;
  const uint64_t depth = d.transposed[1] ? second.columns : second.rows, m = d.transposed[1] ? second.rows : second.columns;
  return k == depth && out.rows == n && out.columns == m && first.type == second.type && first.stride >= int64_t(first.rows) &&
         second.stride >= int64_t(second.rows) && out.stride >= int64_t(out.rows);
}

int set_transposed(void* desc, int attribute, int numbers_first, const void* value, size_t bytes) {
  if (bytes != 4 || (attribute != numbers_first && attribute != numbers_first + 1)) return kInvalidValue;
  memcpy(&static_cast<Desc*>(desc)->transposed[attribute - numbers_first], value, 4);
  return kSuccess;
}

int heuristic(void* desc, void* a, void* b, void* c, void* d, void* preference, void* results, int* found) {
  *found = 0;
  const auto& out = *static_cast<Layout*>(d);
  if (c != d || !fits(*static_cast<Desc*>(desc), *static_cast<Layout*>(a), *static_cast<Layout*>(b), out)) return kInvalidValue;
  if (!static_cast<Preference*>(preference)->workspace) return kNotSupported;
  memcpy(results, &kAlgorithm, sizeof kAlgorithm);
  *found = 1;
  return kSuccess;
}

int matmul(void* desc, const void* alpha, const void* a, void* a_layout, const void* b, void* b_layout, const void* beta, void* d, void* d_layout,
           const void* algorithm, void* workspace, size_t workspace_bytes, void* stream) {
  const Desc description = *static_cast<Desc*>(desc);
  const Layout first = *static_cast<Layout*>(a_layout), second = *static_cast<Layout*>(b_layout), out = *static_cast<Layout*>(d_layout);
  if (!fits(description, first, second, out) || memcmp(algorithm, &kAlgorithm, sizeof kAlgorithm)) return kInvalidValue;
  for (auto [data, bytes] : {std::pair{a, first.bytes()}, {b, second.bytes()}, {static_cast<const void*>(d), out.bytes()},
                             {static_cast<const void*>(workspace), uint64_t{workspace_bytes}}}) {
    if (!fake::live(data, bytes)) return kInvalidValue;
  }
  float scale, keep;
  memcpy(&scale, alpha, 4), memcpy(&keep, beta, 4);
  const char* cost = getenv("LF_EMULATED_BLAS_COST");
  return fake::host_work(static_cast<fake::Stream*>(stream), cost ? atof(cost) : 0.0, [=]() -> fake::Result {
    const uint64_t depth = description.transposed[0] ? first.rows : first.columns;
    for (uint64_t m = 0; m < out.columns; m++) {
      for (uint64_t n = 0; n < out.rows; n++) {
        float sum = 0.0f;
        for (uint64_t k = 0; k < depth; k++) {
          sum += (description.transposed[0] ? number(a, first, k, n) : number(a, first, n, k)) *
                 (description.transposed[1] ? number(b, second, m, k) : number(b, second, k, m));
        }
        set_number(d, out, n, m, scale * sum + (keep != 0.0f ? keep * number(d, out, n, m) : 0.0f));
      }
    }
    return fake::kOk;
  });
}

}  // namespace

// Both libraries, whose numbers for the transposes differ.
#define LF_BLAS(prefix, first)                                                                                                              \
  LF_SYMBOL int prefix##Create(void** handle) { return *handle = malloc(1), kSuccess; }                                                     \
  LF_SYMBOL int prefix##Destroy(void* handle) { return free(handle), kSuccess; }                                                            \
  LF_SYMBOL int prefix##MatmulDescCreate(void** desc, int compute, int scale) { return *desc = new Desc{compute, scale}, kSuccess; }        \
  LF_SYMBOL int prefix##MatmulDescSetAttribute(void* desc, int attribute, const void* value, size_t bytes) {                                \
    return set_transposed(desc, attribute, first, value, bytes);                                                                            \
  }                                                                                                                                         \
  LF_SYMBOL int prefix##MatmulDescDestroy(void* desc) { return delete static_cast<Desc*>(desc), kSuccess; }                                 \
  LF_SYMBOL int prefix##MatrixLayoutCreate(void** layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {                      \
    return *layout = new Layout{type, rows, columns, stride}, kSuccess;                                                                     \
  }                                                                                                                                         \
  LF_SYMBOL int prefix##MatrixLayoutDestroy(void* layout) { return delete static_cast<Layout*>(layout), kSuccess; }                         \
  LF_SYMBOL int prefix##MatmulPreferenceCreate(void** preference) { return *preference = new Preference, kSuccess; }                        \
  LF_SYMBOL int prefix##MatmulPreferenceSetAttribute(void* preference, int attribute, const void* value, size_t bytes) {                    \
    if (attribute != 1 || bytes != 8) return kInvalidValue;                                                                                 \
    return memcpy(&static_cast<Preference*>(preference)->workspace, value, 8), kSuccess;                                                    \
  }                                                                                                                                         \
  LF_SYMBOL int prefix##MatmulPreferenceDestroy(void* preference) { return delete static_cast<Preference*>(preference), kSuccess; }         \
  LF_SYMBOL int prefix##MatmulAlgoGetHeuristic(void*, void* desc, void* a, void* b, void* c, void* d, void* preference, int,                \
                                               void* results, int* found) {                                                                 \
    return heuristic(desc, a, b, c, d, preference, results, found);                                                                         \
  }                                                                                                                                         \
  LF_SYMBOL int prefix##Matmul(void*, void* desc, const void* alpha, const void* a, void* a_layout, const void* b, void* b_layout,          \
                               const void* beta, const void*, void*, void* d, void* d_layout, const void* algorithm, void* workspace,       \
                               size_t workspace_bytes, void* stream) {                                                                      \
    return matmul(desc, alpha, a, a_layout, b, b_layout, beta, d, d_layout, algorithm, workspace, workspace_bytes, stream);                 \
  }
LF_BLAS(cublasLt, 3)
LF_BLAS(hipblasLt, 0)
