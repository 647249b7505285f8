// roofline LEVEL THREADS: this machine's limits at an ISA level, as a line of JSON: operations a second in f32, bf16 and
// int8 multiply-adds, and bytes read a second. The best of several tries, since what else runs only takes away.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "limits.h"

namespace {

using lf_cpu::Limits;

constexpr int kTries = 7;
constexpr size_t kReadBytes = size_t{256} << 20;  // a thread; far more than any cache

struct Level {
  const char* isa;
  Limits (*limits)();
};
constexpr Level kLevels[] = {
#define LF_LEVEL(name, isa) {isa, lf_cpu::limits_##name},
#include "kernel_levels.inc"
#undef LF_LEVEL
};

// Operations a second of all threads together; `work` is given the thread's number and returns its operations.
double measure(int threads, const std::function<double(int)>& work) {
  double best = 0;
  for (int attempt = 0; attempt < kTries; attempt++) {
    std::vector<double> done(threads);
    std::vector<std::thread> pool;
    const auto start = std::chrono::steady_clock::now();
    for (int t = 0; t < threads; t++) pool.emplace_back([&, t] { done[t] = work(t); });
    for (std::thread& thread : pool) thread.join();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    double all = 0;
    for (double operations : done) all += operations;
    if (all / seconds > best) best = all / seconds;
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc == 3 ? atoi(argv[2]) : 0;
  const Level* level = nullptr;
  for (const Level& known : kLevels)
    if (argc == 3 && strcmp(known.isa, argv[1]) == 0) level = &known;
  if (!level || threads < 1 || threads > 4096) {
    fprintf(stderr, "usage: roofline LEVEL THREADS; levels:");
    for (const Level& known : kLevels) fprintf(stderr, " %s", known.isa);
    fprintf(stderr, "\n");
    return 2;
  }
  const Limits limits = level->limits();
  std::vector<float> keep(threads);
  std::vector<std::vector<float>> data(threads);
  const auto peak = [&](double (*work)(int64_t, float*)) {
    return measure(threads, [&](int t) { return work(300000, &keep[t]); });
  };
  const double f32 = peak(limits.f32), bf16 = peak(limits.bf16), int8 = peak(limits.int8);
  // Each thread touches its own memory first, so that it lies near it.
  measure(threads, [&](int t) {
    if (data[t].empty()) data[t].assign(kReadBytes / 4, 1.0f);
    return 1.0;
  });
  const double read = measure(threads, [&](int t) { return limits.read(data[t].data(), data[t].size(), &keep[t]); });
  printf("{\"f32\":%.4g,\"bf16\":%.4g,\"int8\":%.4g,\"read\":%.4g}\n", f32, bf16, int8, read);
  return 0;
}
