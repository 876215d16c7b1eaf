#include "kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>

namespace sir {
namespace {

float value(float weight) { return weight; }
float value(std::uint16_t half) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0);
}
float value(std::uint8_t impact) { return impact; }

/// NEON has no gather; most ordinals end at the look at their bit.
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
  const uint16x8_t wanted = vdupq_n_u16(least);
  std::size_t found = 0;
  for (std::size_t i = 0; i < n; i += 8) {
    if (vmaxvq_u16(vcgeq_u16(vld1q_u16(bounds + i), wanted)) == 0) continue;
    for (std::size_t j = i; j < i + 8; ++j) {
      const bool is_allowed = allowed == nullptr || (allowed[j / 64] >> (j % 64) & 1) != 0;
      if (bounds[j] >= least && is_allowed) positions[found++] = static_cast<std::uint16_t>(j);
    }
  }
  return found;
}

}  // namespace

extern const Kernels kNeon;
const Kernels kNeon = {"neon",
                       dot<std::uint16_t, float>,
                       dot<std::uint16_t, std::uint16_t>,
                       dot<std::uint32_t, float>,
                       dot<std::uint32_t, std::uint16_t>,
                       dot<std::uint16_t, std::uint8_t>,
                       dot<std::uint32_t, std::uint8_t>,
                       select};

}  // namespace sir

#endif
