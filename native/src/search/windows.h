/// Windows of documents: the lists of a query sum up their bounds, 65,536 documents at a time.
///
/// Source: windows of accumulators after Strohman, Croft 2007, "Efficient document retrieval in main
/// memory". New here: accumulators hold 16-bit upper bounds instead of scores, so one comparison a
/// document finds those that matter, and their scores come from their rows.
#pragma once

#include <vector>

#include "contest.h"

namespace sir {

inline constexpr double kNonEssentialShare = 0.3;  // of the threshold; measured, flat from .2 to .4
inline constexpr std::size_t kPrefetched = 6;      // rows ahead

/// The strong or the weak postings of a term of the query.
struct QueryList {
  List list;
  double term_bound;  // greatest product of query weight and a document's weight, strong or weak
  double gain;        // by which bounds are greater if documents may be in it
  double worth;       // gain a posting
  std::size_t n_runs;
  std::size_t next_run = 0;
};

struct Candidate {
  std::uint16_t bound;
  LocalDoc doc;
};

inline bool is_higher(const Candidate& a, const Candidate& b) {
  return a.bound != b.bound ? a.bound > b.bound : a.doc < b.doc;
}

/// What a thread keeps between queries; `bounds` are all zero then.
struct WindowScratch {
  std::vector<std::uint16_t> bounds = std::vector<std::uint16_t>(format::kWindowDocs, 0);
  std::vector<std::uint16_t> positions = std::vector<std::uint16_t>(format::kWindowDocs);
  std::vector<QueryList> lists;
  std::vector<Candidate> candidates;
};

class Windows {
 public:
  Windows(Contest& contest, WindowScratch& scratch);

  /// Of the lists not read so far, those worth least are left out, as long as all that are left out
  /// add at most so much to any bound.
  void leave_out(double most);

  /// Sums bounds by the lists that are read in the next window that has postings; false after the
  /// last.
  bool next();

  /// The least sum of a document that may be a hit; at least 1.
  std::uint16_t least_bound() const;

  /// A sum that at least n documents of the window reach, allowed or not; 1 if none is known.
  std::uint16_t reached_by(std::size_t n);

  /// Appends the allowed documents of the window with sums from `least` on; leaves all sums zero.
  void collect(std::uint16_t least, std::vector<Candidate>& candidates);

 private:
  void add_lists(const QueryTerm& term);
  bool find_window();
  Run run_of(const QueryList& list) const;
  void add_bounds(const QueryList& list, const Run& run);
  void collect_all(std::uint16_t least, std::vector<Candidate>& candidates);
  void collect_touched(std::uint16_t least, std::vector<Candidate>& candidates);
  Candidate candidate(std::uint16_t position) const;

  Contest& contest_;
  const Segment& segment_;
  WindowScratch& scratch_;
  std::vector<QueryList>& lists_;  // by worth, ascending
  double scale_;                   // of bounds to 16 bits
  std::size_t n_left_out_ = 0;
  double left_out_ = 0;  // what these add to bounds, at most
  std::size_t window_ = 0;
  std::size_t done_ = 0;     // windows before this one are behind
  std::size_t n_docs_ = 0;   // of the window
  std::size_t n_read_ = 0;   // postings of it
};

/// Calls search(scratch) with what this thread keeps; after a corrupt file it keeps nothing, for sums
/// of bounds may be left in it.
template <class Search>
void with_scratch(Search search) {
  static thread_local WindowScratch scratch;
  try {
    search(scratch);
  } catch (...) {
    scratch = WindowScratch();
    throw;
  }
}

}  // namespace sir
