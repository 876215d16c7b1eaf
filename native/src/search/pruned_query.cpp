/// Query pruning: only the lists that are most worth it are read, weak postings and terms of little
/// weight are not; the documents with the greatest sums are scored from their rows.
///
/// Source: Anh, Moffat 2006, "Pruned query evaluation using pre-computed impacts" (the postings of
/// most impact first, and no more of them than needed); Li et al. 2025, arXiv:2509.08395 (pruned
/// documents and queries give candidates, whole ones the scores).
#include <algorithm>
#include <vector>

#include "contest.h"
#include "windows.h"

namespace sir {
namespace {

constexpr std::size_t kPerHit = 10;  // candidates
constexpr std::size_t kLeastCandidates = 64;

class PrunedQuery {
 public:
  PrunedQuery(Contest& contest, WindowScratch& scratch)
      : contest_(contest),
        windows_(contest, scratch),
        best_(scratch.candidates),
        most_(std::max(kPerHit * contest.k(), kLeastCandidates)) {
    best_.clear();
  }

  void run(double bound_share) {
    windows_.leave_out(std::max(kNonEssentialShare * contest_.needed(),
                                (1 - bound_share) * contest_.total_bound));
    while (windows_.next()) collect();
    std::sort(best_.begin(), best_.end(), is_higher);
    for (std::size_t i = 0; i < best_.size() && best_[i].bound >= windows_.least_bound(); ++i) {
      if (i + kPrefetched < best_.size()) contest_.prefetch(best_[i + kPrefetched].doc);
      contest_.enter(best_[i].doc);
    }
  }

 private:
  /// The window's documents that are among the best candidates so far.
  void collect() {
    if (best_.size() < most_ && contest_.allowed.empty())
      bar_ = std::max(bar_, windows_.reached_by(most_));
    windows_.collect(std::max(bar_, windows_.least_bound()), best_);
    if (best_.size() <= most_) return;
    const auto last = best_.begin() + static_cast<std::ptrdiff_t>(most_ - 1);
    std::nth_element(best_.begin(), last, best_.end(), is_higher);
    best_.resize(most_);
    bar_ = std::max(bar_, best_.back().bound);
  }

  Contest& contest_;
  Windows windows_;
  std::vector<Candidate>& best_;
  const std::size_t most_;
  std::uint16_t bar_ = 1;  // at least `most_` documents reach it
};

}  // namespace

void pruned_query(Contest& contest, double bound_share) {
  with_scratch([&](WindowScratch& scratch) { PrunedQuery(contest, scratch).run(bound_share); });
}

}  // namespace sir
