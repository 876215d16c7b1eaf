/// Every kernel gives the scalar one's results, bit for bit, at every length and alignment.
#include "kernels/kernels.h"

#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "half.h"

using namespace sir;

namespace {

const Kernels& scalar() {
  const Kernels* const* one = available_kernels();
  while (one[1] != nullptr) ++one;
  CHECK(std::strcmp((*one)->name, "scalar") == 0);
  return **one;
}

template <class O, class W>
void check_dot(Dot<O, W> kernel, Dot<O, W> plain, std::mt19937& random) {
  std::vector<float> query(1000, 0);
  for (float& weight : query)
    if (random() % 3 == 0) weight = static_cast<float>(random() % 1000) / 64;
  std::vector<std::uint32_t> bits(32);
  for (std::size_t i = 0; i < query.size(); ++i)
    bits[i / 32] |= std::uint32_t{query[i] > 0} << (i % 32);
  const QueryTable table{query.data(), bits.data(), 999};
  for (std::size_t n = 0; n < 70; ++n) {
    // Exactly n entries, so that a read beyond them is seen by the address sanitizer.
    std::vector<O> ordinals(n);
    std::vector<W> weights(n);
    for (std::size_t i = 0; i < n; ++i) {
      ordinals[i] = static_cast<O>(random() % 1100);  // some beyond the last
      const float weight = static_cast<float>(1 + random() % 500) / 128;
      if constexpr (sizeof(W) == 1)
        weights[i] = static_cast<std::uint8_t>(random());
      else if constexpr (sizeof(W) == 2)
        weights[i] = float_to_half(weight);
      else
        weights[i] = weight;
    }
    const float expected = plain(ordinals.data(), weights.data(), n, table);
    CHECK(kernel(ordinals.data(), weights.data(), n, table) == expected);
  }
}

void check_select(const Kernels& kernel, std::mt19937& random) {
  for (std::size_t n = 0; n <= 256; n += 64) {
    std::vector<std::uint16_t> bounds(n), found(n), expected(n);
    std::vector<std::uint64_t> allowed(n / 64);
    for (auto& bound : bounds) bound = static_cast<std::uint16_t>(random());
    for (auto& word : allowed) word = std::uint64_t{random()} << 32 | random();
    for (const std::uint16_t least : {1, 300, 32767, 32768, 65000, 65535})
      for (const std::uint64_t* bits : {static_cast<const std::uint64_t*>(nullptr),
                                        static_cast<const std::uint64_t*>(allowed.data())}) {
        const auto m = scalar().select(bounds.data(), n, least, bits, expected.data());
        CHECK(kernel.select(bounds.data(), n, least, bits, found.data()) == m);
        CHECK(std::equal(found.begin(), found.begin() + static_cast<long>(m), expected.begin()));
      }
  }
}

}  // namespace

int main() {
  std::mt19937 random(1);
  for (const Kernels* const* one = available_kernels(); *one != nullptr; ++one) {
    use_kernel((*one)->name);
    CHECK(&kernels() == *one);
    for (int round = 0; round < 20; ++round) {
      check_dot(kernels().dot_short_float, scalar().dot_short_float, random);
      check_dot(kernels().dot_short_half, scalar().dot_short_half, random);
      check_dot(kernels().dot_long_float, scalar().dot_long_float, random);
      check_dot(kernels().dot_long_half, scalar().dot_long_half, random);
      check_dot(kernels().dot_short_byte, scalar().dot_short_byte, random);
      check_dot(kernels().dot_long_byte, scalar().dot_long_byte, random);
      check_select(kernels(), random);
    }
  }
}
