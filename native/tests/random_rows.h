/// Random rows with ties, empty rows and a term that is nearly everywhere.
#pragma once

#include <map>
#include <random>
#include <vector>

#include "segment_builder.h"

/// Rows that own their memory.
struct Rows {
  std::vector<std::int64_t> indptr{0};
  std::vector<sir::TermNumber> terms;
  std::vector<float> weights;

  sir::CsrView view() const { return {indptr, terms, weights}; }
};

inline Rows random_rows(std::size_t n, sir::TermNumber n_terms, int most, std::mt19937& random) {
  Rows rows;
  for (std::size_t i = 0; i < n; ++i) {
    std::map<sir::TermNumber, float> row;
    if (random() % 4 != 0) row[0] = 0.5F;
    for (int j = static_cast<int>(random() % static_cast<unsigned>(most + 1)); j > 0; --j)
      row[random() % n_terms] = static_cast<float>(1 + random() % 8) / 4;
    for (const auto& [term, weight] : row) {
      rows.terms.push_back(term);
      rows.weights.push_back(weight);
    }
    rows.indptr.push_back(static_cast<std::int64_t>(rows.terms.size()));
  }
  return rows;
}

inline std::vector<sir::DocNumber> numbers(std::size_t n) {
  std::vector<sir::DocNumber> docs(n);
  for (std::size_t i = 0; i < n; ++i) docs[i] = 10 + 2 * i;
  return docs;
}
