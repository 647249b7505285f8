// The image of the emulated backend: no device code, since the fake driver has the kernels.
#include "../../runtime/image.h"

namespace lf_gpu {

const Image* linked_image() {
  static const struct {
    Image image;
    ImageModule module;
    char content[16];
  } emulated = {{"LFEMU", 1, 11080, "emulated"}, {"kernels", sizeof(Image) + sizeof(ImageModule), 16}, "LFEMU"};
  return &emulated.image;
}

}  // namespace lf_gpu
