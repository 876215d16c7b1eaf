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

void add_bounds(const std::uint8_t* const* rows, const std::uint16_t* factors, std::size_t n_rows,
                std::size_t n, std::uint16_t* sums) {
  const uint16x8_t one = vdupq_n_u16(1);
  for (std::size_t i = 0; i < n; i += 8) {
    uint16x8_t sum = vld1q_u16(sums + i);
    for (std::size_t r = 0; r < n_rows; ++r) {
      const uint16x8_t impact = vmovl_u8(vld1_u8(rows[r] + i));
      const uint16x4_t low = vshrn_n_u32(vmull_n_u16(vget_low_u16(impact), factors[r]), 8);
      const uint16x4_t high = vshrn_n_u32(vmull_n_u16(vget_high_u16(impact), factors[r]), 8);
      sum = vaddq_u16(vaddq_u16(sum, vcombine_u16(low, high)), one);
    }
    vst1q_u16(sums + i, sum);
  }
}

void add_cell_bounds(const std::uint8_t* row, std::uint16_t factor, const std::uint32_t* blocks,
                     std::size_t n, std::uint16_t* sums) {
  const uint16x8_t one = vdupq_n_u16(1);
  for (std::size_t i = 0; i < n; ++i) {
    const uint16x8_t impact = vmovl_u8(vld1_u8(row + std::size_t{blocks[i]} * 8));
    const uint16x4_t low = vshrn_n_u32(vmull_n_u16(vget_low_u16(impact), factor), 8);
    const uint16x4_t high = vshrn_n_u32(vmull_n_u16(vget_high_u16(impact), factor), 8);
    const uint16x8_t sum = vaddq_u16(vld1q_u16(sums + 8 * i), one);
    vst1q_u16(sums + 8 * i, vaddq_u16(sum, vcombine_u16(low, high)));
  }
}

void centroid_products(const std::uint32_t* features, const float* weights, std::size_t n,
                       const float* centroids, std::size_t n_centroids, float* products) {
  for (std::size_t c = 0; c < n_centroids; c += 4) {
    float32x4_t sum = vdupq_n_f32(0);
    for (std::size_t i = 0; i < n; ++i) {
      const float32x4_t centroid = vld1q_f32(centroids + features[i] * n_centroids + c);
      sum = vaddq_f32(sum, vmulq_n_f32(centroid, weights[i]));
    }
    vst1q_f32(products + c, sum);
  }
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
                       select,
                       add_bounds,
                       add_cell_bounds,
                       centroid_products};

}  // namespace sir

#endif
