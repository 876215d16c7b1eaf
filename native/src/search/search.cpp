#include "search.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>

#include "../errors.h"
#include "../parallel.h"
#include "contest.h"

namespace sir {
namespace {

constexpr std::size_t kMostTerms = 16384;  // more cannot share 16 bits; exhaustive does it
constexpr std::size_t kRowCost = 16;       // postings read in the time of scoring one row

/// Whether the sums stay finite and the terms few enough for 16-bit bounds.
bool is_ordinary(const Contest& contest) {
  return contest.terms.size() <= kMostTerms && contest.total_bound > 0 &&
         contest.total_bound < std::numeric_limits<float>::max() / 2;
}

std::size_t count(Allowed allowed) {
  std::size_t n = 0;
  for (const std::uint64_t word : allowed) n += static_cast<std::size_t>(std::popcount(word));
  return n;
}

/// Few documents allowed: their rows are cheaper than any postings.
void score_allowed(Contest& contest) {
  for (std::size_t word = 0; word < contest.allowed.size(); ++word)
    for (std::uint64_t bits = contest.allowed[word]; bits != 0; bits &= bits - 1) {
      const std::size_t doc = 64 * word + static_cast<std::size_t>(std::countr_zero(bits));
      if (doc < contest.segment.n_docs()) contest.enter(static_cast<LocalDoc>(doc));
    }
}

/// Picks the plan by what it will cost: the postings it reads, the rows it scores.
void search_segment(const Segment& segment, Allowed allowed, const SparseVector& query,
                    std::string_view algorithm, double bound_share, TopK& best) {
  if (algorithm == "exhaustive") return exhaustive(segment, allowed, query, best);
  static thread_local ContestScratch scratch;
  Contest contest(segment, allowed, query, best, scratch);
  if (contest.n_postings == 0) return;
  if (!is_ordinary(contest)) return exhaustive(segment, allowed, query, best);
  if (!allowed.empty() && count(allowed) * kRowCost < contest.n_postings)
    return score_allowed(contest);
  contest.seed();
  if (bound_share < 1)
    pruned_query(contest, bound_share);
  else
    maxscore(contest);
}

void check_plan(const Plan& plan, std::size_t n_queries) {
  constexpr std::string_view kKnown[] = {"auto", "exhaustive"};
  if (std::find(std::begin(kKnown), std::end(kKnown), plan.algorithm) == std::end(kKnown))
    throw InvalidInput("algorithm is '" + std::string(plan.algorithm) +
                       "'; want auto or exhaustive");
  if (!plan.bound_shares.empty() && plan.algorithm != "auto")
    throw InvalidInput("bound shares came with algorithm '" + std::string(plan.algorithm) +
                       "'; want auto");
  if (!plan.bound_shares.empty() && plan.bound_shares.size() != n_queries)
    throw InvalidInput(std::to_string(plan.bound_shares.size()) + " bound shares came for " +
                       std::to_string(n_queries) + " queries; want one each");
  for (const double share : plan.bound_shares)
    if (!(share > 0 && share <= 1))
      throw InvalidInput("bound_share is " + std::to_string(share) +
                         "; want more than 0 and at most 1");
}

void check_arguments(const Searched& searched, const CsrView& queries, std::int64_t k,
                     std::int64_t n_threads) {
  if (k < 1) throw InvalidInput("k is " + std::to_string(k) + "; want an integer >= 1");
  if (n_threads < 1)
    throw InvalidInput("threads is " + std::to_string(n_threads) + "; want an integer >= 1");
  check(queries);
  if (searched.allowed.size() != searched.segments.size())
    throw InvalidInput(std::to_string(searched.allowed.size()) + " bitsets came for " +
                       std::to_string(searched.segments.size()) + " segments; want one each");
  for (std::size_t i = 0; i < searched.segments.size(); ++i) {
    const std::size_t wanted = (searched.segments[i]->n_docs() + 63) / 64;
    if (!searched.allowed[i].empty() && searched.allowed[i].size() != wanted)
      throw InvalidInput("a bitset has " + std::to_string(searched.allowed[i].size()) +
                         " words; want " + std::to_string(wanted) + ", a bit a document");
  }
}

std::size_t n_docs(const Searched& searched) {
  std::size_t n = 0;
  for (const auto& segment : searched.segments) n += segment->n_docs();
  return n;
}

}  // namespace

std::vector<std::vector<Hit>> search(const Searched& searched, const CsrView& queries,
                                     std::int64_t k, const Plan& plan, std::int64_t n_threads) {
  check_arguments(searched, queries, k, n_threads);
  check_plan(plan, queries.n_rows());
  // No more can be found than there are: a huge k must not become a huge heap.
  const std::size_t most = std::min(static_cast<std::size_t>(k), n_docs(searched));
  std::vector<std::vector<Hit>> hits(queries.n_rows());
  if (most == 0) return hits;
  parallel_for(hits.size(), static_cast<std::size_t>(n_threads), [&](std::size_t i) {
    TopK best(most);  // carried from segment to segment: what is found raises the bar for the rest
    const double share = plan.bound_shares.empty() ? 1 : plan.bound_shares[i];
    for (std::size_t s = 0; s < searched.segments.size(); ++s)
      search_segment(*searched.segments[s], searched.allowed[s], queries.row(i), plan.algorithm,
                     share, best);
    hits[i] = best.take();
  });
  return hits;
}

}  // namespace sir
