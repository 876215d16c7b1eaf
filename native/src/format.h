/// The segment file: a header, a table of sections, the sections, each at a multiple of 64 bytes.
///
/// All numbers are little-endian. A document is a row: its terms, by ordinal, with their weights.
/// Rows stand in the order of their doc numbers. What a posting stores is an impact: the weight as a
/// share of the term's greatest, in 255ths, rounded up. So impacts bound scores from above, and the
/// rows give the scores themselves. A term has two lists of postings, strong and weak ones: searches
/// look for the strong, and most are weak. A term in few rows has all of them in the strong list.
/// Lists are cut in windows of 65,536 rows; a run is a list's postings in one window.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sir::format {

inline constexpr char kMagic[8] = {'S', 'P', 'A', 'R', 'S', 'E', 'I', 'R'};
inline constexpr std::uint32_t kVersion = 2;
inline constexpr std::size_t kAlignment = 64;
inline constexpr unsigned kWindowBits = 16;
inline constexpr std::size_t kWindowDocs = std::size_t{1} << kWindowBits;
inline constexpr std::size_t kMostShortOrdinals = std::size_t{1} << 16;  // then rows store 16 bits
inline constexpr std::size_t kChampions = 16;            // best documents kept of a term ...
inline constexpr std::size_t kLeastForChampions = 64;    // ... that has more postings than this

inline constexpr std::uint8_t kLeastStrong = 51;  // impact of a strong posting, a fifth of the most
inline constexpr std::size_t kSplitShare = 256;   // two lists: of terms in 1 of so many rows, or more

/// How rows store weights: as they are, rounded to a half, or as the impact itself.
enum class Precision : std::uint32_t { kFloat32 = 0, kFloat16 = 1, kUint8 = 2 };

enum Section : std::uint32_t {
  kDocNumbers,     ///< u64[n_docs], of each row, ascending
  kTerms,          ///< u32[n_terms], ascending: the terms that occur, by ordinal
  kMaxWeights,     ///< f32[n_terms]
  kPostingBegins,  ///< u64[2 n_terms + 1], of each term's strong and weak list
  kRunBegins,      ///< u64[2 n_terms + 1], likewise
  kRunWindows,     ///< u16[n_runs], ascending in a list
  kRunEnds,        ///< u32[n_runs], counted from the list's first posting
  kChampionBegins, ///< u32[n_terms + 1]
  kChampionDocs,   ///< u32[...], by descending weight
  kPostingDocs,    ///< u16[n_postings], in the window, ascending in a run
  kImpacts,        ///< u8[n_postings]
  kRowBegins,      ///< u64[n_docs + 1]
  kRowOrdinals,    ///< u16 or u32[n_postings], ascending in a row
  kRowWeights,     ///< f32, f16 or u8[n_postings]
  kSections,
};

inline constexpr std::array<const char*, kSections> kNames = {
    "doc numbers",     "terms",     "max weights",  "posting begins", "run begins",
    "run windows",     "run ends",  "champion begins", "champions",   "posting docs",
    "impacts",         "row begins", "row ordinals", "row weights"};

struct Header {
  char magic[8];
  std::uint32_t version;
  Precision precision;
  std::uint64_t n_docs;
  std::uint64_t n_postings;
  std::uint64_t n_runs;
  std::uint32_t n_terms;
  std::uint32_t n_champions;
  std::uint64_t table_checksum;  ///< of the header up to here, then the table
};
static_assert(sizeof(Header) == 56);

struct SectionEntry {
  std::uint64_t offset;
  std::uint64_t n_bytes;
  std::uint64_t checksum;
};

using Table = std::array<SectionEntry, kSections>;

inline constexpr std::uint64_t aligned(std::uint64_t offset) {
  return (offset + kAlignment - 1) / kAlignment * kAlignment;
}

inline constexpr std::uint64_t weight_bytes(Precision precision) {
  return precision == Precision::kFloat32 ? 4 : precision == Precision::kFloat16 ? 2 : 1;
}

/// Bytes of every section, from the header's counts; what a file must say of itself.
inline std::array<std::uint64_t, kSections> section_bytes(const Header& header) {
  const std::uint64_t docs = header.n_docs, terms = header.n_terms, postings = header.n_postings;
  return {8 * docs,
          4 * terms,
          4 * terms,
          8 * (2 * terms + 1),
          8 * (2 * terms + 1),
          2 * header.n_runs,
          4 * header.n_runs,
          4 * (terms + 1),
          4 * std::uint64_t{header.n_champions},
          2 * postings,
          postings,
          8 * (docs + 1),
          (terms <= kMostShortOrdinals ? 2 : 4) * postings,
          weight_bytes(header.precision) * postings};
}

/// Upper bound of the weight behind an impact: exact at 255, never below the weight it stands for.
inline double bound_of(std::uint8_t impact, float max_weight) {
  return static_cast<double>(max_weight) * impact / 255.0;
}

}  // namespace sir::format
