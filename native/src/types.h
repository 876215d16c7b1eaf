/// The numbers of the engine, and the one order of hits.
#pragma once

#include <cstdint>
#include <span>

namespace sir {

using DocNumber = std::uint64_t;   ///< of a document in the index, for ever
using LocalDoc = std::uint32_t;    ///< of a document in its segment: its row
using TermNumber = std::uint32_t;  ///< of a term in the index
using Ordinal = std::uint32_t;     ///< of a term in a segment: its place among those that occur
using Score = float;

/// A document's score is the float32 sum of query weight x stored weight over the terms that both
/// have, in ascending term number, multiply then add; a stored byte is multiplied by query weight x
/// its unit. Every algorithm and kernel reports just that.
struct Hit {
  Score score;
  DocNumber doc;
};

/// The order of hits: greater score first, then lower doc number.
inline bool is_better(const Hit& a, const Hit& b) {
  return a.score != b.score ? a.score > b.score : a.doc < b.doc;
}

/// One vector: terms strictly ascending, weights finite and > 0.
struct SparseVector {
  std::span<const TermNumber> terms;
  std::span<const float> weights;
};

}  // namespace sir
