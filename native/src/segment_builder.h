/// Collects rows and writes them as a segment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "format.h"
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
void check(const CsrView& batch);

class SegmentBuilder {
 public:
  explicit SegmentBuilder(format::Precision precision) : precision_(precision) {}

  /// Copies the rows. Doc numbers must ascend over all calls. Throws InvalidInput.
  void add(std::span<const DocNumber> docs, const CsrView& rows);

  /// The rows are the file `path`, synced; the same rows give the same bytes. Throws FileError.
  void write(const std::string& path) const;

  std::size_t n_docs() const { return docs_.size(); }
  std::size_t n_postings() const { return terms_.size(); }
  std::size_t memory_bytes() const { return 16 * docs_.capacity() + 8 * terms_.capacity(); }

 private:
  format::Precision precision_;
  std::vector<DocNumber> docs_;
  std::vector<std::uint64_t> row_begins_{0};
  std::vector<TermNumber> terms_;
  std::vector<float> weights_;  // rounded to the precision already
};

}  // namespace sir
