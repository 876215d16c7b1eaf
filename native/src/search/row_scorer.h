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
  /// Room for every ordinal of the segment.
  void make_room(std::size_t n_terms) {
    if (weights_.size() > n_terms) return;
    weights_.resize(n_terms + 1, 0);
    bits_.resize(weights_.size() / 32 + 1, 0);
  }

  void set(Ordinal ordinal, float weight) {
    weights_[ordinal] = weight;
    bits_[ordinal / 32] |= std::uint32_t{weight > 0} << (ordinal % 32);
  }

  void clear(Ordinal ordinal) {
    weights_[ordinal] = 0;
    bits_[ordinal / 32] = 0;
  }

  QueryTable table(Ordinal last) const { return {weights_.data(), bits_.data(), last}; }

 private:
  std::vector<float> weights_;
  std::vector<std::uint32_t> bits_;
};

class RowScorer {
 public:
  struct Term {
    Ordinal ordinal;
    float weight;
  };

  RowScorer(const Segment& segment, std::span<const Term> query, DenseQuery& dense)
      : segment_(segment), kernels_(kernels()), query_(query), dense_(dense) {
    dense_.make_room(segment.n_terms());
    for (const Term& term : query_)
      dense_.set(term.ordinal, term.weight * segment.unit(term.ordinal));
    table_ = dense_.table(static_cast<Ordinal>(std::max(segment.n_terms(), std::size_t{1}) - 1));
  }
  ~RowScorer() {
    for (const Term& term : query_) dense_.clear(term.ordinal);
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
                  row.size, table_);
  }

  const Segment& segment_;
  const Kernels& kernels_;
  std::span<const Term> query_;
  DenseQuery& dense_;
  QueryTable table_{};
};

}  // namespace sir
