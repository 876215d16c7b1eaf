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
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "row_scorer.h"
#include "search.h"

namespace sir {

using format::kWindowBits;
using format::kWindowDocs;

namespace {

constexpr double kNonEssentialShare = 0.3;  // of the threshold; measured, flat from .2 to .5
constexpr std::size_t kRowCost = 16;        // postings read in the time of scoring one row
constexpr std::size_t kMostTerms = 16384;   // more cannot share 16 bits; exhaustive does it
constexpr std::size_t kPrefetched = 6;      // rows ahead

struct Term {
  Ordinal ordinal;
  double bound;  // greatest product of query weight and document weight
  float weight;
  std::size_t n_postings;
  std::size_t n_runs;
  std::size_t next_run = 0;
};

struct Candidate {
  std::uint16_t bound;
  LocalDoc doc;
};

/// What a thread keeps between queries, so that a query allocates next to nothing.
struct Scratch {
  DenseQuery dense;
  std::vector<std::uint16_t> bounds = std::vector<std::uint16_t>(kWindowDocs, 0);
  std::vector<std::uint16_t> positions = std::vector<std::uint16_t>(kWindowDocs);
  std::vector<Candidate> candidates;
  std::vector<Term> terms;
  std::vector<RowScorer::Term> query;
  std::vector<LocalDoc> seeds;
};

class MaxScore {
 public:
  MaxScore(const Segment& segment, Allowed allowed, TopK& best, Scratch& scratch)
      : segment_(segment),
        allowed_(allowed),
        best_(best),
        scratch_(scratch),
        terms_(scratch.terms),
        score_(segment, scratch.query, scratch.dense) {}

  void run() {
    seed();
    std::sort(terms_.begin(), terms_.end(), [](const Term& a, const Term& b) {
      return a.bound * static_cast<double>(b.n_postings) <
             b.bound * static_cast<double>(a.n_postings);
    });
    choose_scale();
    for (std::size_t window; grow_non_essential(), (window = next_window()) != kNoWindow;)
      search_window(window);
  }

  /// Few documents allowed: their rows are cheaper than the postings.
  void run_allowed() {
    for (std::size_t word = 0; word < allowed_.size(); ++word)
      for (std::uint64_t bits = allowed_[word]; bits != 0; bits &= bits - 1) {
        const std::size_t doc = 64 * word + static_cast<std::size_t>(std::countr_zero(bits));
        if (doc < segment_.n_docs()) push(static_cast<LocalDoc>(doc));
      }
  }

 private:
  static constexpr std::size_t kNoWindow = std::numeric_limits<std::size_t>::max();

  /// Scores the champions of the strongest terms, so that there is a threshold to begin with.
  void seed() {
    auto& seeds = scratch_.seeds;
    seeds.clear();
    if (best_.is_full()) return;
    std::sort(terms_.begin(), terms_.end(),
              [](const Term& a, const Term& b) { return a.bound > b.bound; });
    for (const Term& term : terms_) {
      if (best_.is_full()) break;
      const std::size_t before = seeds.size();
      add_seeds(term);
      std::sort(seeds.begin() + static_cast<std::ptrdiff_t>(before), seeds.end());
      score_new_seeds(before);
    }
  }

  void add_seeds(const Term& term) {
    auto& seeds = scratch_.seeds;
    const auto champions = segment_.champions(term.ordinal);
    seeds.insert(seeds.end(), champions.begin(), champions.end());
    if (!champions.empty() || term.n_postings > format::kLeastForChampions) return;
    for (std::size_t i = 0; i < term.n_runs; ++i) {
      const Run run = segment_.run(term.ordinal, i);
      for (std::size_t j = 0; j < run.size; ++j)
        seeds.push_back(static_cast<LocalDoc>(run.window << kWindowBits | run.docs[j]));
    }
  }

  /// seeds[0, before) are sorted and scored; afterwards all are, each once.
  void score_new_seeds(std::size_t before) {
    auto& seeds = scratch_.seeds;
    const auto middle = seeds.begin() + static_cast<std::ptrdiff_t>(before);
    for (auto doc = middle; doc != seeds.end(); ++doc)
      if (!std::binary_search(seeds.begin(), middle, *doc) && is_allowed(allowed_, *doc)) push(*doc);
    std::inplace_merge(seeds.begin(), middle, seeds.end());
    seeds.erase(std::unique(seeds.begin(), seeds.end()), seeds.end());
  }

  /// All bounds of the query together must fit 16 bits, one unit of rounding up a term included.
  void choose_scale() {
    double total = 0;
    for (const Term& term : terms_) total += term.bound;
    scale_ = (65535.0 - 2.0 * static_cast<double>(terms_.size())) / (total * (1 + 1e-5));
    // A float32 sum of n products is at most this factor above the true sum.
    const double slack = static_cast<double>(terms_.size() + 4) * 0x1p-23;
    true_share_ = 1 / (1 + slack);
  }

  /// Terms [0, n_rest_) are not read: without the others, no document reaches the threshold.
  void grow_non_essential() {
    const double most = kNonEssentialShare * best_.threshold();
    while (n_rest_ < terms_.size() && rest_ + terms_[n_rest_].bound <= most)
      rest_ += terms_[n_rest_++].bound;
  }

