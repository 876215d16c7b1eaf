/// Collects rows and writes them as a segment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "csr.h"
#include "file_writer.h"
#include "format.h"
#include "segment.h"
#include "types.h"

namespace sir {

class SegmentBuilder {
 public:
  /// `n_threads` build, >= 1.
  explicit SegmentBuilder(format::Precision precision, std::size_t n_threads = 1)
      : precision_(precision), n_threads_(n_threads) {}

  /// Takes the memory for so many rows at once, where adding alone would take up to twice as much.
  void reserve(std::size_t n_docs, std::size_t n_postings) {
    docs_.reserve(n_docs);
    row_begins_.reserve(n_docs + 1);
    terms_.reserve(n_postings);
    weights_.reserve(n_postings);
  }

  /// Copies the rows. Doc numbers must ascend over all calls. Throws InvalidInput.
  void add(std::span<const DocNumber> docs, const CsrView& rows);

  /// The rows are the file `path`, synced; the same rows give the same bytes, whatever the number of
  /// threads. They are given up, their numbers stay known. Throws FileError.
  void write(const std::string& path);

  /// The rows as a segment that lives in memory, of the same bytes as the file would be.
  std::shared_ptr<const Segment> segment(const std::string& name);

  std::size_t n_docs() const { return docs_.size(); }
  std::size_t n_postings() const { return row_begins_.back(); }

 private:
  void build(Output& output);

  format::Precision precision_;
  std::size_t n_threads_;
  std::vector<DocNumber> docs_;
  std::vector<std::uint64_t> row_begins_{0};
  std::vector<TermNumber> terms_;
  std::vector<float> weights_;  // rounded to a half already
};

}  // namespace sir
