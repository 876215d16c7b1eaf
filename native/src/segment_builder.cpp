#include "segment_builder.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "checksum.h"
#include "errors.h"
#include "half.h"
#include "parallel.h"

namespace sir {

using namespace format;

namespace {

/// As `number_terms`, fast, but in memory of the terms up to the greatest.
std::vector<TermNumber> number_dense_terms(std::vector<TermNumber>& entries,
                                           TermNumber greatest) {
  std::vector<TermNumber> terms;
  std::vector<Ordinal> ordinal_of(std::size_t{greatest} + 1, 0);
  for (const TermNumber term : entries) ordinal_of[term] = 1;
  for (std::size_t term = 0; term < ordinal_of.size(); ++term) {
    if (ordinal_of[term] == 0) continue;
    ordinal_of[term] = static_cast<Ordinal>(terms.size());
    terms.push_back(static_cast<TermNumber>(term));
  }
  for (TermNumber& entry : entries) entry = ordinal_of[entry];
  return terms;
}

/// As `number_terms`: an entry is looked for among the terms that begin with the same bits.
std::vector<TermNumber> number_sparse_terms(std::vector<TermNumber>& entries,
                                            TermNumber greatest) {
  std::vector<TermNumber> terms = entries;
  std::sort(terms.begin(), terms.end());
  terms.erase(std::unique(terms.begin(), terms.end()), terms.end());
  terms.shrink_to_fit();
  const int spare = static_cast<int>(std::bit_width(greatest)) -
                    static_cast<int>(std::bit_width(terms.size()));  // an int since C++20's DR 3656
  const int shift = std::max(0, spare);
  std::vector<Ordinal> begins((greatest >> shift) + std::size_t{2}, 0);
  for (const TermNumber term : terms) ++begins[(term >> shift) + std::size_t{1}];
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  for (TermNumber& entry : entries) {
    const std::size_t bits = entry >> shift;
    const auto begin = terms.begin() + begins[bits], end = terms.begin() + begins[bits + 1];
    entry = static_cast<Ordinal>(std::lower_bound(begin, end, entry) - terms.begin());
  }
  return terms;
}

/// Replaces each entry by its ordinal among the different terms; returns these, ascending. In time
/// and memory of the entries, never of the terms that could be.
std::vector<TermNumber> number_terms(std::vector<TermNumber>& entries) {
  if (entries.empty()) return {};
  const TermNumber greatest = *std::max_element(entries.begin(), entries.end());
  return greatest < entries.size() ? number_dense_terms(entries, greatest)
                                   : number_sparse_terms(entries, greatest);
}

/// Impacts of a term's weights, rounded up so that they bound them, or to the nearest where the
/// impact itself is what is stored.
class Impacts {
 public:
  Impacts(Precision precision, std::size_t n_terms)
      : is_stored_(precision == Precision::kUint8), max_weights_(n_terms, 0) {}

  void see(Ordinal term, float weight) {
    max_weights_[term] = std::max(max_weights_[term], weight);
  }

  const std::vector<float>& max_weights() const { return max_weights_; }

  std::uint8_t of(Ordinal term, float weight) const {
    const float most = max_weights_[term];
    const double share = static_cast<double>(weight) / most * 255.0;
    if (is_stored_) return static_cast<std::uint8_t>(std::clamp(std::nearbyint(share), 1.0, 255.0));
    auto impact = static_cast<std::uint8_t>(std::clamp(std::ceil(share), 1.0, 255.0));
    while (bound_of(impact, most) < weight) ++impact;  // the division may have rounded down
    return impact;
  }

 private:
  bool is_stored_;
  std::vector<float> max_weights_;
};

/// A segment's rows: row i is ordinals[begins[i] .. begins[i + 1]), ascending, and weights likewise.
struct OrdinalRows {
  std::span<const std::uint64_t> begins;
  std::span<const Ordinal> ordinals;
  std::span<const float> weights;

  std::size_t n_rows() const { return begins.size() - 1; }
};

/// The rows turned around: documents and impacts of each list, two a term, documents ascending.
struct Postings {
  std::vector<std::uint64_t> begins;
  std::vector<LocalDoc> docs;
  std::vector<std::uint8_t> impacts;