  std::size_t next_window() {
    std::size_t window = kNoWindow;
    for (std::size_t i = n_rest_; i < terms_.size(); ++i) {
      Term& term = terms_[i];
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

  Run run_in(const Term& term, std::size_t window) const {
    if (term.next_run < term.n_runs)
      if (const Run run = segment_.run(term.ordinal, term.next_run); run.window == window)
        return run;
    return {window, nullptr, nullptr, 0};
  }

  /// bounds[doc] += scaled, rounded up bound of the posting, for every posting of the run.
  void add_bounds(const Term& term, const Run& run) {
    // x < floor(x) + 1; the factor is above what the two float roundings can take away.
    const auto step = static_cast<float>(term.bound * scale_ / 255 * (1 + 1e-6));
    std::array<std::uint16_t, 256> bound_of;
    for (int impact = 0; impact < 256; ++impact)
      bound_of[static_cast<std::size_t>(impact)] =
          static_cast<std::uint16_t>(static_cast<int>(step * static_cast<float>(impact)) + 1);
    std::uint16_t* const bounds = scratch_.bounds.data();
    std::size_t i = 0;
    for (; i + 4 <= run.size; i += 4) {
      bounds[run.docs[i]] += bound_of[run.impacts[i]];
      bounds[run.docs[i + 1]] += bound_of[run.impacts[i + 1]];
      bounds[run.docs[i + 2]] += bound_of[run.impacts[i + 2]];
      bounds[run.docs[i + 3]] += bound_of[run.impacts[i + 3]];
    }
    for (; i < run.size; ++i) bounds[run.docs[i]] += bound_of[run.impacts[i]];
  }

  /// The least sum of bounds with which a document may still enter; at least 1.
  std::uint16_t least_bound() const {
    const double least = std::ceil((best_.threshold() * true_share_ - rest_) * scale_);
    return static_cast<std::uint16_t>(std::clamp(least, 1.0, 65535.0));
  }

  /// Looks at every document of the window; leaves the bounds all zero.
  void collect_all(std::size_t window, std::size_t n) {
    const std::size_t padded = (n + 63) / 64 * 64;
    const std::uint64_t* allowed =
        allowed_.empty() ? nullptr : allowed_.data() + window * (kWindowDocs / 64);
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
        if (bound >= least && doc < segment_.n_docs() && is_allowed(allowed_, doc))
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
    const auto& seeds = scratch_.seeds;
    for (auto one = begin; one != end; ++one) {
      if (one->bound < least_bound()) return false;
      if (static_cast<std::size_t>(end - one) > kPrefetched)
        score_.prefetch(one[kPrefetched].doc);
      if (!std::binary_search(seeds.begin(), seeds.end(), one->doc)) push(one->doc);
    }
    return true;
  }

  void push(LocalDoc doc) {
    const Score score = score_(doc);
    if (score > 0) best_.push({score, segment_.doc_numbers()[doc]});
  }

  const Segment& segment_;
  const Allowed allowed_;
  TopK& best_;
  Scratch& scratch_;
  std::vector<Term>& terms_;
  const RowScorer score_;
  double scale_ = 0;       // of bounds to 16 bits
  double true_share_ = 1;  // of a float32 score that its true sum must at least be
  double rest_ = 0;        // sum of the bounds of the terms that are not read
  std::size_t n_rest_ = 0;
  std::size_t done_ = 0;  // windows before this one are searched
};

/// Finds the query's terms in the segment; returns their postings in all.
std::size_t look_up(const Segment& segment, const SparseVector& query, Scratch& scratch) {
  scratch.terms.clear();
  scratch.query.clear();
  std::size_t n_postings = 0;
  for (std::size_t i = 0; i < query.terms.size(); ++i) {
    const Ordinal ordinal = segment.find(query.terms[i]);
    if (ordinal == segment.n_terms()) continue;
    const float weight = query.weights[i];
    scratch.query.push_back({ordinal, weight});
    scratch.terms.push_back({ordinal, static_cast<double>(weight) * segment.max_weight(ordinal),
                             weight, segment.document_frequency(ordinal), segment.n_runs(ordinal)});
    n_postings += scratch.terms.back().n_postings;
  }
  return n_postings;
}

/// Whether the sums stay finite and the terms few enough for 16-bit bounds.
bool is_ordinary(const std::vector<Term>& terms) {
  double total = 0;
  for (const Term& term : terms) total += term.bound;
  return terms.size() <= kMostTerms && total > 0 &&
         total < std::numeric_limits<float>::max() / 2;
}

std::size_t count(Allowed allowed) {
  std::size_t n = 0;
  for (const std::uint64_t word : allowed) n += static_cast<std::size_t>(std::popcount(word));
  return n;
}

}  // namespace

void maxscore(const Segment& segment, Allowed allowed, const SparseVector& query, TopK& best) {
  static thread_local Scratch scratch;
  const std::size_t n_postings = look_up(segment, query, scratch);
  if (n_postings == 0) return;
  if (!is_ordinary(scratch.terms)) return exhaustive(segment, allowed, query, best);
  MaxScore plan(segment, allowed, best, scratch);
  if (!allowed.empty() && count(allowed) * kRowCost < n_postings)
    plan.run_allowed();
  else
    plan.run();
}

}  // namespace sir
