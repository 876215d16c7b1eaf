/// Windowed MaxScore: lists whose bounds together cannot lift a document over the threshold are not
/// read; of the others, windows of documents sum up the bounds; who could still enter is scored from
/// its row.
///
/// Source: Turtle, Flood 1995, "Query evaluation: strategies and optimizations" (essential and
/// non-essential terms). Ours: weak postings are lists of their own, which are soon left out.
#include <algorithm>
#include <vector>

#include "contest.h"
#include "windows.h"

namespace sir {
namespace {

class MaxScore {
 public:
  MaxScore(Contest& contest, WindowScratch& scratch)
      : contest_(contest), windows_(contest, scratch), candidates_(scratch.candidates) {}

  void run() {
    for (;;) {
      windows_.leave_out(kNonEssentialShare * contest_.needed());
      if (!windows_.next()) return;
      candidates_.clear();
      windows_.collect(windows_.least_bound(), candidates_);
      score_candidates();
    }
  }

 private:
  /// Best bounds first, in batches: each raises the bar for the next.
  void score_candidates() {
    auto begin = candidates_.begin(), end = candidates_.end();
    std::ptrdiff_t size = 64;
    while (begin != end) {
      const auto batch = begin + std::min(size, end - begin);
      if (batch != end) std::nth_element(begin, batch, end, is_higher);
      std::sort(begin, batch, is_higher);
      if (!score_batch(begin, batch)) return;
      begin = batch;
      const std::uint16_t least = windows_.least_bound();
      end = std::partition(begin, end, [least](const Candidate& c) { return c.bound >= least; });
      size *= 4;
    }
  }

  /// Whether the batch was scored to its end, not stopped by a bound below the bar.
  template <class Iterator>
  bool score_batch(Iterator begin, Iterator end) {
    for (auto one = begin; one != end; ++one) {
      if (one->bound < windows_.least_bound()) return false;
      if (static_cast<std::size_t>(end - one) > kPrefetched)
        contest_.prefetch(one[kPrefetched].doc);
      contest_.enter(one->doc);
    }
    return true;
  }

  Contest& contest_;
  Windows windows_;
  std::vector<Candidate>& candidates_;
};

}  // namespace

void maxscore(Contest& contest) {
  with_scratch([&](WindowScratch& scratch) { MaxScore(contest, scratch).run(); });
}

}  // namespace sir