  std::size_t n_terms() const { return (begins.size() - 1) / 2; }
  std::uint64_t begin(std::size_t term) const { return begins[2 * term]; }
  std::uint64_t end(std::size_t term) const { return begins[2 * term + 2]; }
  std::uint64_t n_of(std::size_t term) const { return end(term) - begin(term); }
};

struct TermRange {
  std::size_t begin, end;
};

/// The rows turned around, term ranges on as many threads.
class Inversion {
 public:
  Inversion(const OrdinalRows& rows, const Impacts& impacts)
      : rows_(rows), impacts_(impacts), next_(impacts.max_weights().size() + 1, 0) {
    for (const Ordinal term : rows.ordinals) ++next_[term + 1];
    std::partial_sum(next_.begin(), next_.end(), next_.begin());
  }

  Postings run(std::size_t n_threads) {
    result_.begins.push_back(0);
    for (std::size_t term = 0; term + 1 < next_.size(); ++term)  // the weak lists are empty as yet
      result_.begins.insert(result_.begins.end(), 2, next_[term + 1]);
    result_.docs.resize(rows_.ordinals.size());
    result_.impacts.resize(rows_.ordinals.size());
    const auto ranges = equal_ranges(rows_.ordinals.size() < kFewPostings ? 1 : n_threads);
    parallel_for(ranges.size(), n_threads, [&](std::size_t i) {
      fill(ranges[i]);
      split_lists(ranges[i]);
    });
    return std::move(result_);
  }

 private:
  static constexpr std::size_t kFewPostings = std::size_t{1} << 18;  // a thread starts for no fewer

  /// Ranges of terms with about as many postings each.
  std::vector<TermRange> equal_ranges(std::size_t n) const {
    std::vector<TermRange> ranges;
    for (std::size_t i = 1, begin = 0; i <= n; ++i) {
      const auto at = std::lower_bound(next_.begin(), next_.end() - 1, next_.back() * i / n);
      const std::size_t end =
          i == n ? next_.size() - 1 : static_cast<std::size_t>(at - next_.begin());
      ranges.push_back({begin, std::max(begin, end)});
      begin = ranges.back().end;
    }
    return ranges;
  }

  void fill(TermRange range) {
    const auto& [begins, ordinals, weights] = rows_;
    for (std::size_t row = 0; row < rows_.n_rows(); ++row) {
      const auto end = ordinals.begin() + static_cast<std::ptrdiff_t>(begins[row + 1]);
      auto one = ordinals.begin() + static_cast<std::ptrdiff_t>(begins[row]);
      if (range.begin > 0) one = std::lower_bound(one, end, range.begin);
      for (; one != end && *one < range.end; ++one) {
        const std::uint64_t at = next_[*one]++;
        const float weight = weights[static_cast<std::size_t>(one - ordinals.begin())];
        result_.docs[at] = static_cast<LocalDoc>(row);
        result_.impacts[at] = impacts_.of(*one, weight);
      }
    }
  }

  /// The weak postings of terms in many rows go to their weak lists.
  void split_lists(TermRange range) {
    std::vector<LocalDoc> weak_docs;
    std::vector<std::uint8_t> weak_impacts;
    for (std::size_t term = range.begin; term < range.end; ++term) {
      if (result_.n_of(term) * kSplitShare < rows_.n_rows()) continue;
      weak_docs.clear();
      weak_impacts.clear();
      std::uint64_t to = result_.begin(term);
      for (std::uint64_t i = to; i < result_.end(term); ++i)
        if (result_.impacts[i] >= kLeastStrong) {
          result_.docs[to] = result_.docs[i];
          result_.impacts[to++] = result_.impacts[i];
        } else {
          weak_docs.push_back(result_.docs[i]);
          weak_impacts.push_back(result_.impacts[i]);
        }
      result_.begins[2 * term + 1] = to;
      const auto at = static_cast<std::ptrdiff_t>(to);
      std::copy(weak_docs.begin(), weak_docs.end(), result_.docs.begin() + at);
      std::copy(weak_impacts.begin(), weak_impacts.end(), result_.impacts.begin() + at);
    }
  }

