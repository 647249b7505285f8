// The eight tile registers of AMX: each holds up to 16 rows of 64 bytes. With LF_EMULATED_TILES the same functions compute
// as Intel's manual says that the instructions do (SDM volume 2, TDPBF16PS and TDPBSUD), so that kernels can be tested where
// there are none.
#pragma once
#include "simd.h"
#if defined(__AMX_TILE__)
#include <immintrin.h>
#endif

#if LF_ISA_LEVEL >= 4
namespace lf_cpu {
namespace LF_ISA {

constexpr int kTileUnitRows = 16, kTileUnitBytes = 64, kTileUnitWords = kTileUnitBytes / 4;

#if defined(LF_EMULATED_TILES)

struct EmulatedTiles {
  int rows = 0;   // of tiles 0 to 6
  int words = 0;  // in a row of tile 6, which holds the first factor; rows of tile 7, which holds the second
  alignas(64) uint32_t word[8][16][16];
};
inline EmulatedTiles& emulated_tiles() {
  static thread_local EmulatedTiles tiles;
  return tiles;
}

template <int tile>
LF_INLINE int tile_rows() {
  return tile == 7 ? emulated_tiles().words : emulated_tiles().rows;
}
template <int tile>
LF_INLINE int tile_row_bytes() {
  return tile == 6 ? 4 * emulated_tiles().words : kTileUnitBytes;
}
// What BF16 instructions make of a number: those too small to be normal count as 0.
LF_INLINE float flushed(float x) { return __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0.0f, x) : x; }

// Makes all tiles 0, gives tiles 0 to 6 so many rows, and the factors so many words of each row and column.
LF_INLINE void configure_tiles(int rows, int words = kTileUnitWords) {
  EmulatedTiles& t = emulated_tiles();
  t.rows = rows, t.words = words;
  __builtin_memset(t.word, 0, sizeof t.word);
}
template <int tile>
LF_INLINE void zero_tile() {
  __builtin_memset(emulated_tiles().word[tile], 0, sizeof emulated_tiles().word[tile]);
}
template <int tile>
LF_INLINE void load_tile(const void* src, int64_t stride_bytes) {
  for (int r = 0; r < tile_rows<tile>(); r++)
    __builtin_memcpy(emulated_tiles().word[tile][r], static_cast<const char*>(src) + r * stride_bytes,
                     tile_row_bytes<tile>());
}
template <int tile>
LF_INLINE void store_tile(void* dst, int64_t stride_bytes) {
  for (int r = 0; r < tile_rows<tile>(); r++)
    __builtin_memcpy(static_cast<char*>(dst) + r * stride_bytes, emulated_tiles().word[tile][r], kTileUnitBytes);
}
// Tile `sums` += tile 6 times tile 7: pairs of bf16 along the rows of tile 6 and down the columns of tile 7, whose even and
// odd elements are summed apart.
template <int sums>
LF_INLINE void multiply_bf16_tiles() {
  EmulatedTiles& t = emulated_tiles();
  for (int r = 0; r < t.rows; r++)
    for (int c = 0; c < 16; c++) {
      float even = 0.0f, odd = 0.0f;
      for (int k = 0; k < 16; k++) {
        const uint32_t x = t.word[6][r][k], y = t.word[7][k][c];
        even = flushed(__builtin_fmaf(flushed(float_of(x << 16)), flushed(float_of(y << 16)), even));
        odd = flushed(__builtin_fmaf(flushed(float_of(x & 0xffff0000u)), flushed(float_of(y & 0xffff0000u)), odd));
      }
      t.word[sums][r][c] = bits_of(flushed(flushed(float_of(t.word[sums][r][c])) + flushed(even + odd)));
    }
}
// Tile `sums` += tile 6 times tile 7 in integers: four signed bytes along the rows of tile 6, unsigned ones down the columns
// of tile 7.
template <int sums>
LF_INLINE void multiply_byte_tiles() {
  EmulatedTiles& t = emulated_tiles();
  for (int r = 0; r < t.rows; r++)
    for (int k = 0; k < t.words; k++)
      for (int c = 0; c < 16; c++)
        for (int b = 0; b < 32; b += 8)
          t.word[sums][r][c] += uint32_t(int8_t(t.word[6][r][k] >> b)) * uint32_t(uint8_t(t.word[7][k][c] >> b));
}
LF_INLINE void release_tiles() {}

#else

struct TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfiguration) == 64, "as LDTILECFG reads it");

// The intrinsics are assembly that names registers, and tell the compiler nothing of the memory that they touch.
#define LF_TILE_FENCE() __asm__ volatile("" ::: "memory")
#define LF_WITH_TILE(tile, action) \
  do { \
    if constexpr (tile == 0) { action(0); } \
    else if constexpr (tile == 1) { action(1); } \
    else if constexpr (tile == 2) { action(2); } \
    else if constexpr (tile == 3) { action(3); } \
    else if constexpr (tile == 4) { action(4); } \
    else if constexpr (tile == 5) { action(5); } \
    else if constexpr (tile == 6) { action(6); } \
    else { action(7); } \
  } while (0)

LF_INLINE void configure_tiles(int rows, int words = kTileUnitWords) {
  TileConfiguration c;
  for (int i = 0; i < 8; i++) {
    c.row_bytes[i] = uint16_t(i == 6 ? 4 * words : kTileUnitBytes);
    c.rows[i] = uint8_t(i == 7 ? words : rows);
  }
  LF_TILE_FENCE();
  _tile_loadconfig(&c);
}
template <int tile>
LF_INLINE void zero_tile() {
#define LF_ACTION(t) _tile_zero(t)
  LF_WITH_TILE(tile, LF_ACTION);
#undef LF_ACTION
}
template <int tile>
LF_INLINE void load_tile(const void* src, int64_t stride_bytes) {
  LF_TILE_FENCE();
#define LF_ACTION(t) _tile_loadd(t, src, stride_bytes)
  LF_WITH_TILE(tile, LF_ACTION);
#undef LF_ACTION
}
template <int tile>
LF_INLINE void store_tile(void* dst, int64_t stride_bytes) {
#define LF_ACTION(t) _tile_stored(t, dst, stride_bytes)
  LF_WITH_TILE(tile, LF_ACTION);
#undef LF_ACTION
  LF_TILE_FENCE();
}
template <int sums>
LF_INLINE void multiply_bf16_tiles() {
#define LF_ACTION(t) _tile_dpbf16ps(t, 6, 7)
  LF_WITH_TILE(sums, LF_ACTION);
#undef LF_ACTION
}
template <int sums>
LF_INLINE void multiply_byte_tiles() {
#define LF_ACTION(t) _tile_dpbsud(t, 6, 7)
  LF_WITH_TILE(sums, LF_ACTION);
#undef LF_ACTION
}
LF_INLINE void release_tiles() { _tile_release(); }

#undef LF_WITH_TILE
#undef LF_TILE_FENCE

#endif

// Tile registers as the current thread has them configured; released when the object goes.
class TileUse {
 public:
  ~TileUse() {
    if (rows_) release_tiles();
  }
  void configure(int rows, int words = kTileUnitWords) {
    if (rows_ != rows || words_ != words) configure_tiles(rows, words);
    rows_ = rows, words_ = words;
  }

 private:
  int rows_ = 0, words_ = 0;
};

}  // namespace LF_ISA
}  // namespace lf_cpu
#endif
