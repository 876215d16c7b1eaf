/// Any bytes at all: Segment::open and search give an error or an answer, never a crash or a read
/// out of bounds; where `verify` finds nothing wrong, every algorithm gives the same answer.
///
/// libFuzzer's entry point. Checksums are made right first: without that no mutation would get past
/// them, and a forger can do it too.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "checksum.h"
#include "errors.h"
#include "kernels/kernels.h"
#include "search/search.h"
#include "segment.h"

using namespace sir;

namespace {

constexpr std::size_t kFront = sizeof(format::Header) + sizeof(format::Table);
constexpr const char* kAlgorithms[] = {"exhaustive", "auto"};

void seal_sections(std::vector<std::byte>& content, format::Table& table) {
  for (auto& entry : table)
    if (entry.offset <= content.size() && entry.n_bytes <= content.size() - entry.offset)
      entry.checksum = checksum(content.data() + entry.offset, entry.n_bytes);
}

void seal(std::vector<std::byte>& content) {
  format::Table table;
  std::memcpy(&table, content.data() + sizeof(format::Header), sizeof table);
  seal_sections(content, table);
  std::memcpy(content.data() + sizeof(format::Header), &table, sizeof table);
  constexpr std::size_t kBefore = offsetof(format::Header, table_checksum);
  std::vector<std::byte> covered(content.begin(), content.begin() + kBefore);
  covered.insert(covered.end(), content.begin() + sizeof(format::Header),
                 content.begin() + kFront);
  const std::uint64_t sum = checksum(covered.data(), covered.size());
  std::memcpy(content.data() + kBefore, &sum, sizeof sum);
}

/// Queries that hit what is there: up to 12 of the segment's own terms, and strange ones.
struct Query {
  std::vector<std::int64_t> indptr{0};
  std::vector<TermNumber> terms;
  std::vector<float> weights;

  explicit Query(const Segment& segment) {
    const auto own = segment.terms();
    for (std::size_t i = 0; i < own.size(); i += 1 + own.size() / 12)
      if (terms.empty() || own[i] > terms.back()) add(own[i]);
    indptr.push_back(static_cast<std::int64_t>(terms.size()));
    add(0);
    add(4242);
    indptr.push_back(static_cast<std::int64_t>(terms.size()));
  }

  void add(TermNumber term) {
    terms.push_back(term);
    weights.push_back(0.25F * static_cast<float>(1 + terms.size() % 9));
  }
};

bool is_whole(const Segment& segment) {
  try {
    segment.verify();
    return true;
  } catch (const FormatError&) {
    return false;
  }
}

bool same(const std::vector<std::vector<Hit>>& a, const std::vector<std::vector<Hit>>& b) {
  for (std::size_t q = 0; q < a.size(); ++q) {
    if (a[q].size() != b[q].size()) return false;
    for (std::size_t i = 0; i < a[q].size(); ++i)
      if (a[q][i].doc != b[q][i].doc || a[q][i].score != b[q][i].score) return false;
  }
  return true;
}

void search_all(const std::shared_ptr<const Segment>& segment, Allowed allowed, bool whole) {
  const Query query(*segment);
  const CsrView view{query.indptr, query.terms, query.weights};
  std::vector<std::vector<Hit>> expected;
  for (const char* algorithm : kAlgorithms) {
    try {
      auto hits = search({{segment}, {allowed}}, view, 5, {algorithm}, 1);
      if (expected.empty()) expected = std::move(hits);
      else if (whole && !same(hits, expected)) std::abort();
    } catch (const FormatError&) {
      if (whole) std::abort();
    }
  }
  try {
    const std::vector<double> shares(view.n_rows(), 0.6);
    (void)search({{segment}, {allowed}}, view, 5, {"auto", shares}, 1);
  } catch (const FormatError&) {
    if (whole) std::abort();
  }
}

/// Everything that Python can ask of a segment.
void read_rows(const Segment& segment) {
  try {
    for (std::size_t doc = 0; doc < segment.n_docs(); ++doc) {
      const Row row = segment.row(static_cast<LocalDoc>(doc));
      for (std::size_t i = 0; i < row.size; ++i)
        if (segment.ordinal_at(row, i) < segment.n_terms()) (void)segment.weight_at(row, i);
    }
    for (Ordinal term = 0; term < segment.n_terms(); ++term)
      (void)segment.document_frequency(term);
  } catch (const FormatError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> content(size);
  if (size != 0) std::memcpy(content.data(), data, size);
  if (size >= kFront) seal(content);
  std::shared_ptr<const Segment> segment;
  try {
    segment = Segment::from_bytes(content, "fuzz");
  } catch (const FormatError&) {
    return 0;
  }
  const bool whole = is_whole(*segment);
  const std::vector<std::uint64_t> bits((segment->n_docs() + 63) / 64, 0x5555'0000'FFFF'1111);
  for (const Kernels* const* one = available_kernels(); *one != nullptr; ++one) {
    use_kernel((*one)->name);
    search_all(segment, {}, whole);
    search_all(segment, bits, whole);
  }
  read_rows(*segment);
  return 0;
}
