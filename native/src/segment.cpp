#include "segment.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "checksum.h"
#include "errors.h"

namespace sir {

using namespace format;

std::shared_ptr<const Segment> Segment::open(const std::string& path) {
  return std::shared_ptr<const Segment>(new Segment(path, path));
}

std::shared_ptr<const Segment> Segment::from_bytes(std::span<const std::byte> bytes,
                                                   const std::string& name) {
  return std::shared_ptr<const Segment>(new Segment(name, bytes));
}

template <class Source>
Segment::Segment(const std::string& path, const Source& source) : path_(path), file_(source) {
  check_header();
  check_table();
  for (std::size_t i = 0; i < kSections; ++i) sections_[i] = file_.data() + table()[i].offset;
}

Ordinal Segment::find(TermNumber term) const {
  const auto all = terms();
  // An ordinal is at most its term's number, and not much less where most terms occur.
  std::size_t end = std::min<std::size_t>(all.size(), std::size_t{term} + 1), begin = end;
  for (std::size_t step = 1; begin > 0 && all[begin - 1] >= term; step *= 2) {
    end = begin;
    begin -= std::min(begin, step);
  }
  const auto at = std::lower_bound(all.begin() + static_cast<std::ptrdiff_t>(begin),
                                   all.begin() + static_cast<std::ptrdiff_t>(end), term);
  return static_cast<Ordinal>(at != all.end() && *at == term ? at - all.begin()
                                                             : std::ssize(all));
}

std::size_t Segment::n_postings(List list) const {
  const auto begins = section<std::uint64_t>(kPostingBegins);
  require(begins[list] <= begins[list + 1] && begins[list + 1] <= n_postings(), kPostingBegins,
          "a list's end is before its begin or past the last");
  return begins[list + 1] - begins[list];
}

std::size_t Segment::n_runs(List list) const {
  const auto begins = section<std::uint64_t>(kRunBegins);
  require(begins[list] <= begins[list + 1] && begins[list + 1] <= header().n_runs, kRunBegins,
          "a list's end is before its begin or past the last");
  return begins[list + 1] - begins[list];
}

Run Segment::run(List list, std::size_t i) const {
  const std::size_t at = section<std::uint64_t>(kRunBegins)[list] + i;
  const auto ends = section<std::uint32_t>(kRunEnds);
  const std::size_t begin = i == 0 ? 0 : ends[at - 1], end = ends[at];
  require(begin <= end && end <= n_postings(list), kRunEnds,
          "a run's end is before its begin or past its list's last posting");
  const std::size_t window = section<std::uint16_t>(kRunWindows)[at];
  require(window << kWindowBits < n_docs(), kRunWindows, "a window lies past the last document");
  const std::size_t first = section<std::uint64_t>(kPostingBegins)[list] + begin;
  return {window, section<std::uint16_t>(kPostingDocs).data() + first,
          section<std::uint8_t>(kImpacts).data() + first, end - begin};
}

std::span<const LocalDoc> Segment::champions(Ordinal term) const {
  const auto begins = section<std::uint32_t>(kChampionBegins);
  require(begins[term] <= begins[term + 1] && begins[term + 1] <= header().n_champions,
          kChampionBegins, "a term's end is before its begin or past the last");
  return section<LocalDoc>(kChampionDocs)
      .subspan(begins[term], begins[term + 1] - begins[term]);
}

Row Segment::row(LocalDoc doc) const {
  const auto begins = section<std::uint64_t>(kRowBegins);
  require(doc < n_docs(), kRowBegins, "a posting names a document past the last");
  const std::uint64_t begin = begins[doc], end = begins[doc + 1];
  require(begin <= end && end <= n_postings(), kRowBegins,
          "a document's end is before its begin or past the last");
  return {sections_[kRowOrdinals] + begin * (has_short_ordinals() ? 2 : 4),
          sections_[kRowWeights] + begin * weight_bytes(precision()), end - begin};
}

Ordinal Segment::ordinal_at(const Row& row, std::size_t i) const {
  return has_short_ordinals() ? reinterpret_cast<const std::uint16_t*>(row.ordinals)[i]
                              : reinterpret_cast<const std::uint32_t*>(row.ordinals)[i];
}

float Segment::stored_at(const Row& row, std::size_t i) const {
  switch (precision()) {
    case Precision::kFloat32:
      return reinterpret_cast<const float*>(row.weights)[i];
    case Precision::kFloat16:
      return half_to_float(reinterpret_cast<const Half*>(row.weights)[i]);
    default:
      return reinterpret_cast<const std::uint8_t*>(row.weights)[i];
  }
}

void Segment::check_header() const {
  if (file_.size() < sizeof(Header) + sizeof(Table))
    throw FormatError(path_, "header: the file has " + std::to_string(file_.size()) +
                                 " bytes; want at least " +
                                 std::to_string(sizeof(Header) + sizeof(Table)));
  if (std::memcmp(header().magic, kMagic, sizeof kMagic) != 0)
    throw FormatError(path_, "header: this is not a segment file");
  if (header().version != kVersion)
    throw FormatError(path_, "header: format version is " + std::to_string(header().version) +
                                 "; this release reads " + std::to_string(kVersion));
  if (header().precision > Precision::kUint8)
    throw FormatError(path_, "header: unknown precision");
  // Counts beyond this would overflow the products below; no disk holds so many.
  constexpr std::uint64_t kMost = std::uint64_t{1} << 48;
  for (const std::uint64_t n : {header().n_postings, header().n_runs})
    if (n > kMost) throw FormatError(path_, "header: impossible counts");
  if (header().n_docs > std::uint64_t{1} << 32)
    throw FormatError(path_, "header: impossible counts");
}

void Segment::check_table() const {
  std::vector<std::byte> covered(offsetof(Header, table_checksum) + sizeof(Table));
  std::memcpy(covered.data(), file_.data(), offsetof(Header, table_checksum));
  std::memcpy(covered.data() + offsetof(Header, table_checksum), &table(), sizeof(Table));
  if (checksum(covered.data(), covered.size()) != header().table_checksum)
    throw FormatError(path_, "header: its checksum is wrong");
  const auto wanted = section_bytes(header());
  std::uint64_t end = sizeof(Header) + sizeof(Table);
  for (std::size_t i = 0; i < kSections; ++i) {
    const auto& entry = table()[i];
    if (entry.offset != aligned(end) || entry.n_bytes != wanted[i])
      throw FormatError(path_, std::string("section ") + kNames[i] + ": wrong place or size");
    end = entry.offset + entry.n_bytes;
  }
  if (end != file_.size())
    throw FormatError(path_, "the file has " + std::to_string(file_.size()) + " bytes; want " +
                                 std::to_string(end));
}

void Segment::verify() const {
  for (std::uint32_t i = 0; i < kSections; ++i)
    require(checksum(sections_[i], table()[i].n_bytes) == table()[i].checksum,
            static_cast<Section>(i), "its checksum is wrong");
  verify_terms();
  verify_postings();
  verify_rows();
}

void Segment::verify_terms() const {
  const auto ascends = [](const auto& all) {
    return std::adjacent_find(all.begin(), all.end(), std::greater_equal<>()) == all.end();
  };
  require(ascends(doc_numbers()), kDocNumbers, "not ascending");
  require(ascends(terms()), kTerms, "not ascending");
  for (const float weight : section<float>(kMaxWeights))
    require(std::isfinite(weight) && weight > 0, kMaxWeights, "not finite and > 0");
  const auto spans = [this](Section which, const auto& begins, std::uint64_t n) {
    require(begins.front() == 0 && begins.back() == n && std::is_sorted(begins.begin(), begins.end()),
            which, "does not rise from 0 to the count");
  };
  spans(kPostingBegins, section<std::uint64_t>(kPostingBegins), n_postings());
  spans(kRunBegins, section<std::uint64_t>(kRunBegins), header().n_runs);
  spans(kChampionBegins, section<std::uint32_t>(kChampionBegins), header().n_champions);
  spans(kRowBegins, section<std::uint64_t>(kRowBegins), n_postings());
}

/// Runs cover each list's postings, in ascending documents that exist, strong or weak as it says.
void Segment::verify_postings() const {
  for (List list = 0; list < 2 * n_terms(); ++list) {
    const bool is_strong = list % 2 == 0;
    const Ordinal term = static_cast<Ordinal>(list / 2);
    const bool is_split = document_frequency(term) * kSplitShare >= n_docs();
    std::size_t covered = 0;
    std::int64_t last = -1;
    for (std::size_t i = 0; i < n_runs(list); ++i) {
      const Run one = run(list, i);
      require(one.size > 0, kRunEnds, "a run is empty");
      for (std::size_t j = 0; j < one.size; ++j) {
        const auto doc = static_cast<std::int64_t>(one.window << kWindowBits | one.docs[j]);
        require(doc > last && doc < static_cast<std::int64_t>(n_docs()), kPostingDocs,
                "documents do not ascend, or do not exist");
        require(!is_split || (one.impacts[j] >= kLeastStrong) == is_strong, kImpacts,
                "a strong posting is weak, or a weak one strong");
        last = doc;
      }
      covered += one.size;
    }
    require(covered == n_postings(list) && (covered > 0 ? is_strong || is_split : !is_strong),
            kRunEnds, "runs do not cover their list's postings");
    if (!is_strong) continue;
    for (const LocalDoc doc : champions(term))
      require(doc < n_docs(), kChampionDocs, "a document past the last");
  }
}

/// Rows and postings say the same: walking all rows meets each list's postings one by one.
void Segment::verify_rows() const {
  struct Cursor {
    std::uint32_t run = 0, at = 0;
  };
  std::vector<Cursor> cursors(2 * n_terms());
  const auto impact_in = [&](List list, LocalDoc doc) -> std::uint8_t {  // 0 if it is not the next
    Cursor& next = cursors[list];
    if (next.run == n_runs(list)) return 0;
    const Run in = run(list, next.run);
    if ((in.window << kWindowBits | in.docs[next.at]) != doc) return 0;
    const std::uint8_t impact = in.impacts[next.at];
    next = next.at + 1 < in.size ? Cursor{next.run, next.at + 1} : Cursor{next.run + 1, 0};
    return impact;
  };
  std::size_t n_met = 0;
  for (LocalDoc doc = 0; doc < n_docs(); ++doc) {
    const Row one = row(doc);
    std::int64_t last = -1;
    for (std::size_t i = 0; i < one.size; ++i) {
      const Ordinal term = ordinal_at(one, i);
      require(std::int64_t{term} > last && term < n_terms(), kRowOrdinals,
              "terms do not ascend, or do not exist");
      last = term;
      std::uint8_t impact = impact_in(strong_list(term), doc);
      if (impact == 0) impact = impact_in(weak_list(term), doc);
      require(impact > 0, kPostingDocs, "rows and postings disagree");
      n_met += 1;
      const float weight = weight_at(one, i);
      if (precision() == Precision::kUint8) {
        require(impact == stored_at(one, i), kImpacts, "an impact is not the row's");
        continue;
      }
      require(std::isfinite(weight) && weight > 0 && weight <= max_weight(term), kRowWeights,
              "a weight is not finite, not > 0, or above its term's greatest");
      require(bound_of(impact, max_weight(term)) >= weight, kImpacts,
              "an impact does not bound its weight");
    }
  }
  require(n_met == n_postings(), kRowOrdinals, "there are more postings than the rows have");
}

void Segment::require(bool holds, Section which, const char* what) const {
  if (!holds) throw FormatError(path_, std::string("section ") + kNames[which] + ": " + what);
}

}  // namespace sir
