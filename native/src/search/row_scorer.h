/// Scores rows of a segment for one query by the kernel's dot product.
#pragma once

#include <algorithm>
#include <vector>

#include "../kernels/kernels.h"
#include "../segment.h"
#include "../types.h"

namespace sir {

/// The query laid out by ordinal, all zeros between queries, kept by its thread.
class DenseQuery {
 public:
  /// Room for every ordinal of the segment, and for every one that 16 bits can name.
  float* at_least(std::size_t n_terms) {
    if (values_.size() < std::max(n_terms, format::kMostShortOrdinals))
      values_.resize(std::max(n_terms, format::kMostShortOrdinals), 0);
    return values_.data();
  }

 private:
  std::vector<float> values_;
};

class RowScorer {
 public:
  struct Term {
    Ordinal ordinal;
    float weight;
  };

  RowScorer(const Segment& segment, std::span<const Term> query, DenseQuery& dense)
      : segment_(segment),
        kernels_(kernels()),
        query_(query),
        dense_(dense.at_least(segment.n_terms())),
        last_(static_cast<Ordinal>(std::max(segment.n_terms(), std::size_t{1}) - 1)) {
    for (const Term& term : query_)
      dense_[term.ordinal] = term.weight * segment.unit(term.ordinal);
  }
  ~RowScorer() {
    for (const Term& term : query_) dense_[term.ordinal] = 0;
  }
  RowScorer(const RowScorer&) = delete;
  RowScorer& operator=(const RowScorer&) = delete;

  Score operator()(LocalDoc doc) const { return score(segment_.row(doc)); }

  /// The row will be scored soon.
  void prefetch(LocalDoc doc) const {
    const Row row = segment_.row(doc);
    const auto* ordinals = reinterpret_cast<const char*>(row.ordinals);
    const auto* weights = reinterpret_cast<const char*>(row.weights);
    const std::size_t width = segment_.has_short_ordinals() ? 2 : 4;
    for (std::size_t at = 0; at < row.size * width; at += 64) __builtin_prefetch(ordinals + at);
    const std::size_t bytes = row.size * format::weight_bytes(segment_.precision());
    for (std::size_t at = 0; at < bytes; at += 64) __builtin_prefetch(weights + at);
  }

 private:
  Score score(const Row& row) const {
    return segment_.has_short_ordinals()
               ? score_as<std::uint16_t>(row, kernels_.dot_short_float, kernels_.dot_short_half,
                                         kernels_.dot_short_byte)
               : score_as<std::uint32_t>(row, kernels_.dot_long_float, kernels_.dot_long_half,
                                         kernels_.dot_long_byte);
  }

  template <class O>
  Score score_as(const Row& row, Dot<O, float> of_float, Dot<O, Half> of_half,
                 Dot<O, std::uint8_t> of_byte) const {
    switch (segment_.precision()) {
      case format::Precision::kFloat32:
        return dot(of_float, row);
      case format::Precision::kFloat16:
        return dot(of_half, row);
      default:
        return dot(of_byte, row);
    }
  }

  template <class O, class W>
  Score dot(Dot<O, W> kernel, const Row& row) const {
    return kernel(reinterpret_cast<const O*>(row.ordinals), reinterpret_cast<const W*>(row.weights),
                  row.size, dense_, last_);
  }

  const Segment& segment_;
  const Kernels& kernels_;
  std::span<const Term> query_;
  float* dense_;
  Ordinal last_;
};

}  // namespace sir
