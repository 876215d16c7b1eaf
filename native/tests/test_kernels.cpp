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

std::vector<std::uint8_t> random_bytes(std::size_t n, std::mt19937& random) {
  std::vector<std::uint8_t> bytes(n);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

void check_bounds(const Kernels& kernel, std::mt19937& random) {
  for (std::size_t n = 64; n <= 256; n += 64) {
    const auto a = random_bytes(n, random), b = random_bytes(n, random);
    const std::uint8_t* const rows[] = {a.data(), b.data()};
    const std::uint16_t factors[] = {static_cast<std::uint16_t>(random() % 32000), 65254};
    std::vector<std::uint16_t> sums(n, 7), expected(n, 7);
    for (const std::size_t n_rows : {0, 1, 2}) {
      kernel.add_bounds(rows, factors, n_rows, n, sums.data());
      scalar().add_bounds(rows, factors, n_rows, n, expected.data());
      CHECK(sums == expected);
    }
    std::vector<std::uint32_t> blocks;
    for (std::uint32_t block = 0; block < n / 8; ++block)
      if (random() % 2 == 0) blocks.push_back(block);
    std::vector<std::uint16_t> cells(8 * blocks.size(), 5), expected_cells = cells;
    kernel.add_cell_bounds(a.data(), factors[1], blocks.data(), blocks.size(), cells.data());
    scalar().add_cell_bounds(a.data(), factors[1], blocks.data(), blocks.size(),
                             expected_cells.data());
    CHECK(cells == expected_cells);
  }
}

void check_centroids(const Kernels& kernel, std::mt19937& random) {
  std::vector<float> centroids(10 * kCentroids);
  for (float& value : centroids) value = static_cast<float>(random() % 1000) / 37;
  const std::uint32_t features[] = {3, 9, 0};
  const float weights[] = {0.3F, 1.7F, 0.11F};
  for (std::size_t m = kCentroidGroup; m <= kCentroids; m += kCentroidGroup)
    for (std::size_t n = 0; n <= 3; ++n) {
      float products[kCentroids], expected[kCentroids];
      kernel.centroid_products(features, weights, n, centroids.data(), m, products);
      scalar().centroid_products(features, weights, n, centroids.data(), m, expected);
      CHECK(std::equal(products, products + m, expected));
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
      check_bounds(kernels(), random);
      check_centroids(kernels(), random);
    }
  }
}
