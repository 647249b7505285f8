// Numbers in the memory of the fake libraries, each of which has names of its own for their types.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

enum class NumberType { kF32, kF16, kBf16 };

inline float read_number(const void* data, NumberType type, size_t i) {
  if (type == NumberType::kF32) return static_cast<const float*>(data)[i];
  const uint16_t bits = static_cast<const uint16_t*>(data)[i];
  if (type == NumberType::kF16) {
    _Float16 half;
    memcpy(&half, &bits, 2);
    return static_cast<float>(half);
  }
  const uint32_t word = uint32_t(bits) << 16;
  float v;
  memcpy(&v, &word, 4);
  return v;
}

inline void write_number(void* data, NumberType type, size_t i, float v) {
  if (type == NumberType::kF32) {
    static_cast<float*>(data)[i] = v;
  } else if (type == NumberType::kF16) {
    const _Float16 half = static_cast<_Float16>(v);
    memcpy(static_cast<uint16_t*>(data) + i, &half, 2);
  } else {
    uint32_t word;
    memcpy(&word, &v, 4);
    static_cast<uint16_t*>(data)[i] = static_cast<uint16_t>((word + 0x7fffu + (word >> 16 & 1u)) >> 16);
  }
}
