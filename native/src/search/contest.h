/// One query in one segment: its terms, and the documents that compete for the best places.
#pragma once

#include <algorithm>
#include <vector>

#include "row_scorer.h"
#include "search.h"

namespace sir {

/// A term of the query that occurs in the segment.
struct QueryTerm {
  Ordinal ordinal;
  float weight;
  double bound;  // greatest product of query weight and document weight
  std::size_t n_postings;
};

/// What a thread keeps between queries, so that a query allocates next to nothing.
struct ContestScratch {
  DenseQuery dense;
  std::vector<QueryTerm> terms;
  std::vector<RowScorer::Term> query;
  std::vector<LocalDoc> seeds;
};

class Contest {
 public:
  Contest(const Segment& in, Allowed of, const SparseVector& query, TopK& best,
          ContestScratch& scratch)
      : segment(in),
        allowed(of),
        terms(find_terms(in, query, scratch)),
        best_(best),
        seeds_(scratch.seeds),
        score_(in, scratch.query, scratch.dense) {
    seeds_.clear();
    for (const QueryTerm& term : terms) {
      n_postings += term.n_postings;
      total_bound += term.bound;
    }
    // A float32 sum of n products is at most this factor above the true sum.
    const double slack = static_cast<double>(terms.size() + 8) * 0x1p-23;
    needed_share_ = 1 / (1 + slack);
  }

  const Segment& segment;
  const Allowed allowed;
  std::vector<QueryTerm>& terms;
  std::size_t n_postings = 0;
  double total_bound = 0;

  /// Hits that are wanted.
  std::size_t k() const { return best_.k(); }

  /// A document whose bound is below this need not be scored.
  double needed() const { return best_.threshold() * needed_share_; }

  /// Scores the champions of the strongest terms, so that there is a threshold to begin with.
  void seed() {
    if (best_.is_full()) return;
    std::sort(terms.begin(), terms.end(),
              [](const QueryTerm& a, const QueryTerm& b) { return a.bound > b.bound; });
    for (const QueryTerm& term : terms) {
      if (best_.is_full()) break;
      const std::size_t before = seeds_.size();
      add_seeds(term);
      std::sort(seeds_.begin() + static_cast<std::ptrdiff_t>(before), seeds_.end());
      score_new_seeds(before);
    }
  }

  /// Scores a document that may be a hit and is no seed.
  void enter(LocalDoc doc) {
    if (!std::binary_search(seeds_.begin(), seeds_.end(), doc)) push(doc);
  }

  void prefetch(LocalDoc doc) const { score_.prefetch(doc); }

 private:
  static std::vector<QueryTerm>& find_terms(const Segment& in, const SparseVector& query,
                                            ContestScratch& scratch) {
    scratch.terms.clear();
    scratch.query.clear();
    for (std::size_t i = 0; i < query.terms.size(); ++i) {
      const Ordinal ordinal = in.find(query.terms[i]);
      if (ordinal == in.n_terms()) continue;
      const float weight = query.weights[i];
      scratch.query.push_back({ordinal, weight});
      scratch.terms.push_back({ordinal, weight,
                               static_cast<double>(weight) * in.max_weight(ordinal),
                               in.document_frequency(ordinal)});
    }
    return scratch.terms;
  }

  void add_seeds(const QueryTerm& term) {
    const auto champions = segment.champions(term.ordinal);
    seeds_.insert(seeds_.end(), champions.begin(), champions.end());
    if (!champions.empty() || term.n_postings > format::kLeastForChampions) return;
    for (const List list : {strong_list(term.ordinal), weak_list(term.ordinal)})
      for (std::size_t i = 0; i < segment.n_runs(list); ++i) {
        const Run run = segment.run(list, i);
        for (std::size_t j = 0; j < run.size; ++j)
          seeds_.push_back(static_cast<LocalDoc>(run.window << format::kWindowBits | run.docs[j]));
      }
  }

  /// seeds_[0, before) are sorted and scored; afterwards all are, each once.
  void score_new_seeds(std::size_t before) {
    const auto middle = seeds_.begin() + static_cast<std::ptrdiff_t>(before);
    for (auto doc = middle; doc != seeds_.end(); ++doc) prefetch(*doc);
    for (auto doc = middle; doc != seeds_.end(); ++doc)
      if (!std::binary_search(seeds_.begin(), middle, *doc) && is_allowed(allowed, *doc))
        push(*doc);
    merge_seeds(middle - seeds_.begin());
  }

  /// Both parts are sorted; afterwards all is, each document once.
  void merge_seeds(std::ptrdiff_t before) {
    std::inplace_merge(seeds_.begin(), seeds_.begin() + before, seeds_.end());
    seeds_.erase(std::unique(seeds_.begin(), seeds_.end()), seeds_.end());
  }

  void push(LocalDoc doc) {
    const Score score = score_(doc);
    if (score > 0) best_.push({score, segment.doc_numbers()[doc]});
  }

  TopK& best_;
  std::vector<LocalDoc>& seeds_;
  const RowScorer score_;
  double needed_share_;  // of the threshold that a bound must at least be
};

/// Who may still be a hit, by windows of postings. Equal to `exhaustive`, ties included. `contest`
/// is seeded.
void maxscore(Contest& contest);

/// The most promising by the lists that hold so large a share of all bounds, in (0, 1); others may be
/// missed. `contest` is seeded.
void pruned_query(Contest& contest, double bound_share);

}  // namespace sir
