/// An opened segment: immutable, in memory or mapped from a file, trusted in nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "format.h"
#include "half.h"
#include "mapped_file.h"
#include "types.h"

namespace sir {

/// A document's terms and weights, in the width in which they are stored.
struct Row {
  const std::byte* ordinals;
  const std::byte* weights;
  std::size_t size;
};

/// Number of a list of postings: of each term the strong, then the weak one.
using List = std::uint64_t;

inline constexpr List strong_list(Ordinal term) { return 2 * List{term}; }
inline constexpr List weak_list(Ordinal term) { return strong_list(term) + 1; }

/// A list's postings in one window of 65,536 rows.
struct Run {
  std::size_t window;
  const std::uint16_t* docs;
  const std::uint8_t* impacts;
  std::size_t size;
};

class Segment {
 public:
  /// Maps the file; checks header, version, sizes and offsets, in time that does not grow with it.
  /// Throws FileError, FormatError.
  static std::shared_ptr<const Segment> open(const std::string& path);

  /// As `open`, for bytes in memory, which are copied; `name` stands for the path in errors.
  static std::shared_ptr<const Segment> from_bytes(std::span<const std::byte> bytes,
                                                   const std::string& name);

  /// Reads every byte: checksums, then every invariant of the format. Throws FormatError.
  void verify() const;

  const std::string& path() const { return path_; }
  std::size_t n_docs() const { return header().n_docs; }
  std::size_t n_terms() const { return header().n_terms; }
  std::size_t n_postings() const { return header().n_postings; }
  std::size_t n_bytes() const { return file_.size(); }
  std::size_t n_bytes(format::Section which) const { return table()[which].n_bytes; }
  bool has_short_ordinals() const { return n_terms() <= format::kMostShortOrdinals; }
  format::Precision precision() const { return header().precision; }

  std::span<const DocNumber> doc_numbers() const {
    return section<DocNumber>(format::kDocNumbers);
  }
  std::span<const TermNumber> terms() const { return section<TermNumber>(format::kTerms); }

  /// The term's ordinal, or n_terms() if it does not occur.
  Ordinal find(TermNumber term) const;

  // What follows checks what it reads of the file before it makes a pointer of it; FormatError.

  float max_weight(Ordinal term) const { return section<float>(format::kMaxWeights)[term]; }
  std::size_t document_frequency(Ordinal term) const {
    return n_postings(strong_list(term)) + n_postings(weak_list(term));
  }
  std::size_t n_postings(List list) const;
  std::size_t n_runs(List list) const;
  Run run(List list, std::size_t i) const;
  std::span<const LocalDoc> champions(Ordinal term) const;
  Row row(LocalDoc doc) const;

  Ordinal ordinal_at(const Row& row, std::size_t i) const;
  /// What the row stores, and what a weight is of it: where impacts are stored, a share.
  float stored_at(const Row& row, std::size_t i) const;
  float unit(Ordinal term) const {
    return precision() == format::Precision::kUint8 ? max_weight(term) / 255.0F : 1.0F;
  }
  float weight_at(const Row& row, std::size_t i) const {
    return unit(ordinal_at(row, i)) * stored_at(row, i);
  }

 private:
  template <class Source>
  Segment(const std::string& path, const Source& source);

  const format::Header& header() const {
    return *reinterpret_cast<const format::Header*>(file_.data());
  }
  const format::Table& table() const {
    return *reinterpret_cast<const format::Table*>(file_.data() + sizeof(format::Header));
  }
  template <class T>
  std::span<const T> section(format::Section which) const {
    return {reinterpret_cast<const T*>(sections_[which]), table()[which].n_bytes / sizeof(T)};
  }

  void check_header() const;
  void check_table() const;
  void verify_terms() const;
  void verify_postings() const;
  void verify_rows() const;
  void require(bool holds, format::Section which, const char* what) const;

  std::string path_;
  MappedFile file_;
  std::array<const std::byte*, format::kSections> sections_{};
};

}  // namespace sir
