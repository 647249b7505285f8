#include "cpu_features.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#include "kernel_tables.h"

namespace lf_cpu {
namespace {

struct Features {
  bool avx2 = false, avx512 = false, avx512_bf16 = false, amx = false;
};

#if defined(__x86_64__)
uint64_t enabled_state() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

// Linux gives a process the memory for tile registers when it asks (arch_prctl(2), since 5.16); others need not be asked.
bool tiles_permitted() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return true;
#endif
}

Features detect() {
  Features f;
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  const bool osxsave = c & (1u << 27), fma = c & (1u << 12), f16c = c & (1u << 29), avx = c & (1u << 28);
  if (!osxsave || !avx) return f;
  const uint64_t state = enabled_state();
  if ((state & 0x6) != 0x6) return f;  // the OS saves XMM and YMM
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  const uint32_t max_subleaf = a;
  f.avx2 = fma && f16c && (b & (1u << 5));
  const bool zmm = (state & 0xe6) == 0xe6;  // and the mask and ZMM registers
  const uint32_t needed = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);  // F, DQ, BW, VL
  f.avx512 = f.avx2 && zmm && (b & needed) == needed;
  const bool vnni = c & (1u << 11), tiles = (d >> 22 & 1) && (d >> 24 & 1) && (d >> 25 & 1);  // AMX-BF16, -TILE, -INT8
  if (f.avx512 && vnni && max_subleaf >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) f.avx512_bf16 = a & (1u << 5);
  const bool tile_state = (state & 0x60000) == 0x60000;  // the OS saves tile configuration and data
  f.amx = f.avx512_bf16 && tiles && tile_state && tiles_permitted();
  return f;
}
#else
Features detect() { return {}; }
#endif

// For tests: the kernels of AMX on tiles that are computed one number after the other. Never chosen but by name.
constexpr const char* kEmulated = "amx-emulated";

bool runs_here(const char* level) {
  static const Features f = detect();
  if (!strcmp(level, "portable")) return true;
  if (!strcmp(level, "avx2")) return f.avx2;
  if (!strcmp(level, "avx512")) return f.avx512;
  if (!strcmp(level, "avx512-bf16") || !strcmp(level, kEmulated)) return f.avx512_bf16;
  if (!strcmp(level, "amx")) return f.amx;
  return false;
}

}  // namespace

const char* runnable_levels() {
  static const std::string levels = [] {
    std::string text;
    for (const Level& level : kLevels) {
      if (!runs_here(level.isa) || !strcmp(level.isa, kEmulated)) continue;
      if (!text.empty()) text += ' ';
      text += level.isa;
    }
    return text;
  }();
  return levels.c_str();
}

const KernelTable* select_kernels(const char* name, char* reason, size_t reason_size) {
  const char* source = "the option isa";
  if (!name || !*name) {
    name = getenv("LF_CPU_ISA");
    source = "LF_CPU_ISA";
  }
  const bool named = name && *name;
  const Level* best = nullptr;
  bool known = false;
  for (const Level& level : kLevels) {
    if (named ? strcmp(level.isa, name) != 0 : !strcmp(level.isa, kEmulated)) continue;
    known = true;
    if (runs_here(level.isa)) best = &level;
  }
  if (best) return &best->table();
  snprintf(reason, reason_size, "%s asks for \"%s\", which %s; this machine runs: %s", source, named ? name : "",
           known ? "this machine cannot run" : "is no level that was built", runnable_levels());
  return nullptr;
}

void cpu_name(char* out, size_t size) {
  snprintf(out, size, "CPU");
  FILE* file = fopen("/proc/cpuinfo", "r");
  if (!file) return;
  char line[256];
  while (fgets(line, sizeof line, file)) {
    if (strncmp(line, "model name", 10) != 0) continue;
    const char* value = strchr(line, ':');
    if (!value) continue;
    value += strspn(value, ": \t");
    snprintf(out, size, "%.*s", static_cast<int>(strcspn(value, "\n")), value);
    break;
  }
  fclose(file);
}

}  // namespace lf_cpu
