// What the runtime does with the emulated device: that commands which come again are launched as graphs, that products go to the
// vendor's library where it is faster, and that the kernels touch little more memory than they must: bytes of the 32-byte sectors that each block touches, beside
// a model of the least. Of operands that several blocks share, a block's part counts for each. Prints a row for each case;
// exits with 1 when one is beyond kMost.
//
//   emulated_runtime BACKEND.so FAKE_DRIVER.so
#include <dlfcn.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "run_case.h"

using namespace conformance;

namespace {

constexpr double kMost = 1.3;
constexpr double kBrain = 2.0, kFloat = 4.0;  // bytes

const char* (*traffic)(void);
Session* session;
int beyond = 0;

// Bytes of the sectors that a kernel's launches touched, of those whose name begins with `kernel`.
double touched(const std::string& json, const char* kernel) {
  double sum = 0.0;
  const std::string key = std::string("\"") + kernel;
  for (size_t at = json.find(key); at != std::string::npos; at = json.find(key, at + 1)) {
    sum += atof(json.c_str() + json.find("\"sectors\":", at) + 10) * 32.0;
  }
  return sum;
}

void compare(const char* name, const char* kernel, const Case& test, double least) {
  traffic();
  std::string failure;
  Placed placed(*session, test, failure);
  traffic();  // of packing
  std::vector<uint8_t> stream;
  encode(stream, test.op, test.params.words, placed.tensors());
  const Outcome outcome = session->run(stream);
  if (failure.empty() && !outcome.ok()) failure = outcome.message;
  const double bytes = touched(traffic(), kernel), ratio = bytes / least;
  // A kernel that was not launched touches nothing.
  const bool good = failure.empty() && ratio <= kMost && ratio > 0.5;
  printf("%-40s %10.0f bytes  %10.0f at least  %.2f%s %s\n", name, bytes, least, ratio, good ? "" : "  BEYOND", failure.c_str());
  beyond += !good;
}

// At the start of their memory, as the engine's tensors are: words move as a whole.
Tensor at_start(Tensor t) {
  t.memory.erase(t.memory.begin(), t.memory.begin() + static_cast<std::ptrdiff_t>(t.offset));
  t.offset = 0;
  return t;
}
Tensor numbers(Random& random, lf_dtype dtype, Shape shape) { return at_start(normal(random, dtype, std::move(shape), Strides::kContiguous)); }
Tensor brain(Random& random, Shape shape) { return numbers(random, LF_BF16, std::move(shape)); }
Tensor room(Random& random, lf_dtype dtype, Shape shape) {
  return at_start(Tensor::make(random, dtype, std::move(shape), Strides::kContiguous));
}

void linear(Random& random, const char* name, const char* kernel, int64_t m, int64_t n, int64_t k, lf_dtype weight, double least) {
  Case c{LF_OP_LINEAR};
  c.params.words = {word(1.0), word(0.0), LF_MATH_BF16, 0u};
  c.add(Role::kRead, brain(random, {m, k}));
  Operand& w = c.add(Role::kRead, weight == LF_BF16 ? brain(random, {n, k}) : blocks(random, weight, {n, k}, 0.1));
  w.layout = LF_LAYOUT_PACKED_FORWARD;
  w.packed_dtype = weight;
  c.add_absent();
  c.add(Role::kWritten, room(random, LF_BF16, {m, n}));
  compare(name, kernel, c, least);
}

void norm(Random& random, int64_t rows, int64_t n) {
  Case c{LF_OP_RMS_NORM};
  c.params.words = {word(1e-5), word(0.0)};
  c.add(Role::kRead, brain(random, {rows, n}));
  c.add(Role::kRead, brain(random, {rows, n}));
  c.add(Role::kRead, brain(random, {n}));
  c.add(Role::kWritten, room(random, LF_BF16, {rows, n}));
  c.add(Role::kWritten, room(random, LF_BF16, {rows, n}));
  // x, residual, sum and y once; each row is a block, which reads the weight.
  compare("RMS norm with residual", "norm_forward", c, kBrain * double(rows) * double(n) * 5.0);
}

void attention(Random& random, int64_t tokens, int64_t heads, int64_t kv_heads, int64_t n) {
  Case c{LF_OP_ATTENTION};
  const uint32_t all = static_cast<uint32_t>(tokens);
  c.params.words = {word(0.125), 1u, 0u, word(0.0), all, all};
  c.add(Role::kRead, brain(random, {tokens, heads, n}));
  c.add(Role::kRead, brain(random, {tokens, kv_heads, n}));
  c.add(Role::kRead, brain(random, {tokens, kv_heads, n}));
  for (int i = 0; i < 2; i++) {
    Tensor boundaries = room(random, LF_I32, {2});
    boundaries.set_values({0.0, double(tokens)});
    c.add(Role::kRead, boundaries);
  }
  c.add(Role::kWritten, room(random, LF_BF16, {tokens, heads, n}));
  // Queries and output once; a block of 64 rows, tokens of all heads that share a KV head, reads the keys that it sees.
  const double group = double(heads) / double(kv_heads), rows = double(tokens) * group;
  double keys = 0.0;
  for (double first = 0.0; first < rows; first += 64.0) keys += std::min(double(tokens), double(int64_t((std::min(rows, first + 64.0) - 1.0) / group)) + 1.0);
  compare("attention of a prompt, causal", "attention_", c, kBrain * double(n) * (2.0 * double(tokens * heads) + 2.0 * keys * double(kv_heads)));
}

// `codes`: the cache is of i8 with a scale for each position and head.
void decoding(Random& random, int64_t context, int64_t heads, int64_t kv_heads, int64_t n, bool codes = false) {
  Case c{LF_OP_ATTENTION_PAGED};
  const int64_t block = 32, table = (context + block - 1) / block;
  c.params.words = {word(0.125), 0u, word(0.0), 1u, static_cast<uint32_t>(context), 0u};
  c.add(Role::kRead, brain(random, {1, heads, n}));
  for (int i = 0; i < 2; i++) {
    const Shape shape{table, kv_heads, block, n};
    Tensor cache = codes ? room(random, LF_I8, shape) : brain(random, shape);
    if (codes) {
      std::vector<double> values(static_cast<size_t>(cache.elements()));
      for (double& v : values) v = double(random.integer(-127, 127));
      cache.set_values(values);
    }
    c.add(Role::kRead, cache);
  }
  Tensor places = room(random, LF_I32, {1, table}), boundaries = room(random, LF_I32, {2}), length = room(random, LF_I32, {1});
  std::vector<double> each;
  for (int64_t i = 0; i < table; i++) each.push_back(double(table - 1 - i));
  places.set_values(each);
  boundaries.set_values({0.0, 1.0});
  length.set_values({double(context)});
  c.add(Role::kRead, places);
  c.add(Role::kRead, boundaries);
  c.add(Role::kRead, length);
  c.add(Role::kWritten, room(random, LF_BF16, {1, heads, n}));
  for (int i = 0; codes && i < 2; i++) {
    Tensor scale = room(random, LF_F32, {table, kv_heads, block});
    scale.set_values(std::vector<double>(static_cast<size_t>(scale.elements()), 0.01));
    c.add(Role::kRead, scale);
  }
  // The cache once, for all heads of queries; both kernels of a split context.
  const double row = codes ? double(n) + kFloat : kBrain * double(n);
  compare(codes ? "attention of one token, cache in 8 bits" : "attention of one token", "attention_", c, 2.0 * double(context * kv_heads) * row);
}

// Streams that come again are launched as graphs, and give the same with other parameters.
void graphs(Random& random, void* driver) {
  auto launches = reinterpret_cast<unsigned long long (*)(void)>(dlsym(driver, "lf_emulator_graph_launches"));
  const uint32_t buffer = session->alloc(4096);
  const unsigned long long before = launches();
  for (int turn = 0; turn < 5; turn++) {
    std::vector<uint8_t> stream;
    const float scale = float(random.uniform(1.0, 2.0));
    lf_tensor t{};
    t.buffer = buffer, t.rank = 1, t.shape[0] = 64, t.stride[0] = 1;
    encode(stream, LF_OP_FILL, {word(1.0)}, {t});
    for (int i = 0; i < 20; i++) encode(stream, LF_OP_BINARY, {LF_ADD, word(1.0), word(scale)}, {t, t, t});
    std::vector<uint8_t> bytes(4096);
    const Outcome ran = session->run(stream), got = session->read(buffer, bytes);
    float first;
    memcpy(&first, bytes.data(), 4);
    double expected = 1.0;
    for (int i = 0; i < 20; i++) expected *= 1.0 + double(scale);
    const bool good = ran.ok() && got.ok() && std::fabs(first / expected - 1.0) < 1e-4;
    if (!good) printf("commands that come again: %g, expected %g  WRONG %s\n", double(first), expected, ran.message.c_str());
    beyond += !good;
  }
  // The first time is not recorded.
  const unsigned long long launched = launches() - before;
  printf("commands that came five times: launched %llu times as a graph\n", launched);
  beyond += launched != 4;
  session->free(buffer);
}

// Products go to the vendor's library where it was measured to be faster, and the table of that is kept.
void library(Random& random, const char* backend, const char* driver_path, void* driver) {
  auto calls = reinterpret_cast<unsigned long long (*)(void)>(dlsym(driver, "lf_emulator_library_calls"));
  char table[] = "/tmp/lf-products-XXXXXX";
  close(mkstemp(table));
  setenv("LF_GPU_TUNING", table, 1);
  setenv("LF_CUDA_BLAS", driver_path, 1);
  const Suite* suite = nullptr;
  for (const Suite& s : suites())
    if (s.op == LF_OP_MATMUL) suite = &s;
  auto product = [&](Session& opened, int64_t m, uint32_t transposed_a, uint32_t transposed_b, float beta, lf_dtype out) {
    Case c{LF_OP_MATMUL};
    const int64_t k = 128, n = 72;
    c.params.words = {transposed_a, transposed_b, word(0.5), word(beta), LF_MATH_BF16};
    c.add(Role::kRead, brain(random, transposed_a ? Shape{k, m} : Shape{m, k}));
    c.add(Role::kRead, brain(random, transposed_b ? Shape{n, k} : Shape{k, n}));
    c.add(beta != 0.0f ? Role::kUpdated : Role::kWritten, numbers(random, out, {m, n}));
    const Verdict verdict = run_case({&opened}, *suite, c);
    if (!verdict.failure.empty()) printf("product by the library: %s\n", verdict.failure.c_str());
    beyond += !verdict.failure.empty();
  };
  auto expect = [&](unsigned long long before, bool used, const char* what) {
    const bool good = (calls() > before) == used;
    if (!good) printf("%s: the library was %sused  WRONG\n", what, used ? "not " : "");
    beyond += !good;
  };
  {
    Session opened(load_backend(backend), 1, nullptr);
    setenv("LF_EMULATED_BLAS_COST", "0", 1);
    const unsigned long long before = calls();
    for (const auto& [a, b] : {std::pair{0u, 0u}, {0u, 1u}, {1u, 0u}}) {
      product(opened, 64, a, b, 0.0f, LF_BF16);
      product(opened, 64, a, b, 1.0f, LF_F32);
    }
    expect(before, true, "a fast library");
    setenv("LF_EMULATED_BLAS_COST", "1000", 1);
    product(opened, 40, 0, 1, 0.0f, LF_BF16);
    const unsigned long long measured = calls();
    product(opened, 40, 0, 1, 0.0f, LF_BF16);
    expect(measured, false, "a slow library");
  }
  // Another process, as it were: what was measured is known.
  Session again(load_backend(backend), 1, nullptr);
  const unsigned long long before = calls();
  product(again, 40, 0, 1, 0.0f, LF_BF16);
  expect(before, false, "the table of a slow library");
  product(again, 64, 0, 1, 0.0f, LF_BF16);
  const unsigned long long once = calls() - before;
  if (once != 1) printf("the library was called %llu times for one product whose speed is known  WRONG\n", once), beyond++;
  printf("products by the library: as measured\n");
  remove(table);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return fputs("usage: emulated_runtime BACKEND.so FAKE_DRIVER.so\n", stderr), 2;
  setenv("LF_CUDA_DRIVER", arguments[2], 1);
  setenv("LF_EMULATED_TARGET", "80", 1);
  void* driver = dlopen(arguments[2], RTLD_NOW | RTLD_GLOBAL);
  traffic = driver ? reinterpret_cast<const char* (*)(void)>(dlsym(driver, "lf_emulator_traffic")) : nullptr;
  if (!traffic) return fprintf(stderr, "%s holds no emulator\n", arguments[2]), 2;
  Session opened(load_backend(arguments[1]), 1, nullptr);
  session = &opened;
  Random random(11);
  const double n = 512, k = 1024;
  linear(random, "product of one row", "gemm_thin", 1, 512, 1024, LF_BF16, kBrain * (n * k + k + n));
  linear(random, "product of four rows", "gemm_thin", 4, 512, 1024, LF_BF16, kBrain * (n * k + 4 * k + 4 * n));
  linear(random, "product of one row, Q8_0", "gemm_thin", 1, 512, 1024, LF_Q8_0, n * k * 34 / 32 + kBrain * (k + n));
  linear(random, "product of one row, Q4_K", "gemm_thin", 1, 512, 4096, LF_Q4_K, n * 4096 * 144 / 256 + kBrain * (4096 + n));
  // Of 4-bit weights: the codes, and for each group of 32 scale and zero. Blocks of 32 columns (128, of more than 16 rows) each
  // read the rows, which the weight of a whole line of units outweighs.
  const double codes = 0.5, q4_z = codes + 4.0 / 32, q4_0 = codes + 2.0 / 32;
  linear(random, "product of one row, GPTQ or AWQ", "gemm_packed_thin", 1, 512, 4096, LF_Q4_Z, n * 4096 * q4_z + kBrain * (n / 32 * 4096 + n));
  linear(random, "product of one row, Q4_0", "gemm_packed_thin", 1, 512, 4096, LF_Q4_0, n * 4096 * q4_0 + kBrain * (n / 32 * 4096 + n));
  linear(random, "product of 16 rows, GPTQ or AWQ", "gemm_packed_thin", 16, 512, 1024, LF_Q4_Z, n * k * q4_z + kBrain * (n / 32 * 16 * k + 16 * n));
  linear(random, "product of 64 rows, GPTQ or AWQ", "gemm_packed", 64, 512, 1024, LF_Q4_Z, n * k * q4_z + kBrain * (n / 128 * 64 * k + 64 * n));
  linear(random, "product of 128 rows, Q4_0", "gemm_packed", 128, 256, 512, LF_Q4_0, 2 * 256 * 512 * q4_0 + kBrain * (2 * 128 * 512 + 128 * 256));
  linear(random, "product, one tile", "gemm_async", 128, 128, 1024, LF_BF16, kBrain * (2 * 128 * k + 128 * 128));
  linear(random, "product, six tiles", "gemm_async", 256, 384, 512, LF_BF16, kBrain * (256 * 512 * 3 + 384 * 512 * 2 + 256 * 384));
  linear(random, "product, one tile, Q4_1", "gemm_bf16", 64, 64, 1024, LF_Q4_1, 64 * k * 20 / 32 + kBrain * (64 * k + 64 * 64));
  norm(random, 16, 1024);
  attention(random, 192, 4, 2, 64);
  attention(random, 160, 2, 2, 128);
  decoding(random, 480, 8, 2, 64);
  decoding(random, 1100, 6, 2, 128);
  decoding(random, 480, 8, 2, 64, true);
  decoding(random, 1100, 6, 2, 128, true);
  graphs(random, driver);
  library(random, arguments[1], arguments[2], driver);
  return beyond > 0;
}
