/// A document scores as its best passage; numbers worked out by hand.
#include "search/best_passage.h"

#include <array>
#include <limits>

#include "check.h"
#include "errors.h"

using namespace sir;

int main() {
  const std::array<TermNumber, 3> terms{2, 5, 9};
  const std::array<float, 3> weights{1.0F, 2.0F, 4.0F};
  const SparseVector query{terms, weights};
  // Passage 0 scores 1 x 3, passage 1 1 x 0.25 + 2 x 0.5 + 4 x 0.5; the bound is 3 + 1 + 2.
  const std::array<std::uint32_t, 6> places{0, 4, 2, 4, 9, 3};
  const std::array<TermNumber, 5> own_terms{2, 3, 2, 5, 9};
  const std::array<float, 5> own_weights{3.0F, 9.0F, 0.25F, 0.5F, 0.5F};
  const StoredPassages stored{7, places, own_terms, own_weights};
  const std::array<Hit, 3> bounds{{{6.0F, 7}, {5.0F, 4}, {3.25F, 2}}};
  const auto ranked = rank_by_best_passage(bounds, {&stored, 1}, query);
  CHECK(ranked.size() == 3);
  CHECK(ranked[0].hit.doc == 4 && ranked[0].hit.score == 5.0F && ranked[0].passage == -1);
  CHECK(ranked[1].hit.doc == 2 && ranked[1].hit.score == 3.25F && ranked[1].passage == -1);
  CHECK(ranked[2].hit.doc == 7 && ranked[2].hit.score == 3.25F && ranked[2].passage == 1);

  StoredPassages short_of_terms = stored;
  short_of_terms.terms = short_of_terms.terms.first(4);
  CHECK_THROWS(FormatError, rank_by_best_passage(bounds, {&short_of_terms, 1}, query));
  StoredPassages cut = stored;
  cut.places = cut.places.first(5);
  CHECK_THROWS(FormatError, rank_by_best_passage(bounds, {&cut, 1}, query));
  StoredPassages nothing = stored;
  nothing.places = nothing.places.first(0);
  CHECK_THROWS(FormatError, rank_by_best_passage(bounds, {&nothing, 1}, query));
  std::array<float, 5> no_number = own_weights;
  no_number[2] = std::numeric_limits<float>::quiet_NaN();
  const StoredPassages damaged{7, places, own_terms, no_number};
  CHECK_THROWS(FormatError, rank_by_best_passage(bounds, {&damaged, 1}, query));
  return 0;
}
