// Number formats, converted without any help of a backend.
#pragma once
#include <cstddef>
#include <cstdint>

#include "largeforge/backend.h"

namespace conformance {

bool is_float(lf_dtype dtype);
bool is_block_format(lf_dtype dtype);
// Of a plain number; 0 for block formats.
size_t element_bytes(lf_dtype dtype);
size_t block_elements(lf_dtype dtype);
size_t block_bytes(lf_dtype dtype);
const char* dtype_name(lf_dtype dtype);

double load_number(lf_dtype dtype, const uint8_t* p);
// Rounds to nearest, ties to even; integers are truncated and wrap as C conversions of the low bits do.
void store_number(lf_dtype dtype, uint8_t* p, double value);
// The nearest number of a float format.
double round_to(lf_dtype dtype, double value);
// The bits of a float as a parameter word, and back.
uint32_t float_bits(float value);
float bits_float(uint32_t bits);

}  // namespace conformance
