#include "windows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

namespace sir {

using format::kWindowBits;
using format::kWindowDocs;

namespace {

constexpr std::size_t kRowCost = 16;    // postings read in the time of looking at one document
constexpr std::size_t kShortRun = 128;  // postings for which no table of bounds is made
constexpr std::size_t kGroup = 64;      // documents of which one stands for all

}  // namespace

Windows::Windows(Contest& contest, WindowScratch& scratch)
    : contest_(contest), segment_(contest.segment), scratch_(scratch), lists_(scratch.lists) {
  lists_.clear();
  for (const QueryTerm& term : contest.terms) add_lists(term);
  std::sort(lists_.begin(), lists_.end(), [](const QueryList& a, const QueryList& b) {
    return a.worth != b.worth ? a.worth < b.worth : a.list > b.list;
  });
  // All bounds together must fit 16 bits, one unit of rounding up a term included.
  scale_ = (65535.0 - 2.0 * static_cast<double>(contest.terms.size())) /
           (contest.total_bound * (1 + 1e-5));
}

/// A weak list is never worth more than its strong one, so it is left out before, and what the strong
/// one adds is only the difference.
void Windows::add_lists(const QueryTerm& term) {
  const auto worth = [](double gain, std::size_t n) { return gain / static_cast<double>(n); };
  const List strong = strong_list(term.ordinal), weak = weak_list(term.ordinal);
  const std::size_t n_weak = segment_.n_postings(weak), n_strong = term.n_postings - n_weak;
  double gain = term.bound, least_worth = 0;
  if (n_weak > 0) {
    const double weak_gain = term.bound * ((format::kLeastStrong - 1) / 255.0);
    least_worth = worth(weak_gain, n_weak);
    lists_.push_back({weak, term.bound, weak_gain, least_worth, segment_.n_runs(weak)});
    gain -= weak_gain;
  }
  if (n_strong > 0)
    lists_.push_back({strong, term.bound, gain, std::max(worth(gain, n_strong), least_worth),
                      segment_.n_runs(strong)});
}

void Windows::leave_out(double most) {
  while (n_left_out_ < lists_.size() && left_out_ + lists_[n_left_out_].gain <= most)
    left_out_ += lists_[n_left_out_++].gain;
}

bool Windows::next() {
  if (!find_window()) return false;
  n_docs_ = std::min(kWindowDocs, segment_.n_docs() - (window_ << kWindowBits));
  n_read_ = 0;
  for (std::size_t i = n_left_out_; i < lists_.size(); ++i)
    if (const Run run = run_of(lists_[i]); run.size > 0) {
      add_bounds(lists_[i], run);
      n_read_ += run.size;
    }
  return true;
}

bool Windows::find_window() {
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  window_ = kNone;
  for (std::size_t i = n_left_out_; i < lists_.size(); ++i) {
    QueryList& list = lists_[i];
    while (list.next_run < list.n_runs && segment_.run(list.list, list.next_run).window < done_)
      ++list.next_run;
    if (list.next_run < list.n_runs)
      window_ = std::min(window_, segment_.run(list.list, list.next_run).window);
  }
  done_ = window_ + 1;
  return window_ != kNone;
}

/// The list's postings in the window; empty if there are none.
Run Windows::run_of(const QueryList& list) const {
  if (list.next_run < list.n_runs)
    if (const Run run = segment_.run(list.list, list.next_run); run.window == window_) return run;
  return {window_, nullptr, nullptr, 0};
}

/// bounds[doc] += scaled, rounded up bound of the posting, for every posting of the run.
void Windows::add_bounds(const QueryList& list, const Run& run) {
  // x < floor(x) + 1; the factor is above what the two float roundings can take away.
  const auto step = static_cast<float>(list.term_bound * scale_ / 255 * (1 + 1e-6));
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

std::uint16_t Windows::least_bound() const {
  const double least = std::ceil((contest_.needed() - left_out_) * scale_);
  return static_cast<std::uint16_t>(std::clamp(least, 1.0, 65535.0));
}

std::uint16_t Windows::reached_by(std::size_t n) {
  const std::size_t n_groups = n_docs_ / kGroup;
  if (n == 0 || n > n_groups) return 1;
  auto& greatest = scratch_.positions;  // of each group
  for (std::size_t i = 0; i < n_groups; ++i) {
    const std::uint16_t* group = scratch_.bounds.data() + i * kGroup;
    std::uint16_t most = 0;
    for (std::size_t j = 0; j < kGroup; ++j) most = std::max(most, group[j]);
    greatest[i] = most;
  }
  const auto begin = greatest.begin(), nth = begin + static_cast<std::ptrdiff_t>(n - 1);
  std::nth_element(begin, nth, begin + static_cast<std::ptrdiff_t>(n_groups), std::greater<>());
  return std::max(*nth, std::uint16_t{1});
}

void Windows::collect(std::uint16_t least, std::vector<Candidate>& candidates) {
  if (n_read_ * kRowCost < n_docs_)
    collect_touched(least, candidates);
  else
    collect_all(least, candidates);
}

/// Looks at every document of the window.
void Windows::collect_all(std::uint16_t least, std::vector<Candidate>& candidates) {
  const std::size_t padded = (n_docs_ + 63) / 64 * 64;
  const Allowed all = contest_.allowed;
  const std::uint64_t* allowed = all.empty() ? nullptr : all.data() + window_ * (kWindowDocs / 64);
  auto& bounds = scratch_.bounds;
  auto& positions = scratch_.positions;
  const std::size_t found =
      kernels().select(bounds.data(), padded, least, allowed, positions.data());
  for (std::size_t i = 0; i < found; ++i) candidates.push_back(candidate(positions[i]));
  std::fill(bounds.begin(), bounds.end(), std::uint16_t{0});
}

/// Looks at the documents of the postings only.
void Windows::collect_touched(std::uint16_t least, std::vector<Candidate>& candidates) {
  for (std::size_t i = n_left_out_; i < lists_.size(); ++i) {
    const Run run = run_of(lists_[i]);
    for (std::size_t j = 0; j < run.size; ++j) {
      const Candidate one = candidate(run.docs[j]);
      if (one.bound >= least && one.doc < segment_.n_docs() &&
          is_allowed(contest_.allowed, one.doc))
        candidates.push_back(one);
      scratch_.bounds[run.docs[j]] = 0;
    }
  }
}

Candidate Windows::candidate(std::uint16_t position) const {
  return {scratch_.bounds[position], static_cast<LocalDoc>(window_ << kWindowBits | position)};
}

}  // namespace sir
