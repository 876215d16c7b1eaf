/// Any bytes at all: an error, or an answer within bounds; never a crash.
#include "segment.h"

#include <fstream>
#include <iterator>

#include "check.h"
#include "checksum.h"
#include "errors.h"
#include "random_rows.h"
#include "search/search.h"

using namespace sir;

namespace {

constexpr std::size_t kFront = sizeof(format::Header) + sizeof(format::Table);

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

/// Makes the header's checksum right again, so that damage behind it is what a search meets.
void reseal(std::string& content) {
  const std::size_t before = offsetof(format::Header, table_checksum);
  std::string covered = content.substr(0, before) +
                        content.substr(sizeof(format::Header), sizeof(format::Table));
  const std::uint64_t sum = checksum(covered.data(), covered.size());
  std::memcpy(content.data() + before, &sum, sizeof sum);
}

/// Whether the file opened; whatever it holds, it is verified and searched.
bool use(const std::string& path) {
  std::shared_ptr<const Segment> segment;
  try {
    segment = Segment::open(path);
  } catch (const FormatError&) {
    return false;
  }
  try {
    segment->verify();
  } catch (const FormatError&) {
  }
  const Rows query = [] {
    Rows rows;
    rows.indptr = {0, 5};
    rows.terms = {0, 1, 2, 7, 40};
    rows.weights = {1, 2, 0.5F, 1, 3};
    return rows;
  }();
  for (const char* algorithm : {"exhaustive", "auto"}) {
    try {
      (void)search({{segment}, {Allowed()}}, query.view(), 5, {algorithm}, 1);
    } catch (const FormatError&) {
    }
  }
  const double share[] = {0.8};
  try {
    (void)search({{segment}, {Allowed()}}, query.view(), 5, {"auto", share}, 1);
  } catch (const FormatError&) {
  }
  return true;
}

}  // namespace

int main() {
  const Folder folder;
  const std::string path = folder / "s.sir";
  std::mt19937 random(7);
  for (const auto precision : {format::Precision::kFloat32, format::Precision::kFloat16, format::Precision::kUint8}) {
    SegmentBuilder builder(precision);
    builder.add(numbers(500), random_rows(500, 60, 8, random).view());
    builder.write(path);
    CHECK(use(path));
    Segment::open(path)->verify();
    const std::string whole = content_of(path);
    for (int round = 0; round < 3000; ++round) {
      std::string damaged = whole;
      for (std::size_t n = 1 + random() % 4; n > 0; --n) {
        const std::size_t at = random() % 5 == 0 ? random() % kFront : random() % damaged.size();
        damaged[at] = static_cast<char>(random());
      }
      if (random() % 8 == 0) damaged.resize(random() % damaged.size());
      if (damaged.size() >= kFront) reseal(damaged);
      put(path, damaged);
      use(path);
    }
    for (std::size_t size = 0; size < whole.size(); size += 101) {
      put(path, whole.substr(0, size));
      CHECK(!use(path));
    }
  }
  CHECK_THROWS(FileError, Segment::open(folder / "nothing"));
  CHECK_THROWS(FileError, SegmentBuilder(format::Precision::kFloat32).write(folder / "no/where"));
}
