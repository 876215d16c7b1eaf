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

/// Sixteen ordinals at a time; the products of those in the query are added one by one, in order,
/// as the score is defined.
template <class Ordinal, class Weight>
SIR_AVX512 float dot(const Ordinal* ordinals, const Weight* weights, std::size_t n,
                     const QueryTable& query) {
  const __m512i last = _mm512_set1_epi32(static_cast<int>(query.last));
  const __m512i one = _mm512_set1_epi32(1), low = _mm512_set1_epi32(31);
  float sum = 0;
  for (std::size_t i = 0; i < n; i += 16) {
    const std::size_t left = n - i;
    const auto lanes = static_cast<__mmask16>(left >= 16 ? 0xFFFFU : (1U << left) - 1);
    const __m512i index = _mm512_min_epu32(load_ordinals(lanes, ordinals + i), last);
    const __m512i words = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), lanes,
                                                      _mm512_srli_epi32(index, 5), query.bits, 4);
    const __m512i bit = _mm512_sllv_epi32(one, _mm512_and_si512(index, low));
    const __mmask16 hits = _mm512_test_epi32_mask(words, bit);
    if (hits == 0) continue;
    const __m512 q =
        _mm512_mask_i32gather_ps(_mm512_setzero_ps(), hits, index, query.weights, 4);
    const __m512 product = _mm512_mul_ps(q, load_weights(hits, weights + i));
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

SIR_AVX512 void add_cell_bounds(const std::uint8_t* row, std::uint16_t factor,
                           const std::uint32_t* blocks, std::size_t n, std::uint16_t* sums) {
  const __m128i factors = _mm_set1_epi16(static_cast<short>(factor));
  const __m128i one = _mm_set1_epi16(1);
  for (std::size_t i = 0; i < n; ++i) {
    const auto* cells = reinterpret_cast<const __m128i*>(row + std::size_t{blocks[i]} * 8);
    const __m128i impact = _mm_slli_epi16(_mm_cvtepu8_epi16(_mm_loadl_epi64(cells)), 8);
    auto* sum = reinterpret_cast<__m128i*>(sums + 8 * i);
    const __m128i bound = _mm_add_epi16(_mm_mulhi_epu16(impact, factors), one);
    _mm_storeu_si128(sum, _mm_add_epi16(_mm_loadu_si128(sum), bound));
  }
}

template <std::size_t kGroups>
SIR_AVX512 void products_of(const std::uint32_t* features, const float* weights, std::size_t n,
                            const float* centroids, float* products) {
  __m512 sums[kGroups];
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  for (std::size_t i = 0; i < n; ++i) {
    const __m512 weight = _mm512_set1_ps(weights[i]);
    const float* centroid = centroids + features[i] * kGroups * kCentroidGroup;
    for (std::size_t c = 0; c < kGroups; ++c)
      sums[c] =
          _mm512_add_ps(sums[c], _mm512_mul_ps(weight, _mm512_loadu_ps(centroid + 16 * c)));
  }
  for (std::size_t c = 0; c < kGroups; ++c) _mm512_storeu_ps(products + 16 * c, sums[c]);
}

void centroid_products(const std::uint32_t* features, const float* weights, std::size_t n,
                       const float* centroids, std::size_t n_centroids, float* products) {
  constexpr decltype(&products_of<1>) kOfGroups[] = {products_of<1>, products_of<2>,
                                                     products_of<3>, products_of<4>};
  kOfGroups[n_centroids / kCentroidGroup - 1](features, weights, n, centroids, products);
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
                         add_cell_bounds,
                         centroid_products};

}  // namespace sir

#endif
