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
    for (; bits != 0; bits &= bits - 1) {
      const auto bit = static_cast<std::size_t>(__builtin_ctzll(bits));
      positions[found++] = static_cast<std::uint16_t>(i + bit);
    }
  }
  return found;
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
                         select};

}  // namespace sir

#endif
