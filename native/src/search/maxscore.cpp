/// Windowed MaxScore: terms whose bounds together cannot lift a document over the threshold are not
/// read; the others' bounds are summed a window of documents at a time; who could still enter is
/// scored from its row.
///
/// Source: Turtle, Flood 1995, "Query evaluation: strategies and optimizations" (essential and
/// non-essential terms); windows of accumulators after Strohman, Croft 2007, "Efficient document
/// retrieval in main memory". New here: accumulators hold 16-bit upper bounds instead of scores, so
/// one comparison a document finds the survivors, and a survivor's score comes from its row.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "contest.h"

namespace sir {

using format::kWindowBits;
using format::kWindowDocs;

namespace {

constexpr double kNonEssentialShare = 0.3;  // of the threshold; measured, flat from .2 to .5
constexpr std::size_t kRowCost = 16;        // postings read in the time of looking at one row
constexpr std::size_t kShortRun = 128;      // postings for which no table of bounds is made
constexpr std::size_t kPrefetched = 6;      // rows ahead

struct Candidate {
  std::uint16_t bound;
  LocalDoc doc;
};

/// What a thread keeps between queries; `bounds` are all zero then.
struct Scratch {
  std::vector<std::uint16_t> bounds = std::vector<std::uint16_t>(kWindowDocs, 0);
  std::vector<std::uint16_t> positions = std::vector<std::uint16_t>(kWindowDocs);
  std::vector<Candidate> candidates;
};

class MaxScore {
 public:
  MaxScore(Contest& contest, Scratch& scratch)
      : contest_(contest), segment_(contest.segment), terms_(contest.terms), scratch_(scratch) {}

  void run() {
    std::sort(terms_.begin(), terms_.end(), [](const QueryTerm& a, const QueryTerm& b) {
      return a.bound * static_cast<double>(b.n_postings) <
             b.bound * static_cast<double>(a.n_postings);
    });
    choose_scale();
    for (std::size_t window; grow_non_essential(), (window = next_window()) != kNoWindow;)
      search_window(window);
  }

 private:
  static constexpr std::size_t kNoWindow = std::numeric_limits<std::size_t>::max();

  /// All bounds of the query together must fit 16 bits, one unit of rounding up a term included.
  void choose_scale() {
    scale_ = (65535.0 - 2.0 * static_cast<double>(terms_.size())) /
             (contest_.total_bound * (1 + 1e-5));
  }

  /// Terms [0, n_rest_) are not read: without the others, no document reaches the threshold.
  void grow_non_essential() {
    const double most = kNonEssentialShare * contest_.needed();
    while (n_rest_ < terms_.size() && rest_ + terms_[n_rest_].bound <= most)
      rest_ += terms_[n_rest_++].bound;
  }

  std::size_t next_window() {
    std::size_t window = kNoWindow;
    for (std::size_t i = n_rest_; i < terms_.size(); ++i) {
      QueryTerm& term = terms_[i];
      while (term.next_run < term.n_runs && segment_.run(term.ordinal, term.next_run).window < done_)
        ++term.next_run;
      if (term.next_run < term.n_runs)
        window = std::min(window, segment_.run(term.ordinal, term.next_run).window);
    }
    return window;
  }

  void search_window(std::size_t window) {
    done_ = window + 1;
    const std::size_t n = std::min(kWindowDocs, segment_.n_docs() - (window << kWindowBits));
    std::size_t n_read = 0;
    for (std::size_t i = n_rest_; i < terms_.size(); ++i)
      if (const Run run = run_in(terms_[i], window); run.size > 0) {
        add_bounds(terms_[i], run);
        n_read += run.size;
      }
    scratch_.candidates.clear();
    if (n_read * kRowCost < n)
      collect_touched(window);
    else
      collect_all(window, n);
    score_candidates();
  }

  Run run_in(const QueryTerm& term, std::size_t window) const {
    if (term.next_run < term.n_runs)
      if (const Run run = segment_.run(term.ordinal, term.next_run); run.window == window)
        return run;
    return {window, nullptr, nullptr, 0};
  }

