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
#include "similarity_order.h"

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

/// The rows in the order of the file.
struct OrderedRows {
  OrdinalRows rows;
  std::vector<LocalDoc> order;

  std::uint64_t begin(std::size_t row) const { return rows.begins[order[row]]; }
  std::uint64_t end(std::size_t row) const { return rows.begins[order[row] + 1]; }
};

/// Alike side by side where there are bounds to profit from it, else as they came.
std::vector<LocalDoc> order_of(const OrdinalRows& rows, std::size_t n_terms,
                               std::size_t n_threads) {
  if (rows.n_rows() >= kLeastBounded) return similarity_order(rows, n_terms, n_threads);
  std::vector<LocalDoc> order(rows.n_rows());
  std::iota(order.begin(), order.end(), LocalDoc{0});
  return order;
}

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

Postings invert(const OrderedRows& ordered, const Impacts& impacts) {
  const auto& [rows, order] = ordered;
  Postings result;
  const std::size_t n_terms = impacts.max_weights().size();
  std::vector<std::uint64_t> next(n_terms + 1, 0);
  for (const Ordinal term : rows.ordinals) ++next[term + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  result.begins.reserve(2 * n_terms + 1);
  result.begins.push_back(0);
  for (std::size_t term = 0; term < n_terms; ++term)  // the weak lists are empty as yet
    result.begins.insert(result.begins.end(), 2, next[term + 1]);
  result.docs.resize(rows.ordinals.size());
  result.impacts.resize(rows.ordinals.size());
  for (std::size_t row = 0; row < order.size(); ++row)
    for (std::uint64_t i = ordered.begin(row); i < ordered.end(row); ++i) {
      const std::uint64_t at = next[rows.ordinals[i]]++;
      result.docs[at] = static_cast<LocalDoc>(row);
      result.impacts[at] = impacts.of(rows.ordinals[i], rows.weights[i]);
    }
  return result;
}

/// The weak postings of terms in many rows go to their weak lists.
void split_lists(Postings& postings, std::size_t n_docs) {
  std::vector<LocalDoc> weak_docs;
  std::vector<std::uint8_t> weak_impacts;
  for (std::size_t term = 0; term < postings.n_terms(); ++term) {
    if (postings.n_of(term) * kSplitShare < n_docs) continue;
    weak_docs.clear();
    weak_impacts.clear();
    std::uint64_t to = postings.begin(term);
    for (std::uint64_t i = to; i < postings.end(term); ++i)
      if (postings.impacts[i] >= kLeastStrong) {
        postings.docs[to] = postings.docs[i];
        postings.impacts[to++] = postings.impacts[i];
      } else {
        weak_docs.push_back(postings.docs[i]);
        weak_impacts.push_back(postings.impacts[i]);
      }
    postings.begins[2 * term + 1] = to;
    const auto at = static_cast<std::ptrdiff_t>(to);
    std::copy(weak_docs.begin(), weak_docs.end(), postings.docs.begin() + at);
    std::copy(weak_impacts.begin(), weak_impacts.end(), postings.impacts.begin() + at);
  }
}

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

/// Terms that occur in at least 1 of `share` rows; none where a segment is too small for bounds.
std::vector<Ordinal> terms_in_one_of(std::size_t share, const Postings& postings,
                                     std::size_t n_docs) {
  std::vector<Ordinal> result;
  if (n_docs < kLeastBounded) return result;
  for (std::size_t term = 0; term < postings.n_terms(); ++term)
    if (postings.n_of(term) * share >= n_docs) result.push_back(static_cast<Ordinal>(term));
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

/// The terms' greatest impacts in each `rows_each` neighbouring rows, a term at a time.
void write_bounds(SectionWriter& writer, const std::vector<Ordinal>& terms,
                  const Postings& postings, std::size_t rows_each, std::size_t n_bounds) {
  std::vector<std::uint8_t> bounds(n_bounds);
  for (const Ordinal term : terms) {
    std::fill(bounds.begin(), bounds.end(), std::uint8_t{0});
    for (std::uint64_t i = postings.begin(term); i < postings.end(term); ++i) {
      std::uint8_t& bound = bounds[postings.docs[i] / rows_each];
      bound = std::max(bound, postings.impacts[i]);
    }
    writer.add(std::span<const std::uint8_t>(bounds));
  }
  writer.end_section();
}

/// A section of one value an entry, the rows in the order of the file.
template <class To, class Convert>
void write_entries(SectionWriter& writer, const OrderedRows& ordered, Convert convert) {
  std::vector<To> piece;
  for (std::size_t row = 0; row < ordered.order.size(); ++row) {
    piece.clear();
    for (std::uint64_t i = ordered.begin(row); i < ordered.end(row); ++i)
      piece.push_back(convert(i));
    writer.add(std::span<const To>(piece));
  }
  writer.end_section();
}

void write_rows(SectionWriter& writer, const OrderedRows& ordered, const Impacts& impacts,
                Precision precision) {
  std::vector<std::uint64_t> begins{0};
  for (std::size_t row = 0; row < ordered.order.size(); ++row)
    begins.push_back(begins.back() + ordered.end(row) - ordered.begin(row));
  writer.section(begins);
  const auto& rows = ordered.rows;
  if (impacts.max_weights().size() <= kMostShortOrdinals)
    write_entries<std::uint16_t>(writer, ordered, [&](std::uint64_t i) {
      return static_cast<std::uint16_t>(rows.ordinals[i]);
    });
  else
    write_entries<Ordinal>(writer, ordered, [&](std::uint64_t i) { return rows.ordinals[i]; });
  if (precision == Precision::kFloat32)
    write_entries<float>(writer, ordered, [&](std::uint64_t i) { return rows.weights[i]; });
  else if (precision == Precision::kFloat16)
    write_entries<Half>(writer, ordered,
                        [&](std::uint64_t i) { return float_to_half(rows.weights[i]); });
  else
    write_entries<std::uint8_t>(writer, ordered, [&](std::uint64_t i) {
      return impacts.of(rows.ordinals[i], rows.weights[i]);
    });
}

std::string in_row(std::size_t row) { return "row " + std::to_string(row) + ": "; }

}  // namespace

void check(const CsrView& batch) {
  const auto n = static_cast<std::int64_t>(batch.terms.size());
  if (batch.indptr.empty() || batch.indptr.front() != 0 || batch.indptr.back() != n ||
      batch.weights.size() != batch.terms.size() ||
      !std::is_sorted(batch.indptr.begin(), batch.indptr.end()))
    throw InvalidInput("indptr does not rise from 0 to the number of terms and weights");
  for (std::size_t i = 0; i < batch.n_rows(); ++i) {
    const auto [terms, weights] = batch.row(i);
    for (std::size_t j = 0; j < terms.size(); ++j) {
      if (j > 0 && terms[j] <= terms[j - 1])
        throw InvalidInput(in_row(i) + "terms do not ascend; want each term once, sorted");
      if (!std::isfinite(weights[j]) || weights[j] <= 0)
        throw InvalidInput(in_row(i) + "term " + std::to_string(terms[j]) + " has weight " +
                           std::to_string(weights[j]) + "; want a finite weight > 0");
    }
  }
}

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
  const OrderedRows ordered{rows, order_of(rows, terms.size(), n_threads_)};
  Impacts impacts(precision_, terms.size());
  for (std::size_t i = 0; i < ordinals.size(); ++i) impacts.see(ordinals[i], weights[i]);
  Postings postings = invert(ordered, impacts);
  split_lists(postings, docs_.size());
  const Runs runs = cut_at_windows(postings);
  const Champions champions = choose_champions(postings);
  const auto block_terms = terms_in_one_of(kBlockShare, postings, docs_.size());
  const auto cell_terms = terms_in_one_of(kCellShare, postings, docs_.size());

  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.precision = precision_;
  header.n_docs = docs_.size();
  header.n_postings = ordinals.size();
  header.n_runs = runs.windows.size();
  header.n_terms = static_cast<std::uint32_t>(terms.size());
  header.n_champions = static_cast<std::uint32_t>(champions.docs.size());
  header.n_block_terms = static_cast<std::uint32_t>(block_terms.size());
  header.n_cell_terms = static_cast<std::uint32_t>(cell_terms.size());

  SectionWriter writer(header, output);
  const auto& order = ordered.order;
  writer.section_of<DocNumber>(order.size(), [&](std::size_t row) { return docs_[order[row]]; });
  std::vector<LocalDoc> rows_by_number(order.size());
  for (std::size_t row = 0; row < order.size(); ++row)
    rows_by_number[order[row]] = static_cast<LocalDoc>(row);
  writer.section(rows_by_number);
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
  const std::size_t n_blocks = padded_blocks(docs_.size());
  writer.section(block_terms);
  write_bounds(writer, block_terms, postings, kBlockRows, n_blocks);
  writer.section(cell_terms);
  write_bounds(writer, cell_terms, postings, kCellRows, n_blocks * kBlockCells);
  write_rows(writer, ordered, impacts, precision_);
  writer.finish();
}

}  // namespace sir
