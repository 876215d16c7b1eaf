#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define SIR_AVX2 __attribute__((target("avx2,f16c")))

namespace sir {
namespace {

SIR_AVX2 inline __m256i load_ordinals(const std::uint16_t* at) {
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}
SIR_AVX2 inline __m256i load_ordinals(const std::uint32_t* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}
SIR_AVX2 inline __m256 load_weights(const float* at) { return _mm256_loadu_ps(at); }
SIR_AVX2 inline __m256 load_weights(const std::uint16_t* at) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}

SIR_AVX2 inline __m256 load_weights(const std::uint8_t* at) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at))));
}

/// Eight ordinals; the products of those in the query are added one by one, as the score is defined.
SIR_AVX2 inline float add_products(float sum, __m256i ordinals, __m256 weights,
                                   const QueryTable& query) {
  const __m256i index = _mm256_min_epu32(ordinals, _mm256_set1_epi32(static_cast<int>(query.last)));
  const __m256i words = _mm256_i32gather_epi32(reinterpret_cast<const int*>(query.bits),
                                               _mm256_srli_epi32(index, 5), 4);
  // The bit moved to the sign, by as much as it is below it.
  const __m256i up = _mm256_andnot_si256(index, _mm256_set1_epi32(31));
  const __m256 is_hit = _mm256_castsi256_ps(_mm256_sllv_epi32(words, up));
  int hits = _mm256_movemask_ps(is_hit);
  if (hits == 0) return sum;
  const __m256 q =
      _mm256_mask_i32gather_ps(_mm256_setzero_ps(), query.weights, index, is_hit, 4);
  alignas(32) float products[8];
  _mm256_store_ps(products, _mm256_mul_ps(q, weights));
  for (; hits != 0; hits &= hits - 1) sum += products[__builtin_ctz(hits)];
  return sum;
}

template <class Ordinal, class Weight>
SIR_AVX2 float dot(const Ordinal* ordinals, const Weight* weights, std::size_t n,
                   const QueryTable& query) {
  float sum = 0;
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8)
    sum = add_products(sum, load_ordinals(ordinals + i), load_weights(weights + i), query);
  if (i < n) {
    // The rest, padded with its last entry at weight 0: adding a zero changes no sum.
    Ordinal rest_ordinals[8];
    Weight rest_weights[8];
    for (std::size_t j = 0; j < 8; ++j) {
      rest_ordinals[j] = ordinals[i + j < n ? i + j : n - 1];
      rest_weights[j] = i + j < n ? weights[i + j] : Weight{0};
    }
    sum = add_products(sum, load_ordinals(rest_ordinals), load_weights(rest_weights), query);
  }
  return sum;
}

/// 64 bits, one a bound, set where it is at least `least`.
SIR_AVX2 inline std::uint64_t at_least(const std::uint16_t* bounds, __m256i least) {
  std::uint64_t bits = 0;
  for (int half = 0; half < 2; ++half) {
    const auto* at = reinterpret_cast<const __m256i*>(bounds + 32 * half);
    const __m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1);
    const __m256i a_hits = _mm256_cmpeq_epi16(_mm256_max_epu16(a, least), a);
    const __m256i b_hits = _mm256_cmpeq_epi16(_mm256_max_epu16(b, least), b);
    const __m256i packed =
        _mm256_permute4x64_epi64(_mm256_packs_epi16(a_hits, b_hits), _MM_SHUFFLE(3, 1, 2, 0));
    bits |= std::uint64_t{static_cast<std::uint32_t>(_mm256_movemask_epi8(packed))} << (32 * half);
  }
  return bits;
}

SIR_AVX2 std::size_t select(const std::uint16_t* bounds, std::size_t n, std::uint16_t least,
                            const std::uint64_t* allowed, std::uint16_t* positions) {
  const __m256i wanted = _mm256_set1_epi16(static_cast<short>(least));
  std::size_t found = 0;
  for (std::size_t i = 0; i < n; i += 64) {
    std::uint64_t bits = at_least(bounds + i, wanted);
    if (allowed != nullptr) bits &= allowed[i / 64];
    for (; bits != 0; bits &= bits - 1) {
      const auto bit = static_cast<std::size_t>(__builtin_ctzll(bits));
      positions[found++] = static_cast<std::uint16_t>(i + bit);
    }
  }
  return found;
}

}  // namespace

extern const Kernels kAvx2;
const Kernels kAvx2 = {"avx2",
                       dot<std::uint16_t, float>,
                       dot<std::uint16_t, std::uint16_t>,
                       dot<std::uint32_t, float>,
                       dot<std::uint32_t, std::uint16_t>,
                       dot<std::uint16_t, std::uint8_t>,
                       dot<std::uint32_t, std::uint8_t>,
                       select};

}  // namespace sir

#endif
