/// IEEE 754 half precision, for processors without it and for building.
#pragma once

#include <bit>
#include <cstdint>

namespace sir {

using Half = std::uint16_t;

/// The value of a half; exact.
inline float half_to_float(Half half) {
  const std::uint32_t sign = std::uint32_t{half} >> 15 << 31;
  const std::uint32_t exponent = half >> 10 & 0x1F, mantissa = half & 0x3FF;
  if (exponent == 0) {  // zero or subnormal: mantissa x 2^-24
    const float value = static_cast<float>(mantissa) * 0x1p-24F;
    return sign ? -value : value;
  }
  const std::uint32_t wide = exponent == 31 ? 0xFF : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

/// The half nearest to a value >= 0, ties to even; at least the smallest half > 0, at most the
/// greatest finite one, so that a stored weight stays a weight.
inline Half float_to_half(float value) {
  if (value >= 65504.0F) return 0x7BFF;
  std::uint32_t half;
  if (value < 0x1p-14F) {
    // Adding 0.5 puts the subnormal's unit, 2^-24, at the last place of the float: it rounds there.
    half = std::bit_cast<std::uint32_t>(value + 0.5F) - std::bit_cast<std::uint32_t>(0.5F);
  } else {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    half = (bits + 0xFFF + (bits >> 13 & 1) - (std::uint32_t{112} << 23)) >> 13;
  }
  if (half > 0x7BFF) return 0x7BFF;
  return static_cast<Half>(half == 0 ? 1 : half);
}

}  // namespace sir
