#include "blas.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "library.h"

namespace lf_gpu {
namespace {

// Numbers that both headers share: data types, operations, and the preference for workspace.
enum { kReal32 = 0, kReal16 = 2, kBrain16 = 14, kPlain = 0, kTransposed = 1, kWorkspacePreference = 1 };
int type_of(lf_dtype dtype) { return dtype == LF_F32 ? kReal32 : dtype == LF_F16 ? kReal16 : kBrain16; }

// The result of the heuristic begins with the algorithm; it is 96 bytes in cuBLASLt 11 to 13, and less in hipBLASLt.
constexpr size_t kHeuristicBytes = 1024;

bool aligned(const BlasProduct& p) {
  const int64_t out_bytes = p.out_type == LF_F32 ? 4 : 2;
  auto whole = [](const void* data, int64_t bytes) { return reinterpret_cast<uintptr_t>(data) % 16 == 0 && bytes % 16 == 0; };
  return whole(p.a, p.a_stride * 2) && whole(p.b, p.b_stride * 2) && whole(p.out, p.out_stride * out_bytes);
}

}  // namespace

std::string shape_of(const BlasProduct& p) {
  char text[160];
  snprintf(text, sizeof text, "%s-%s%s-%s-%lldx%lldx%lld", p.type == LF_BF16 ? "bf16" : "f16", p.a_by_rows ? "t" : "n", p.b_by_rows ? "t" : "n",
           p.out_type == LF_F32 ? "f32" : p.out_type == LF_BF16 ? "bf16" : "f16", (long long)p.m, (long long)p.n, (long long)p.k);
  return text;
}

struct Blas::Symbols {
  int (*create)(void**);
  int (*destroy)(void*);
  int (*desc_create)(void**, int, int);
  int (*desc_set)(void*, int, const void*, size_t);
  int (*desc_destroy)(void*);
  int (*layout_create)(void**, int, uint64_t, uint64_t, int64_t);
  int (*layout_destroy)(void*);
  int (*preference_create)(void**);
  int (*preference_set)(void*, int, const void*, size_t);
  int (*preference_destroy)(void*);
  int (*heuristic)(void*, void*, void*, void*, void*, void*, void*, int, void*, int*);
  int (*matmul)(void*, void*, const void*, const void*, void*, const void*, void*, const void*, const void*, void*, void*, void*, const void*, void*,
                size_t, void*);

  bool find(const Library& library, const std::string& prefix) {
    std::string missing;
    auto get = [&](auto& function, const char* name) { return library.find(function, (prefix + name).c_str(), &missing); };
    return get(create, "Create") && get(destroy, "Destroy") && get(desc_create, "MatmulDescCreate") &&
           get(desc_set, "MatmulDescSetAttribute") && get(desc_destroy, "MatmulDescDestroy") && get(layout_create, "MatrixLayoutCreate") &&
           get(layout_destroy, "MatrixLayoutDestroy") && get(preference_create, "MatmulPreferenceCreate") &&
           get(preference_set, "MatmulPreferenceSetAttribute") && get(preference_destroy, "MatmulPreferenceDestroy") &&
           get(heuristic, "MatmulAlgoGetHeuristic") && get(matmul, "Matmul");
  }
};

// The library is column-major: it forms out^T [n, m] = b a^T, of the transposes that row-major memory is to it.
struct Blas::Plan {
  bool usable = false;
  void *desc = nullptr, *b = nullptr, *a = nullptr, *out = nullptr;
  int64_t strides[3] = {};
  alignas(16) uint8_t algorithm[kHeuristicBytes] = {};
};

Blas::Blas() : f_(new Symbols) {}

std::unique_ptr<Blas> Blas::open() {
  const char* setting = getenv("LF_GPU_BLAS");
  if (setting && strcmp(setting, "0") == 0) return nullptr;
  const BlasVendor& vendor = blas_vendor();
  const char* named = getenv(vendor.environment);
  Library library;
  std::string why;
  if (!(named ? library.open({named}, &why) : library.open({vendor.libraries[0], vendor.libraries[1], vendor.libraries[2]}, &why))) return nullptr;
  std::unique_ptr<Blas> blas(new Blas);
  if (!blas->f_->find(library, vendor.prefix) || blas->f_->create(&blas->handle_)) return nullptr;
  return blas;
}

Blas::~Blas() {
  for (auto& [shape, plan] : plans_) {
    if (plan.desc) f_->desc_destroy(plan.desc);
    for (void* layout : {plan.a, plan.b, plan.out}) {
      if (layout) f_->layout_destroy(layout);
    }
  }
  if (handle_) f_->destroy(handle_);
}

bool Blas::prepare(const BlasProduct& p, Plan& plan) {
  const BlasVendor& vendor = blas_vendor();
  const int first = p.b_by_rows ? kPlain : kTransposed, second = p.a_by_rows ? kTransposed : kPlain, type = type_of(p.type);
  auto layout = [&](void** out, bool by_rows, int64_t rows, int64_t stride) {
    const uint64_t down = static_cast<uint64_t>(by_rows ? rows : p.k), across = static_cast<uint64_t>(by_rows ? p.k : rows);
    return f_->layout_create(out, type, down, across, stride);
  };
  if (f_->desc_create(&plan.desc, vendor.compute_f32, kReal32) || f_->desc_set(plan.desc, vendor.transpose_a, &first, sizeof first) ||
      f_->desc_set(plan.desc, vendor.transpose_b, &second, sizeof second) || layout(&plan.b, p.b_by_rows, p.n, p.b_stride) ||
      layout(&plan.a, p.a_by_rows, p.m, p.a_stride) ||
      f_->layout_create(&plan.out, type_of(p.out_type), static_cast<uint64_t>(p.n), static_cast<uint64_t>(p.m), p.out_stride)) {
    return false;
  }
  void* preference = nullptr;
  if (f_->preference_create(&preference)) return false;
  const uint64_t most = kWorkspaceBytes;
  int found = 0;
  const bool good = !f_->preference_set(preference, kWorkspacePreference, &most, sizeof most) &&
                    !f_->heuristic(handle_, plan.desc, plan.b, plan.a, plan.out, plan.out, preference, 1, plan.algorithm, &found);
  f_->preference_destroy(preference);
  return good && found > 0;
}

bool Blas::multiply(const BlasProduct& p, void* workspace, Stream stream) {
  if (!aligned(p)) return false;
  Plan* plan;
  {
    char strides[96];
    snprintf(strides, sizeof strides, " %lld %lld %lld", (long long)p.a_stride, (long long)p.b_stride, (long long)p.out_stride);
    std::lock_guard<std::mutex> lock(mutex_);
    const auto [at, added] = plans_.try_emplace(shape_of(p) + strides);
    plan = &at->second;
    if (added) plan->usable = prepare(p, *plan);
    if (!plan->usable) return false;
  }
  const int status = f_->matmul(handle_, plan->desc, &p.alpha, p.b, plan->b, p.a, plan->a, &p.beta, p.out, plan->out, p.out, plan->out,
                                plan->algorithm, workspace, kWorkspaceBytes, stream);
  if (status == 0) return true;
  std::lock_guard<std::mutex> lock(mutex_);
  plan->usable = false;
  return false;
}

}  // namespace lf_gpu
