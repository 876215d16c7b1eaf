#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define SIR_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

namespace sir {
namespace {

SIR_AVX512 inline __m512i load_ordinals(__mmask16 lanes, const std::uint16_t* at) {
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, at));
}
SIR_AVX512 inline __m512i load_ordinals(__mmask16 lanes, const std::uint32_t* at) {
  return _mm512_maskz_loadu_epi32(lanes, at);
}
SIR_AVX512 inline __m512 load_weights(__mmask16 lanes, const float* at) {
  return _mm512_maskz_loadu_ps(lanes, at);
}
SIR_AVX512 inline __m512 load_weights(__mmask16 lanes, const std::uint16_t* at) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, at));
}

SIR_AVX512 inline __m512 load_weights(__mmask16 lanes, const std::uint8_t* at) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, at)));
}

/// Sixteen products; those that count are added one by one, in order, as the score is defined.
template <class Ordinal, class Weight>
SIR_AVX512 float dot(const Ordinal* ordinals, const Weight* weights, std::size_t n,
                     const float* query, std::uint32_t last) {
  const __m512i greatest = _mm512_set1_epi32(static_cast<int>(last));
  const __m512 zero = _mm512_setzero_ps();
  float sum = 0;
  for (std::size_t i = 0; i < n; i += 16) {
    const std::size_t left = n - i;
    const auto lanes = static_cast<__mmask16>(left >= 16 ? 0xFFFFU : (1U << left) - 1);
    const __m512i index = _mm512_min_epu32(load_ordinals(lanes, ordinals + i), greatest);
    const __m512 q = _mm512_mask_i32gather_ps(zero, lanes, index, query, 4);
    const __mmask16 hits = _mm512_cmp_ps_mask(q, zero, _CMP_GT_OQ);
    if (hits == 0) continue;
    const __m512 product = _mm512_mul_ps(q, load_weights(lanes, weights + i));
    alignas(64) float dense[16];
    _mm512_store_ps(dense, _mm512_maskz_compress_ps(hits, product));
    for (int j = 0, m = __builtin_popcount(hits); j < m; ++j) sum += dense[j];
  }
  return sum;
}

SIR_AVX512 std::size_t select(const std::uint16_t* bounds, std::size_t n, std::uint16_t least,
                              const std::uint64_t* allowed, std::uint16_t* positions) {
  const __m512i wanted = _mm512_set1_epi16(static_cast<short>(least));
  std::size_t found = 0;
  for (std::size_t i = 0; i < n; i += 64) {
    const std::uint64_t low = _mm512_cmpge_epu16_mask(_mm512_loadu_si512(bounds + i), wanted);
    const std::uint64_t high = _mm512_cmpge_epu16_mask(_mm512_loadu_si512(bounds + i + 32), wanted);
    std::uint64_t bits = low | high << 32;
    if (allowed != nullptr) bits &= allowed[i / 64];
    for (; bits != 0; bits &= bits - 1)
      positions[found++] = static_cast<std::uint16_t>(i + static_cast<std::size_t>(__builtin_ctzll(bits)));
  }
  return found;
}

SIR_AVX512 void add_bounds(const std::uint8_t* const* rows, const std::uint16_t* factors,
                           std::size_t n_rows, std::size_t n, std::uint16_t* sums) {
  const __m512i ones = _mm512_set1_epi16(static_cast<short>(n_rows));
  for (std::size_t i = 0; i < n; i += 64) {
    __m512i low = _mm512_add_epi16(_mm512_loadu_si512(sums + i), ones);
    __m512i high = _mm512_add_epi16(_mm512_loadu_si512(sums + i + 32), ones);
    for (std::size_t r = 0; r < n_rows; ++r) {
      const __m512i factor = _mm512_set1_epi16(static_cast<short>(factors[r]));
      const auto* row = reinterpret_cast<const __m256i*>(rows[r] + i);
      // The product's upper half with the impact moved up by 8 bits is the product >> 8.
      const __m512i a = _mm512_slli_epi16(_mm512_cvtepu8_epi16(_mm256_loadu_si256(row)), 8);
      const __m512i b = _mm512_slli_epi16(_mm512_cvtepu8_epi16(_mm256_loadu_si256(row + 1)), 8);
      low = _mm512_add_epi16(low, _mm512_mulhi_epu16(a, factor));
      high = _mm512_add_epi16(high, _mm512_mulhi_epu16(b, factor));
    }
    _mm512_storeu_si512(sums + i, low);
    _mm512_storeu_si512(sums + i + 32, high);
  }
}

SIR_AVX512 void centroid_products(const std::uint32_t* features, const float* weights,
                                  std::size_t n, const float* centroids, float* products) {
  __m512 sums[kCentroids / 16];
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  for (std::size_t i = 0; i < n; ++i) {
    const __m512 weight = _mm512_set1_ps(weights[i]);
    const float* centroid = centroids + features[i] * kCentroids;
    for (std::size_t c = 0; c < kCentroids / 16; ++c)
      sums[c] =
          _mm512_add_ps(sums[c], _mm512_mul_ps(weight, _mm512_loadu_ps(centroid + 16 * c)));
  }
  for (std::size_t c = 0; c < kCentroids / 16; ++c) _mm512_storeu_ps(products + 16 * c, sums[c]);
}

}  // namespace

extern const Kernels kAvx512;
const Kernels kAvx512 = {"avx512",
                         dot<std::uint16_t, float>,
                         dot<std::uint16_t, std::uint16_t>,
                         dot<std::uint32_t, float>,
                         dot<std::uint32_t, std::uint16_t>,
                         dot<std::uint16_t, std::uint8_t>,
                         dot<std::uint32_t, std::uint8_t>,
                         select,
                         add_bounds,
                         centroid_products};

}  // namespace sir

#endif