  const OrdinalRows& rows_;
  const Impacts& impacts_;
  std::vector<std::uint64_t> next_;  // of each term, where its next posting goes
  Postings result_;
};

struct Runs {
  std::vector<std::uint64_t> begins{0};
  std::vector<std::uint16_t> windows;
  std::vector<std::uint32_t> ends;
};

Runs cut_at_windows(const Postings& postings) {
  Runs runs;
  for (std::size_t list = 0; list + 1 < postings.begins.size(); ++list) {
    const std::uint64_t begin = postings.begins[list], end = postings.begins[list + 1];
    for (std::uint64_t i = begin; i < end; ++i) {
      const auto window = static_cast<std::uint16_t>(postings.docs[i] >> kWindowBits);
      const bool is_last = i + 1 == end || postings.docs[i + 1] >> kWindowBits != window;
      if (!is_last) continue;
      runs.windows.push_back(window);
      runs.ends.push_back(static_cast<std::uint32_t>(i + 1 - begin));
    }
    runs.begins.push_back(runs.windows.size());
  }
  return runs;
}

struct Champions {
  std::vector<std::uint32_t> begins{0};
  std::vector<LocalDoc> docs;
};

Champions choose_champions(const Postings& postings) {
  Champions result;
  std::vector<std::uint64_t> order;
  const auto heavier = [&](std::uint64_t a, std::uint64_t b) {
    return postings.impacts[a] != postings.impacts[b] ? postings.impacts[a] > postings.impacts[b]
                                                      : a < b;
  };
  for (std::size_t term = 0; term < postings.n_terms(); ++term) {
    order.resize(postings.n_of(term));
    if (order.size() > kLeastForChampions) {
      std::iota(order.begin(), order.end(), postings.begin(term));
      std::partial_sort(order.begin(), order.begin() + kChampions, order.end(), heavier);
      for (std::size_t i = 0; i < kChampions; ++i) result.docs.push_back(postings.docs[order[i]]);
    }
    result.begins.push_back(static_cast<std::uint32_t>(result.docs.size()));
  }
  return result;
}

/// Writes header, table and sections, each section padded to its place, each in as many parts as
/// it comes in.
class SectionWriter {
 public:
  SectionWriter(const Header& header, Output& output)
      : header_(header), wanted_(section_bytes(header)), output_(output) {
    append(std::as_bytes(std::span(&header_, 1)));
    append(std::as_bytes(std::span(&table_, 1)));
    begin_section();
  }

  template <class T>
  void add(std::span<const T> part) {
    const auto bytes = std::as_bytes(part);
    sum_.update(bytes.data(), bytes.size());
    append(bytes);
  }

  /// The section that began last is whole.
  void end_section() {
    table_[which_].n_bytes = size_ - table_[which_].offset;
    table_[which_].checksum = sum_.digest();
    if (table_[which_].n_bytes != wanted_[which_])
      throw std::logic_error(std::string("section ") + kNames[which_] + " came in a wrong size");
    if (++which_ < kSections) begin_section();
  }

  template <class T>
  void section(const std::vector<T>& values) {
    add(std::span<const T>(values));
    end_section();
  }

  /// A section of converted values, a piece in memory at a time.
  template <class To, class Convert>
  void section_of(std::size_t n, Convert convert) {
    constexpr std::size_t kPiece = std::size_t{1} << 16;
    std::vector<To> piece;
    for (std::size_t begin = 0; begin < n; begin += kPiece) {
      piece.resize(std::min(kPiece, n - begin));
      for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = convert(begin + i);
      add(std::span<const To>(piece));
    }
    end_section();
  }

  void finish() {
    std::vector<std::byte> covered(offsetof(Header, table_checksum) + sizeof(Table));
    std::memcpy(covered.data(), &header_, offsetof(Header, table_checksum));
    std::memcpy(covered.data() + offsetof(Header, table_checksum), &table_, sizeof(Table));
    header_.table_checksum = checksum(covered.data(), covered.size());
    output_.overwrite(0, std::as_bytes(std::span(&header_, 1)));
    output_.overwrite(sizeof(Header), std::as_bytes(std::span(&table_, 1)));
  }

 private:
  void begin_section() {
    static constexpr std::byte kPadding[kAlignment] = {};
    append({kPadding, aligned(size_) - size_});
    table_[which_].offset = size_;
    sum_ = Checksum();
  }

  void append(std::span<const std::byte> bytes) {
    output_.append(bytes);
    size_ += bytes.size();
  }

