// The kernels that are linked into the library: one module for each source of kernels/, each for every architecture that
// it was compiled for.
#pragma once
#include <cstdint>

namespace lf_gpu {

// As the build writes it (scripts/gpu/image.mjs): this header, then `count` entries, then the modules.
struct Image {
  char magic[8];             // "LFGPU1\0\0"; "LFEMU" where the kernels are the emulator's
  uint32_t count;
  uint32_t toolkit;          // 1000 * major + 10 * minor of the compiler's toolkit
  char architectures[112];   // "sm_75 sm_80 sm_90a"
};
struct ImageModule {
  char name[48];
  uint64_t offset, bytes;    // from the start of the image
};
static_assert(sizeof(Image) == 128 && sizeof(ImageModule) == 64, "the layout of the build");

// Null when the library was built without kernels.
const Image* linked_image();

}  // namespace lf_gpu
