/// Every plan equals the exhaustive scorer: documents, scores, ties, under every kernel.
#include "search/search.h"

#include "check.h"
#include "errors.h"
#include "kernels/kernels.h"
#include "random_rows.h"

using namespace sir;

namespace {

bool equal(const std::vector<std::vector<Hit>>& a, const std::vector<std::vector<Hit>>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const Hit& h, const Hit& g) {
      return h.doc == g.doc && h.score == g.score;
    });
  });
}

std::vector<std::uint64_t> random_bits(std::size_t n, unsigned one_in, std::mt19937& random) {
  std::vector<std::uint64_t> words((n + 63) / 64, 0);
  for (std::size_t i = 0; i < n; ++i)
    if (random() % one_in == 0) words[i / 64] |= std::uint64_t{1} << (i % 64);
  return words;
}

void check_all(const Searched& searched, const Rows& queries) {
  for (const std::int64_t k : {1, 3, 10, 100000}) {
    const auto expected = search(searched, queries.view(), k, {"exhaustive"}, 1);
    for (const Kernels* const* one = available_kernels(); *one != nullptr; ++one) {
      use_kernel((*one)->name);
      CHECK(equal(search(searched, queries.view(), k, {"auto"}, 1), expected));
      CHECK(equal(search(searched, queries.view(), k, {"auto"}, 3), expected));
    }
  }
}

/// What is found by reading less has its exact score.
void check_pruned(const Searched& searched, const Rows& queries) {
  const auto all = search(searched, queries.view(), 1 << 20, {"exhaustive"}, 1);
  for (const double share : {0.999999, 0.7, 0.2}) {
    const std::vector<double> shares(queries.view().n_rows(), share);
    const auto found = search(searched, queries.view(), 10, {"auto", shares}, 1);
    for (std::size_t i = 0; i < found.size(); ++i)
      for (const Hit& hit : found[i])
        CHECK(std::any_of(all[i].begin(), all[i].end(), [&](const Hit& one) {
          return one.doc == hit.doc && one.score == hit.score;
        }));
  }
}

}  // namespace

int main() {
  const Folder folder;
  std::mt19937 random(3);
  for (int round = 0; round < 25; ++round) {
    Searched searched;
    std::vector<std::vector<std::uint64_t>> bits;
    // Sparse and dense windows, more than one window, and everything small.
    const std::size_t sizes[] = {
        round % 10 == 0 ? std::size_t{70000} : random() % 900,
        round % 5 == 0 ? 4096 + random() % 900 : random() % 90};
    for (const std::size_t n : sizes) {
      SegmentBuilder builder(static_cast<format::Precision>(round % 3));
      builder.add(numbers(n), random_rows(n, n > 1000 ? 20000 : 40, 6, random).view());
      const std::string path = folder / std::to_string(searched.segments.size()).c_str();
      builder.write(path);
      searched.segments.push_back(Segment::open(path));
      bits.push_back(random_bits(n, 1U << (round % 8), random));
    }
    const Rows queries = random_rows(6, 50, 12, random);
    searched.allowed.assign(2, Allowed());
    check_all(searched, queries);
    check_pruned(searched, queries);
    searched.allowed.assign(bits.begin(), bits.end());
    check_all(searched, queries);
    check_pruned(searched, queries);
  }
  const Rows query = random_rows(1, 5, 3, random);
  CHECK_THROWS(InvalidInput, search({}, query.view(), 0, {"auto"}, 1));
  CHECK_THROWS(InvalidInput, search({}, query.view(), 1, {"auto"}, 0));
  CHECK_THROWS(InvalidInput, search({}, query.view(), 1, {"guess"}, 1));
  const double too_much[] = {1.5}, two[] = {1, 1};
  CHECK_THROWS(InvalidInput, search({}, query.view(), 1, {"auto", too_much}, 1));
  CHECK_THROWS(InvalidInput, search({}, query.view(), 1, {"auto", two}, 1));
  CHECK_THROWS(InvalidInput, use_kernel("guess"));
}
