#include "search.h"

namespace sir {
namespace {

/// The score by its definition: both term lists walked side by side.
Score score_of(const Segment& segment, LocalDoc doc, const SparseVector& query) {
  const Row row = segment.row(doc);
  const auto terms = segment.terms();
  Score sum = 0;
  std::size_t i = 0, j = 0;
  while (i < row.size && j < query.terms.size()) {
    const Ordinal ordinal = segment.ordinal_at(row, i);
    if (ordinal >= terms.size()) break;  // a corrupt file: no term, no score
    if (terms[ordinal] == query.terms[j])
      sum += query.weights[j++] * segment.unit(ordinal) * segment.stored_at(row, i++);
    else if (terms[ordinal] < query.terms[j])
      ++i;
    else
      ++j;
  }
  return sum;
}

}  // namespace

void exhaustive(const Segment& segment, Allowed allowed, const SparseVector& query, TopK& best) {
  const auto numbers = segment.doc_numbers();
  for (std::size_t doc = 0; doc < segment.n_docs(); ++doc) {
    const auto local = static_cast<LocalDoc>(doc);
    if (!is_allowed(allowed, local)) continue;
    const Score score = score_of(segment, local, query);
    if (score > 0) best.push({score, numbers[doc]});
  }
}

}  // namespace sir
