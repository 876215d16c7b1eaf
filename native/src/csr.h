/// Rows of term weights as they arrive, in compressed sparse rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "errors.h"
#include "types.h"

namespace sir {

/// A batch of rows as it arrives: row i is terms[indptr[i] .. indptr[i + 1]), and weights likewise.
struct CsrView {
  std::span<const std::int64_t> indptr;
  std::span<const TermNumber> terms;
  std::span<const float> weights;

  std::size_t n_rows() const { return indptr.size() - 1; }
  SparseVector row(std::size_t i) const {
    const auto begin = static_cast<std::size_t>(indptr[i]);
    const auto n = static_cast<std::size_t>(indptr[i + 1]) - begin;
    return {terms.subspan(begin, n), weights.subspan(begin, n)};
  }
};

/// Throws InvalidInput unless indptr rises from 0 to the number of terms and weights, every row's
/// terms ascend strictly, and all weights are finite and > 0.
inline void check(const CsrView& batch) {
  const auto refuse = [](std::size_t row, const std::string& problem) {
    throw InvalidInput("row " + std::to_string(row) + ": " + problem);
  };
  const auto n = static_cast<std::int64_t>(batch.terms.size());
  if (batch.indptr.empty() || batch.indptr.front() != 0 || batch.indptr.back() != n ||
      batch.weights.size() != batch.terms.size() ||
      !std::is_sorted(batch.indptr.begin(), batch.indptr.end()))
    throw InvalidInput("indptr does not rise from 0 to the number of terms and weights");
  for (std::size_t i = 0; i < batch.n_rows(); ++i) {
    const auto [terms, weights] = batch.row(i);
    for (std::size_t j = 0; j < terms.size(); ++j) {
      if (j > 0 && terms[j] <= terms[j - 1])
        refuse(i, "terms do not ascend; want each term once, sorted");
      if (!std::isfinite(weights[j]) || weights[j] <= 0)
        refuse(i, "term " + std::to_string(terms[j]) + " has weight " +
                      std::to_string(weights[j]) + "; want a finite weight > 0");
    }
  }
}

}  // namespace sir
