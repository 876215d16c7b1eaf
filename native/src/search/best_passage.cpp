#include "best_passage.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "../errors.h"

namespace sir {
namespace {

constexpr std::size_t kPlace = 3;  // numbers a passage: start, end, terms

struct Best {
  std::int32_t passage = -1;
  double gap = 0;  ///< by how much the bound is above its score
};

[[noreturn]] void damaged(const StoredPassages& stored, const char* problem) {
  throw FormatError("passages of document " + std::to_string(stored.doc), problem);
}

void check(const StoredPassages& stored) {
  std::uint64_t n_terms = 0;
  for (std::size_t i = kPlace - 1; i < stored.places.size(); i += kPlace)
    n_terms += stored.places[i];
  if (stored.places.empty() || stored.places.size() % kPlace != 0 ||
      n_terms != stored.terms.size() || n_terms != stored.weights.size())
    damaged(stored, "they hold more or fewer terms than they say");
}

/// Adds up one passage, and keeps the greatest product of each term of the query.
double score(std::span<const TermNumber> terms, const float* weights, const SparseVector& query,
             std::vector<double>& greatest) {
  double sum = 0;
  auto from = terms.begin();
  for (std::size_t i = 0; i < query.terms.size() && from != terms.end(); ++i) {
    from = std::lower_bound(from, terms.end(), query.terms[i]);
    if (from == terms.end() || *from != query.terms[i]) continue;
    const double product =
        static_cast<double>(query.weights[i]) * static_cast<double>(weights[from - terms.begin()]);
    sum += product;
    greatest[i] = std::max(greatest[i], product);
  }
  return sum;
}

Best best_of(const StoredPassages& stored, const SparseVector& query,
             std::vector<double>& greatest) {
  check(stored);
  std::fill(greatest.begin(), greatest.end(), 0.0);
  std::size_t first = 0;
  std::int32_t passage = -1;
  double best = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < stored.places.size() / kPlace; ++i) {
    const std::size_t n = stored.places[i * kPlace + kPlace - 1];
    const double sum =
        score(stored.terms.subspan(first, n), stored.weights.data() + first, query, greatest);
    if (!std::isfinite(sum)) damaged(stored, "a weight is no number");
    if (sum > best) {
      best = sum;
      passage = static_cast<std::int32_t>(i);
    }
    first += n;
  }
  double bound = 0;
  for (const double product : greatest) bound += product;
  return {passage, std::max(bound - best, 0.0)};
}

}  // namespace

std::vector<PassageHit> rank_by_best_passage(std::span<const Hit> bounds,
                                             std::span<const StoredPassages> stored,
                                             const SparseVector& query) {
  std::vector<const StoredPassages*> by_doc;
  for (const StoredPassages& one : stored) by_doc.push_back(&one);
  std::sort(by_doc.begin(), by_doc.end(),
            [](const auto* a, const auto* b) { return a->doc < b->doc; });
  std::vector<double> greatest(query.terms.size());
  std::vector<PassageHit> ranked;
  for (const Hit& bound : bounds) {
    const auto at = std::lower_bound(by_doc.begin(), by_doc.end(), bound.doc,
                                     [](const auto* a, DocNumber doc) { return a->doc < doc; });
    Best best;
    if (at != by_doc.end() && (*at)->doc == bound.doc) best = best_of(**at, query, greatest);
    const double score = static_cast<double>(bound.score) - best.gap;
    ranked.push_back({{static_cast<Score>(score), bound.doc}, best.passage});
  }
  std::sort(ranked.begin(), ranked.end(), [](const PassageHit& a, const PassageHit& b) {
    return is_better(a.hit, b.hit);
  });
  return ranked;
}

}  // namespace sir
