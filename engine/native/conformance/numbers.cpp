#include "numbers.h"

#include <cmath>
#include <cstring>

namespace conformance {
namespace {

template <typename T>
T read(const uint8_t* p) {
  T value;
  memcpy(&value, p, sizeof value);
  return value;
}
template <typename T>
void write(uint8_t* p, T value) {
  memcpy(p, &value, sizeof value);
}

// A binary format with one sign bit, `exponent` bits of exponent and `fraction` bits of fraction.
struct Format {
  int exponent, fraction;
};
constexpr Format kHalf{5, 10}, kBrain{8, 7};

double decode(Format f, uint16_t bits) {
  const int bias = (1 << (f.exponent - 1)) - 1, largest = (1 << f.exponent) - 1;
  const int exponent = bits >> f.fraction & largest, fraction = bits & ((1 << f.fraction) - 1);
  const double sign = bits >> 15 ? -1.0 : 1.0;
  if (exponent == largest) return fraction ? std::nan("") : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - f.fraction);
  return sign * std::ldexp((1 << f.fraction) + fraction, exponent - bias - f.fraction);
}

uint16_t encode(Format f, double value) {
  const int bias = (1 << (f.exponent - 1)) - 1, largest = (1 << f.exponent) - 1;
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return static_cast<uint16_t>(sign | largest << f.fraction | 1 << (f.fraction - 1));
  const double magnitude = std::fabs(value);
  if (magnitude == 0.0) return sign;
  if (std::isinf(magnitude)) return static_cast<uint16_t>(sign | largest << f.fraction);
  int exponent;
  std::frexp(magnitude, &exponent);  // magnitude = m * 2^exponent, m in [0.5, 1)
  exponent = exponent - 1 < 1 - bias ? 1 - bias : exponent - 1;
  // In units of the last place: nearbyint rounds ties to even. A carry moves into the exponent by itself.
  const double units = std::nearbyint(std::ldexp(magnitude, f.fraction - exponent));
  const int64_t bits = static_cast<int64_t>(units) + (static_cast<int64_t>(exponent + bias - 1) << f.fraction);
  if (bits >= static_cast<int64_t>(largest) << f.fraction) return static_cast<uint16_t>(sign | largest << f.fraction);
  return static_cast<uint16_t>(sign | bits);
}

}  // namespace

bool is_float(lf_dtype dtype) { return dtype == LF_F32 || dtype == LF_BF16 || dtype == LF_F16; }
bool is_block_format(lf_dtype dtype) { return dtype >= LF_Q4_0 && dtype <= LF_Q4_Z; }

size_t element_bytes(lf_dtype dtype) {
  switch (dtype) {
    case LF_F32: case LF_I32: case LF_U32: return 4;
    case LF_BF16: case LF_F16: return 2;
    case LF_F64: case LF_I64: return 8;
    case LF_U8: case LF_I8: return 1;
    default: return 0;
  }
}

size_t block_elements(lf_dtype dtype) {
  if (!is_block_format(dtype)) return 0;
  return dtype >= LF_Q4_K && dtype <= LF_Q6_K ? 256 : 32;
}

size_t block_bytes(lf_dtype dtype) {
  switch (dtype) {
    case LF_Q4_0: return 18;
    case LF_Q4_1: case LF_Q4_Z: return 20;
    case LF_Q5_0: return 22;
    case LF_Q5_1: return 24;
    case LF_Q8_0: return 34;
    case LF_Q4_K: return 144;
    case LF_Q5_K: return 176;
    case LF_Q6_K: return 210;
    default: return 0;
  }
}

const char* dtype_name(lf_dtype dtype) {
  switch (dtype) {
    case LF_F32: return "f32";
    case LF_BF16: return "bf16";
    case LF_F16: return "f16";
    case LF_F64: return "f64";
    case LF_I32: return "i32";
    case LF_I64: return "i64";
    case LF_U8: return "u8";
    case LF_I8: return "i8";
    case LF_U32: return "u32";
    case LF_I4: return "i4";
    case LF_Q4_0: return "q4_0";
    case LF_Q4_1: return "q4_1";
    case LF_Q5_0: return "q5_0";
    case LF_Q5_1: return "q5_1";
    case LF_Q8_0: return "q8_0";
    case LF_Q4_K: return "q4_k";
    case LF_Q5_K: return "q5_k";
    case LF_Q6_K: return "q6_k";
    case LF_Q4_Z: return "q4_z";
  }
  return "?";
}

double load_number(lf_dtype dtype, const uint8_t* p) {
  switch (dtype) {
    case LF_F32: return read<float>(p);
    case LF_BF16: return decode(kBrain, read<uint16_t>(p));
    case LF_F16: return decode(kHalf, read<uint16_t>(p));
    case LF_F64: return read<double>(p);
    case LF_I32: return read<int32_t>(p);
    case LF_I64: return static_cast<double>(read<int64_t>(p));
    case LF_U8: return *p;
    case LF_I8: return read<int8_t>(p);
    case LF_U32: return read<uint32_t>(p);
    default: return std::nan("");
  }
}

void store_number(lf_dtype dtype, uint8_t* p, double value) {
  switch (dtype) {
    case LF_F32: return write(p, static_cast<float>(value));
    case LF_BF16: return write(p, encode(kBrain, value));
    case LF_F16: return write(p, encode(kHalf, value));
    case LF_F64: return write(p, value);
    case LF_I32: case LF_U32: return write(p, static_cast<uint32_t>(static_cast<int64_t>(value)));
    case LF_I64: return write(p, static_cast<int64_t>(value));
    case LF_U8: case LF_I8: return write(p, static_cast<uint8_t>(static_cast<int64_t>(value)));
    default: return;
  }
}

double round_to(lf_dtype dtype, double value) {
  uint8_t memory[8];
  store_number(dtype, memory, value);
  return load_number(dtype, memory);
}

uint32_t float_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
float bits_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace conformance
