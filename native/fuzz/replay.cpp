/// Runs the fuzz target without libFuzzer.
///
///     fuzz_replay FILE...              each file once: how a finding is looked at
///     fuzz_replay --seconds N [SEED]   mutations of valid segments, for N seconds
///     fuzz_replay --seeds FOLDER       writes those segments, for libFuzzer to start from
///
/// Before each run of a mutation its bytes are written to `last-input`, so that a crash leaves them.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "../tests/random_rows.h"
#include "segment.h"
#include "segment_builder.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const std::string& path, const Bytes& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(content.data()), static_cast<long>(content.size()));
}

void run(const Bytes& content) { LLVMFuzzerTestOneInput(content.data(), content.size()); }

/// Segments of all precisions, of no rows to so many that blocks have bounds, of few and many terms.
std::vector<Bytes> seeds() {
  std::mt19937 random(11);
  std::vector<Bytes> all;
  const std::string path = "fuzz-seed.sir";
  using sir::format::Precision;
  for (const auto precision : {Precision::kFloat32, Precision::kFloat16, Precision::kUint8})
    for (const auto& [n, terms, most] : {std::tuple{0, 1, 0}, {1, 3, 3}, {40, 9, 5}, {300, 60, 8},
                                         {90, 100'000, 900}, {4200, 20, 2}}) {
      sir::SegmentBuilder builder(precision);
      const auto rows = static_cast<std::size_t>(n);
      builder.add(numbers(rows),
                  random_rows(rows, static_cast<sir::TermNumber>(terms), most, random).view());
      builder.write(path);
      all.push_back(content_of(path));
    }
  std::remove(path.c_str());
  return all;
}

/// Bits, bytes, interesting words, and stretches copied from elsewhere.
void mutate(Bytes& content, std::mt19937_64& random) {
  static constexpr std::uint64_t kWords[] = {0,          1,          0x7F,       0xFF,
                                             0xFFFF,     0x10000,    0x7FFFFFFF, 0xFFFFFFFF,
                                             1ULL << 32, 1ULL << 48, ~0ULL,      0x7FC00000};
  for (auto n = 1 + random() % 6; n > 0 && !content.empty(); --n) {
    const bool in_front = random() % 6 == 0;
    const std::size_t at = random() % (in_front ? std::min<std::size_t>(content.size(), 400)
                                                : content.size());
    const std::size_t room = content.size() - at;
    switch (random() % 5) {
      case 0: content[at] ^= static_cast<std::uint8_t>(1U << random() % 8); break;
      case 1: content[at] = static_cast<std::uint8_t>(random()); break;
      case 2: {
        const std::uint64_t word = kWords[random() % std::size(kWords)] + random() % 3 - 1;
        std::memcpy(&content[at], &word, std::min<std::size_t>(room, 1ULL << random() % 4));
        break;
      }
      case 3: {
        const std::size_t from = random() % content.size();
        const std::size_t n_bytes =
            std::min({room, content.size() - from, std::size_t{1} + random() % 64});
        std::memmove(&content[at], &content[from], n_bytes);
        break;
      }
      default:
        if (random() % 16 == 0) content.resize(at);
    }
  }
}

int mutate_for(double seconds, std::uint64_t seed) {
  const auto valid = seeds();
  for (const Bytes& one : valid) run(one);
  std::mt19937_64 random(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::size_t n = 0;
  for (; std::chrono::steady_clock::now() < end; ++n) {
    Bytes content = valid[random() % valid.size()];
    mutate(content, random);
    put("last-input", content);
    run(content);
  }
  std::remove("last-input");
  std::printf("%zu inputs, no finding\n", n);
  return 0;
}

}  // namespace

int main(int n_arguments, char** arguments) {
  const std::vector<std::string> given(arguments + 1, arguments + n_arguments);
  if (given.size() >= 2 && given[0] == "--seconds")
    return mutate_for(std::atof(given[1].c_str()),
                      given.size() > 2 ? std::strtoull(given[2].c_str(), nullptr, 10) : 1);
  if (given.size() == 2 && given[0] == "--seeds") {
    std::size_t i = 0;
    for (const Bytes& one : seeds()) put(given[1] + "/" + std::to_string(i++), one);
    return 0;
  }
  for (const std::string& path : given) run(content_of(path));
  std::printf("%zu files, no finding\n", given.size());
  return 0;
}
