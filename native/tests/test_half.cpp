#include "half.h"

#include <cmath>

#include "check.h"

using sir::float_to_half, sir::half_to_float;

int main() {
  // Every finite half > 0 survives the way to float and back; halfway values go to the even one.
  for (std::uint16_t half = 1; half <= 0x7BFF; ++half) {
    const float value = half_to_float(half);
    CHECK(float_to_half(value) == half);
    if (half == 0x7BFF) break;
    const float next = half_to_float(static_cast<std::uint16_t>(half + 1));
    CHECK(next > value);
    const float middle = value + (next - value) / 2;
    CHECK(float_to_half(middle) == (half % 2 == 0 ? half : half + 1));
    CHECK(float_to_half(std::nextafter(middle, next)) == half + 1);
    CHECK(float_to_half(std::nextafter(middle, value)) == half);
  }
  CHECK(half_to_float(0x3C00) == 1.0F);
  CHECK(half_to_float(0x0001) == 0x1p-24F);
  CHECK(float_to_half(1e-30F) == 1);       // a weight stays > 0
  CHECK(float_to_half(1e30F) == 0x7BFF);   // and finite
}
