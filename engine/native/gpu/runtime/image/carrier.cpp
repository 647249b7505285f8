// Carries the image of the kernels within the library. The build names the file; without one, the backend says so when a
// device is opened.
#include "../image.h"

#if defined(LF_GPU_IMAGE)
asm(R"(
  .section .rodata
  .balign 4096
  .global lf_gpu_image
  .hidden lf_gpu_image
lf_gpu_image:
  .incbin ")" LF_GPU_IMAGE R"("
  .balign 16
  .previous
)");
extern "C" const unsigned char lf_gpu_image[];
#endif

namespace lf_gpu {

const Image* linked_image() {
#if defined(LF_GPU_IMAGE)
  return reinterpret_cast<const Image*>(lf_gpu_image);
#else
  return nullptr;
#endif
}

}  // namespace lf_gpu
