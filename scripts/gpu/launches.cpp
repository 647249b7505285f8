// Prints, as JSON, how the kernels that matter most are launched: threads of a block in warps, and dynamic shared memory.
#include <cstdio>
#include <initializer_list>

#include "../../engine/native/gpu/kernels/attention.h"
#include "../../engine/native/gpu/kernels/gemm.h"

using namespace lf_gpu;

static const char* separator = "{";

// `unit`: the kernel is there only for devices with a matrix unit for bf16.
static void print(const char* name, int warps, int threads, unsigned shared, bool unit = false) {
  printf("%s\n  \"%s\": {\"warps\": %d, \"threads\": %d, \"shared\": %u, \"unit\": %s}", separator, name, warps, threads, shared,
         unit ? "true" : "false");
  separator = ",";
}

template <typename Tiles>
static void print_tiles(const char* format, const char* type, int width) {
  char name[64];
  snprintf(name, sizeof name, format, type, width);
  print(name, Tiles::kWarps, 0, Tiles::kShared);
}

int main() {
  for (const char* type : {"bf16", "f16"}) {
    char name[64];
    for (int form = 0; form < 3; form++) {
      snprintf(name, sizeof name, "gemm_async_%s_%s", form == 0 ? "nn" : form == 1 ? "nt" : "tt", type);
      print(name, 0, kAsyncThreads, async_gemm_shared(form == 2, form > 0));
    }
    snprintf(name, sizeof name, "gemm_%s", type);
    print(name, kGemmWarps, 0, general_gemm_shared(2));
  }
  print("gemm_f32", kGemmWarps, 0, general_gemm_shared(4));
  print("gemm_thin", kThinWarps, 0, kThinShared);
  print("gemm_packed", kPackedWarps, 0, kPackedShared, true);
  print("gemm_packed_thin", kPackedThinWarps, 0, kPackedThinShared, true);
  print("gemm_packed_plain", 0, kPackedPlainThreads, kPackedPlainShared);
  print_tiles<AttentionTiles<2, 64>>("attention_%s_%d", "bf16", 64);
  print_tiles<AttentionTiles<2, 128>>("attention_%s_%d", "bf16", 128);
  print_tiles<AttentionTiles<2, 256>>("attention_%s_%d", "bf16", 256);
  print_tiles<AttentionTiles<2, 64>>("attention_%s_i8_%d", "bf16", 64);
  print_tiles<AttentionTiles<2, 128>>("attention_%s_i8_%d", "bf16", 128);
  print_tiles<AttentionTiles<2, 256>>("attention_%s_i8_%d", "bf16", 256);
  print_tiles<GradientTiles<2, 64>>("attention_dq_%s_%d", "bf16", 64);
  print_tiles<GradientTiles<2, 128>>("attention_dq_%s_%d", "bf16", 128);
  print_tiles<GradientTiles<2, 64>>("attention_dkv_%s_%d", "bf16", 64);
  print_tiles<GradientTiles<2, 128>>("attention_dkv_%s_%d", "bf16", 128);
  printf("\n}\n");
}
