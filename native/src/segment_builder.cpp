#include "segment_builder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "checksum.h"
#include "errors.h"
#include "half.h"
#include "mapped_file.h"

namespace sir {

using namespace format;

namespace {

/// The different terms, ascending, and what each row entry's ordinal among them is.
struct Dictionary {
  std::vector<TermNumber> terms;
  std::vector<Ordinal> ordinals;
};

/// In time and memory of the entries, never of the terms that could be.
Dictionary make_dictionary(const std::vector<TermNumber>& entries) {
  Dictionary result;
  result.ordinals.resize(entries.size());
  const TermNumber greatest =
      entries.empty() ? 0 : *std::max_element(entries.begin(), entries.end());
  if (greatest / 8 < entries.size()) {
    std::vector<Ordinal> ordinal_of(std::size_t{greatest} + 1, 0);
    for (const TermNumber term : entries) ordinal_of[term] = 1;
    for (std::size_t term = 0; term < ordinal_of.size(); ++term) {
      if (ordinal_of[term] == 0) continue;
      ordinal_of[term] = static_cast<Ordinal>(result.terms.size());
      result.terms.push_back(static_cast<TermNumber>(term));
    }
    for (std::size_t i = 0; i < entries.size(); ++i) result.ordinals[i] = ordinal_of[entries[i]];
    return result;
  }
  result.terms = entries;
  std::sort(result.terms.begin(), result.terms.end());
  result.terms.erase(std::unique(result.terms.begin(), result.terms.end()), result.terms.end());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto at = std::lower_bound(result.terms.begin(), result.terms.end(), entries[i]);
    result.ordinals[i] = static_cast<Ordinal>(at - result.terms.begin());
  }
  return result;
}

/// The rows turned around: each term's documents and weights, documents ascending.
struct Inverted {
  std::vector<std::uint64_t> begins;
  std::vector<LocalDoc> docs;
  std::vector<float> weights;
  std::vector<float> max_weights;
};

Inverted invert(const std::vector<std::uint64_t>& row_begins, const std::vector<Ordinal>& ordinals,
                const std::vector<float>& weights, std::size_t n_terms) {
  Inverted result;
  result.begins.assign(n_terms + 1, 0);
  for (const Ordinal term : ordinals) ++result.begins[term + 1];
  std::partial_sum(result.begins.begin(), result.begins.end(), result.begins.begin());
  result.docs.resize(ordinals.size());
  result.weights.resize(ordinals.size());
  result.max_weights.assign(n_terms, 0);
  std::vector<std::uint64_t> next(result.begins.begin(), result.begins.end() - 1);
  for (std::size_t doc = 0; doc + 1 < row_begins.size(); ++doc) {
    for (std::size_t i = row_begins[doc]; i < row_begins[doc + 1]; ++i) {
      const std::uint64_t at = next[ordinals[i]]++;
      result.docs[at] = static_cast<LocalDoc>(doc);
      result.weights[at] = weights[i];
      float& greatest = result.max_weights[ordinals[i]];
      greatest = std::max(greatest, weights[i]);
    }
  }
  return result;
}

struct Runs {
  std::vector<std::uint64_t> begins{0};
  std::vector<std::uint16_t> windows;
  std::vector<std::uint32_t> ends;
};

Runs cut_at_windows(const Inverted& postings) {
  Runs runs;
  for (std::size_t term = 0; term + 1 < postings.begins.size(); ++term) {
    const std::uint64_t begin = postings.begins[term], end = postings.begins[term + 1];
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

Champions choose_champions(const Inverted& postings) {
  Champions result;
  std::vector<std::uint64_t> order;
  const auto heavier = [&](std::uint64_t a, std::uint64_t b) {
    return postings.weights[a] != postings.weights[b] ? postings.weights[a] > postings.weights[b]
                                                      : a < b;
  };
  for (std::size_t term = 0; term + 1 < postings.begins.size(); ++term) {
    order.resize(postings.begins[term + 1] - postings.begins[term]);
    if (order.size() > kLeastForChampions) {
      std::iota(order.begin(), order.end(), postings.begins[term]);
      std::partial_sort(order.begin(), order.begin() + kChampions, order.end(), heavier);
      for (std::size_t i = 0; i < kChampions; ++i) result.docs.push_back(postings.docs[order[i]]);
    }
    result.begins.push_back(static_cast<std::uint32_t>(result.docs.size()));
  }
  return result;
}

std::uint8_t impact_of(float weight, float max_weight) {
  const double share = std::ceil(static_cast<double>(weight) / max_weight * 255.0);
  auto impact = static_cast<std::uint8_t>(std::clamp(share, 1.0, 255.0));
  while (bound_of(impact, max_weight) < weight) ++impact;  // the division may have rounded down
  return impact;
}

std::vector<std::uint8_t> quantise(const Inverted& postings) {
  std::vector<std::uint8_t> impacts(postings.docs.size());
  for (std::size_t term = 0; term + 1 < postings.begins.size(); ++term)
    for (std::uint64_t i = postings.begins[term]; i < postings.begins[term + 1]; ++i)
      impacts[i] = impact_of(postings.weights[i], postings.max_weights[term]);
  return impacts;
}

template <class To, class From, class Convert>
std::vector<To> converted(const std::vector<From>& from, Convert convert) {
  std::vector<To> to(from.size());
  std::transform(from.begin(), from.end(), to.begin(), convert);
  return to;
}

template <class T>
std::span<const std::byte> bytes(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

using Sections = std::array<std::span<const std::byte>, kSections>;

/// Calls `sink` with header, table and sections, each section padded to its place.
void lay_out(Header header, const Sections& sections, const SegmentBuilder::Sink& sink) {
  Table table{};
  std::uint64_t end = sizeof(Header) + sizeof(Table);
  for (std::size_t i = 0; i < kSections; ++i) {
    table[i] = {aligned(end), sections[i].size(), checksum(sections[i].data(), sections[i].size())};
    end = table[i].offset + table[i].n_bytes;
  }
  std::vector<std::byte> covered(offsetof(Header, table_checksum) + sizeof(Table));
  std::memcpy(covered.data(), &header, offsetof(Header, table_checksum));
  std::memcpy(covered.data() + offsetof(Header, table_checksum), &table, sizeof(Table));
  header.table_checksum = checksum(covered.data(), covered.size());

  static constexpr std::byte kPadding[kAlignment] = {};
  std::vector<std::span<const std::byte>> parts{
      std::as_bytes(std::span(&header, 1)), std::as_bytes(std::span(&table, 1))};
  end = sizeof(Header) + sizeof(Table);
  for (std::size_t i = 0; i < kSections; ++i) {
    parts.emplace_back(kPadding, table[i].offset - end);
    parts.push_back(sections[i]);
    end = table[i].offset + table[i].n_bytes;
  }
  sink(parts);
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

void SegmentBuilder::write(const std::string& path) const {
  build([&path](Parts parts) { write_file(path, parts); });
}

std::shared_ptr<const Segment> SegmentBuilder::segment(const std::string& name) const {
  std::vector<std::byte> image;
  build([&image](Parts parts) {
    std::size_t size = 0;
    for (const auto part : parts) size += part.size();
    image.reserve(size);
    for (const auto part : parts) image.insert(image.end(), part.begin(), part.end());
  });
  return Segment::from_bytes(image, name);
}

void SegmentBuilder::build(const Sink& sink) const {
  const auto [terms, ordinals] = make_dictionary(terms_);
  const Inverted postings = invert(row_begins_, ordinals, weights_, terms.size());
  const Runs runs = cut_at_windows(postings);
  const Champions champions = choose_champions(postings);
  const auto impacts = quantise(postings);
  const auto posting_docs = converted<std::uint16_t>(
      postings.docs, [](LocalDoc doc) { return static_cast<std::uint16_t>(doc); });
  const bool is_short = terms.size() <= kMostShortOrdinals;
  const auto short_ordinals = converted<std::uint16_t>(
      is_short ? ordinals : std::vector<Ordinal>(), [](Ordinal o) { return static_cast<std::uint16_t>(o); });
  const bool is_half = precision_ == Precision::kFloat16;
  const auto halves = converted<Half>(is_half ? weights_ : std::vector<float>(), float_to_half);

  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.precision = precision_;
  header.n_docs = docs_.size();
  header.n_terms = terms.size();
  header.n_postings = terms_.size();
  header.n_runs = runs.windows.size();
  header.n_champions = champions.docs.size();
  lay_out(header,
          {bytes(docs_), bytes(terms), bytes(postings.max_weights), bytes(postings.begins),
           bytes(runs.begins), bytes(runs.windows), bytes(runs.ends), bytes(champions.begins),
           bytes(champions.docs), bytes(posting_docs), bytes(impacts), bytes(row_begins_),
           is_short ? bytes(short_ordinals) : bytes(ordinals),
           is_half ? bytes(halves) : bytes(weights_)},
          sink);
}

}  // namespace sir