  /// bounds[doc] += scaled, rounded up bound of the posting, for every posting of the run.
  void add_bounds(const QueryTerm& term, const Run& run) {
    // x < floor(x) + 1; the factor is above what the two float roundings can take away.
    const auto step = static_cast<float>(term.bound * scale_ / 255 * (1 + 1e-6));
    const auto bound_of = [step](std::size_t impact) {
      return static_cast<std::uint16_t>(static_cast<int>(step * static_cast<float>(impact)) + 1);
    };
    std::uint16_t* const bounds = scratch_.bounds.data();
    if (run.size <= kShortRun) {
      for (std::size_t i = 0; i < run.size; ++i) bounds[run.docs[i]] += bound_of(run.impacts[i]);
      return;
    }
    std::array<std::uint16_t, 256> table;
    for (std::size_t impact = 0; impact < table.size(); ++impact) table[impact] = bound_of(impact);
    std::size_t i = 0;
    for (; i + 4 <= run.size; i += 4) {
      bounds[run.docs[i]] += table[run.impacts[i]];
      bounds[run.docs[i + 1]] += table[run.impacts[i + 1]];
      bounds[run.docs[i + 2]] += table[run.impacts[i + 2]];
      bounds[run.docs[i + 3]] += table[run.impacts[i + 3]];
    }
    for (; i < run.size; ++i) bounds[run.docs[i]] += table[run.impacts[i]];
  }

  /// The least sum of bounds with which a document may still enter; at least 1.
  std::uint16_t least_bound() const {
    const double least = std::ceil((contest_.needed() - rest_) * scale_);
    return static_cast<std::uint16_t>(std::clamp(least, 1.0, 65535.0));
  }

  /// Looks at every document of the window; leaves the bounds all zero.
  void collect_all(std::size_t window, std::size_t n) {
    const std::size_t padded = (n + 63) / 64 * 64;
    const Allowed all = contest_.allowed;
    const std::uint64_t* allowed =
        all.empty() ? nullptr : all.data() + window * (kWindowDocs / 64);
    auto& bounds = scratch_.bounds;
    auto& positions = scratch_.positions;
    const std::size_t found =
        kernels().select(bounds.data(), padded, least_bound(), allowed, positions.data());
    for (std::size_t i = 0; i < found; ++i)
      add_candidate(window, positions[i], bounds[positions[i]]);
    std::fill(bounds.begin(), bounds.end(), std::uint16_t{0});
  }

  /// Looks at the documents of the postings only; leaves the bounds all zero.
  void collect_touched(std::size_t window) {
    const std::uint16_t least = least_bound();
    for (std::size_t i = n_rest_; i < terms_.size(); ++i) {
      const Run run = run_in(terms_[i], window);
      for (std::size_t j = 0; j < run.size; ++j) {
        std::uint16_t& bound = scratch_.bounds[run.docs[j]];
        const auto doc = static_cast<LocalDoc>(window << kWindowBits | run.docs[j]);
        if (bound >= least && doc < segment_.n_docs() && is_allowed(contest_.allowed, doc))
          add_candidate(window, run.docs[j], bound);
        bound = 0;
      }
    }
  }

  void add_candidate(std::size_t window, std::uint16_t position, std::uint16_t bound) {
    scratch_.candidates.push_back(
        {bound, static_cast<LocalDoc>(window << kWindowBits | position)});
  }

  /// Best bounds first, in batches: each raises the bar for the next.
  void score_candidates() {
    auto begin = scratch_.candidates.begin(), end = scratch_.candidates.end();
    const auto higher = [](const Candidate& a, const Candidate& b) {
      return a.bound != b.bound ? a.bound > b.bound : a.doc < b.doc;
    };
    std::ptrdiff_t size = 64;
    while (begin != end) {
      const auto batch = begin + std::min(size, end - begin);
      if (batch != end) std::nth_element(begin, batch, end, higher);
      std::sort(begin, batch, higher);
      if (!score_batch(begin, batch)) return;
      begin = batch;
      const std::uint16_t least = least_bound();
      end = std::partition(begin, end, [least](const Candidate& c) { return c.bound >= least; });
      size *= 4;
    }
  }

  /// Whether the batch was scored to its end, not stopped by a bound below the bar.
  template <class Iterator>
  bool score_batch(Iterator begin, Iterator end) {
    for (auto one = begin; one != end; ++one) {
      if (one->bound < least_bound()) return false;
      if (static_cast<std::size_t>(end - one) > kPrefetched)
        contest_.prefetch(one[kPrefetched].doc);
      contest_.enter(one->doc);
    }
    return true;
  }

  Contest& contest_;
  const Segment& segment_;
  std::vector<QueryTerm>& terms_;
  Scratch& scratch_;
  double scale_ = 0;  // of bounds to 16 bits
  double rest_ = 0;   // sum of the bounds of the terms that are not read
  std::size_t n_rest_ = 0;
  std::size_t done_ = 0;  // windows before this one are searched
};

}  // namespace

void maxscore(Contest& contest) {
  static thread_local Scratch scratch;
  try {
    MaxScore(contest, scratch).run();
  } catch (...) {
    scratch = Scratch();  // a corrupt file: nothing of it may stay in the sums
    throw;
  }
}

}  // namespace sir
