#include "kernels.h"

#include "../half.h"

namespace sir {
namespace {

float value(float weight) { return weight; }
float value(std::uint16_t half) { return half_to_float(half); }
float value(std::uint8_t impact) { return impact; }

template <class Ordinal, class Weight>
float dot(const Ordinal* ordinals, const Weight* weights, std::size_t n, const QueryTable& query) {
  float sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t ordinal = ordinals[i] < query.last ? ordinals[i] : query.last;
    if ((query.bits[ordinal / 32] >> (ordinal % 32) & 1) != 0)
      sum += query.weights[ordinal] * value(weights[i]);
  }
  return sum;
}

std::size_t select(const std::uint16_t* bounds, std::size_t n, std::uint16_t least,
                   const std::uint64_t* allowed, std::uint16_t* positions) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const bool is_allowed = allowed == nullptr || (allowed[i / 64] >> (i % 64) & 1) != 0;
    if (bounds[i] >= least && is_allowed) positions[found++] = static_cast<std::uint16_t>(i);
  }
  return found;
}

}  // namespace

extern const Kernels kScalar;
const Kernels kScalar = {"scalar",
                         dot<std::uint16_t, float>,
                         dot<std::uint16_t, std::uint16_t>,
                         dot<std::uint32_t, float>,
                         dot<std::uint32_t, std::uint16_t>,
                         dot<std::uint16_t, std::uint8_t>,
                         dot<std::uint32_t, std::uint8_t>,
                         select};

}  // namespace sir
