// What the emulator knows of each piece of memory.
#pragma once
#include <cstdint>

#include "simt.h"

namespace simt {

// Who used a piece of memory last: `run` numbers the blocks of all launches, the epochs count the barriers passed.
struct Access {
  uint32_t run = 0;
  uint16_t thread = 0, block_epoch = 0;
  uint32_t warp_epoch = 0;
};
struct Cell {
  Access read, write;
};
constexpr uint64_t kCellBytes = 2;  // the smallest number that a kernel stores

struct Arena {
  uint8_t* base = nullptr;
  uint64_t bytes = 0;
  uint8_t* live = nullptr;  // for each 16 bytes, how many are live
  Cell* shadow = nullptr;
  uint32_t* sector_run = nullptr;  // the block that touched each sector last
};
Arena& arena();

}  // namespace simt
