// Matrix products by the vendor's library (cuBLASLt, hipBLASLt), which is looked up at run time: nothing is linked.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "driver.h"
#include "largeforge/backend.h"

namespace lf_gpu {

// What differs between the two libraries, which are otherwise the same but for their names. The plugin gives it.
struct BlasVendor {
  const char* environment;   // the variable that names the library
  const char* libraries[3];  // else these are tried
  const char* prefix;        // of every function
  int compute_f32, transpose_a, transpose_b;  // numbers of the headers
};
const BlasVendor& blas_vendor();

// out[m, n] = alpha * a[m, k] b[n, k]^T + beta * out, out dense along n. An operand is dense along its depth k or, `by_rows`,
// along its rows; the stride is of the other direction, in elements.
struct BlasProduct {
  const void *a = nullptr, *b = nullptr;
  void* out = nullptr;
  int64_t m = 0, n = 0, k = 0, a_stride = 0, b_stride = 0, out_stride = 0;
  bool a_by_rows = false, b_by_rows = false;
  lf_dtype type = LF_BF16, out_type = LF_BF16;
  float alpha = 1.0f, beta = 0.0f;
};

class Blas {
 public:
  // For the current device. Null where the library is missing or lacks something, or LF_GPU_BLAS is 0.
  static std::unique_ptr<Blas> open();
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  static constexpr uint64_t kWorkspaceBytes = 32 << 20;
  // False when the library has nothing for the product, or failed; nothing was handed to the stream then.
  bool multiply(const BlasProduct& product, void* workspace, Stream stream);

 private:
  struct Symbols;
  struct Plan;
  Blas();
  bool prepare(const BlasProduct& product, Plan& plan);

  std::unique_ptr<Symbols> f_;
  void* handle_ = nullptr;
  std::mutex mutex_;
  std::map<std::string, Plan> plans_;  // by shape
};

// What names a product's shape in plans and tables.
std::string shape_of(const BlasProduct& product);

}  // namespace lf_gpu