  Header header_;
  std::array<std::uint64_t, kSections> wanted_;
  Output& output_;
  Table table_{};
  std::size_t which_ = 0;
  std::uint64_t size_ = 0;
  Checksum sum_;
};

void write_rows(SectionWriter& writer, const OrdinalRows& rows, const Impacts& impacts,
                Precision precision) {
  const std::size_t n = rows.ordinals.size();
  writer.add(rows.begins);
  writer.end_section();
  if (impacts.max_weights().size() <= kMostShortOrdinals)
    writer.section_of<std::uint16_t>(
        n, [&](std::size_t i) { return static_cast<std::uint16_t>(rows.ordinals[i]); });
  else
    writer.section_of<Ordinal>(n, [&](std::size_t i) { return rows.ordinals[i]; });
  if (precision == Precision::kFloat32)
    writer.section_of<float>(n, [&](std::size_t i) { return rows.weights[i]; });
  else if (precision == Precision::kFloat16)
    writer.section_of<Half>(n, [&](std::size_t i) { return float_to_half(rows.weights[i]); });
  else
    writer.section_of<std::uint8_t>(
        n, [&](std::size_t i) { return impacts.of(rows.ordinals[i], rows.weights[i]); });
}

}  // namespace

void SegmentBuilder::add(std::span<const DocNumber> docs, const CsrView& rows) {
  check(rows);
  if (docs.size() != rows.n_rows())
    throw InvalidInput(std::to_string(docs.size()) + " doc numbers came for " +
                       std::to_string(rows.n_rows()) + " rows; want one each");
  for (std::size_t i = 0; i < docs.size(); ++i)
    if (i > 0 ? docs[i] <= docs[i - 1] : !docs_.empty() && docs[i] <= docs_.back())
      throw InvalidInput("doc numbers do not ascend");
  if (docs_.size() + docs.size() > std::size_t{1} << 32)
    throw InvalidInput("more than 2^32 documents in a segment; flush earlier");
  const std::uint64_t offset = terms_.size();
  docs_.insert(docs_.end(), docs.begin(), docs.end());
  for (const std::int64_t end : rows.indptr.subspan(1))
    row_begins_.push_back(offset + static_cast<std::uint64_t>(end));
  terms_.insert(terms_.end(), rows.terms.begin(), rows.terms.end());
  const bool is_half = precision_ == Precision::kFloat16;
  for (const float weight : rows.weights)
    weights_.push_back(is_half ? half_to_float(float_to_half(weight)) : weight);
}

void SegmentBuilder::write(const std::string& path) {
  FileWriter file(path);
  build(file);
  file.finish();
}

std::shared_ptr<const Segment> SegmentBuilder::segment(const std::string& name) {
  MemoryOutput memory;
  build(memory);
  return Segment::from_bytes(memory.bytes(), name);
}

void SegmentBuilder::build(Output& output) {
  std::vector<Ordinal> ordinals = std::move(terms_);
  const std::vector<float> weights = std::move(weights_);
  const std::vector<TermNumber> terms = number_terms(ordinals);
  const OrdinalRows rows{row_begins_, ordinals, weights};
  Impacts impacts(precision_, terms.size());
  for (std::size_t i = 0; i < ordinals.size(); ++i) impacts.see(ordinals[i], weights[i]);
  const Postings postings = Inversion(rows, impacts).run(n_threads_);
  const Runs runs = cut_at_windows(postings);
  const Champions champions = choose_champions(postings);

  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.precision = precision_;
  header.n_docs = docs_.size();
  header.n_postings = ordinals.size();
  header.n_runs = runs.windows.size();
  header.n_terms = static_cast<std::uint32_t>(terms.size());
  header.n_champions = static_cast<std::uint32_t>(champions.docs.size());

  SectionWriter writer(header, output);
  writer.section(docs_);
  writer.section(terms);
  writer.section(impacts.max_weights());
  writer.section(postings.begins);
  writer.section(runs.begins);
  writer.section(runs.windows);
  writer.section(runs.ends);
  writer.section(champions.begins);
  writer.section(champions.docs);
  writer.section_of<std::uint16_t>(postings.docs.size(), [&](std::size_t i) {
    return static_cast<std::uint16_t>(postings.docs[i]);
  });
  writer.section(postings.impacts);
  write_rows(writer, rows, impacts, precision_);
  writer.finish();
}

}  // namespace sir
