/// An order of documents that puts like ones side by side.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "types.h"

namespace sir {

/// Rows by ordinal: row i is entries [begins[i], begins[i + 1]).
struct OrdinalRows {
  std::span<const std::uint64_t> begins;
  std::span<const Ordinal> ordinals;
  std::span<const float> weights;

  std::size_t n_rows() const { return begins.size() - 1; }
};

/// All rows, each once; the same rows give the same order on every machine and any number of
/// threads. Blocks of neighbours then have tight bounds, and most of them need not be looked at by a
/// search.
std::vector<LocalDoc> similarity_order(const OrdinalRows& rows, std::size_t n_terms,
                                       std::size_t n_threads);

}  // namespace sir
