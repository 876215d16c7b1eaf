/// Documents ranked by their best passages, from a ranking by bounds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "../types.h"

namespace sir {

/// The passages of one document as the catalog keeps them, one after another.
struct StoredPassages {
  DocNumber doc;
  std::span<const std::uint32_t> places;  ///< start, end and number of terms of each passage
  std::span<const TermNumber> terms;      ///< ascending in each passage
  std::span<const float> weights;
};

/// A hit, and the number of the passage that gave its score; -1 if the document is one.
struct PassageHit {
  Hit hit;
  std::int32_t passage;
};

/// The documents of `bounds` by what their best passages score, in the order of hits. A bound counts
/// each term with its greatest weight in any passage: the score is less by what that is too much.
/// Throws FormatError where passages hold more or fewer terms than they say, or no numbers.
std::vector<PassageHit> rank_by_best_passage(std::span<const Hit> bounds,
                                             std::span<const StoredPassages> stored,
                                             const SparseVector& query);

}  // namespace sir
