/// Search over segments: the checked entry, and the algorithms, one paper a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "../csr.h"
#include "../segment.h"
#include "../topk.h"
#include "../types.h"

namespace sir {

/// Which rows of a segment may be hits: bit i % 64 of word i / 64; empty if all may.
using Allowed = std::span<const std::uint64_t>;

/// Of any row number, also one past the last, which a corrupt file may name.
inline bool is_allowed(Allowed allowed, LocalDoc doc) {
  if (allowed.empty()) return true;
  return doc / 64 < allowed.size() && (allowed[doc / 64] >> (doc % 64) & 1) != 0;
}

/// The segments of an index and, as many or none, what is allowed of each.
struct Searched {
  std::vector<std::shared_ptr<const Segment>> segments;
  std::vector<Allowed> allowed;
};

/// How to search. No algorithm changes a hit; with a share below 1, documents are chosen by the lists
/// that hold that share of all bounds, and some hits may be missed.
struct Plan {
  std::string_view algorithm = "auto";  ///< auto or exhaustive
  std::span<const double> bound_shares = {};  ///< with auto: of each query, in (0, 1]; empty: all 1
};

/// The best k hits of every query, best first; a document that shares no term is no hit.
/// Throws InvalidInput for k or n_threads < 1, an unknown algorithm, a share that is none, queries
/// that are not rows of ascending terms with weights > 0, or bitsets of the wrong size; FormatError
/// where a file lies.
std::vector<std::vector<Hit>> search(const Searched& searched, const CsrView& queries,
                                     std::int64_t k, const Plan& plan, std::int64_t n_threads);

/// Scores every allowed row, in the plainest way. The oracle of all others.
void exhaustive(const Segment& segment, Allowed allowed, const SparseVector& query, TopK& best);

}  // namespace sir
