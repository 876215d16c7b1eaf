/// Searches on several threads while another writes segments and opens them: what each finds is
/// what one thread alone finds. Meant for the thread sanitizer.
#include <atomic>
#include <fstream>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"
#include "parallel.h"
#include "random_rows.h"
#include "search/search.h"

using namespace sir;

namespace {

constexpr int kRounds = 12;
constexpr std::size_t kDocs = 400;

/// The segments that there are now; a search takes a copy, as a snapshot.
class Index {
 public:
  std::vector<std::shared_ptr<const Segment>> snapshot() const {
    const std::lock_guard lock(guard_);
    return segments_;
  }
  void replace(std::vector<std::shared_ptr<const Segment>> segments) {
    const std::lock_guard lock(guard_);
    segments_ = std::move(segments);
  }

 private:
  mutable std::mutex guard_;
  std::vector<std::shared_ptr<const Segment>> segments_;
};

/// Writes a segment a round, on disk and in memory by turns, and drops old ones.
void write(Index& index, const Folder& folder, std::atomic<bool>& done) {
  std::mt19937 random(5);
  for (int round = 0; round < kRounds; ++round) {
    SegmentBuilder builder(round % 2 == 0 ? format::Precision::kFloat32
                                          : format::Precision::kFloat16);
    builder.add(numbers(kDocs), random_rows(kDocs, 50, 6, random).view());
    auto segments = index.snapshot();
    if (segments.size() > 3) segments.erase(segments.begin());
    if (round % 3 == 0) {
      segments.push_back(builder.segment("memory"));
    } else {
      const std::string path = folder / std::to_string(round).c_str();
      builder.write(path);
      segments.push_back(Segment::open(path));
    }
    index.replace(std::move(segments));
  }
  done = true;
}

void search_until(const Index& index, const Rows& queries, const std::atomic<bool>& done) {
  const std::vector<std::uint64_t> bits((kDocs + 63) / 64, 0xF0F0F0F0F0F0F0F0);
  do {
    Searched searched{index.snapshot(), {}};
    for (std::size_t i = 0; i < searched.segments.size(); ++i)
      searched.allowed.push_back(i % 2 == 0 ? Allowed() : Allowed(bits));
    const auto expected = search(searched, queries.view(), 10, {"exhaustive"}, 1);
    const auto found = search(searched, queries.view(), 10, {"auto"}, 2);
    for (std::size_t q = 0; q < expected.size(); ++q) {
      CHECK(found[q].size() == expected[q].size());
      for (std::size_t i = 0; i < found[q].size(); ++i)
        CHECK(found[q][i].doc == expected[q][i].doc && found[q][i].score == expected[q][i].score);
    }
    for (const auto& segment : searched.segments) segment->verify();
  } while (!done);
}

/// Every call is made once, and an exception of one comes out after all threads are joined.
void call_on_threads() {
  for (const std::size_t n : {0, 1, 2, 7, 100}) {
    for (const std::size_t n_threads : {1, 2, 5, 200}) {
      std::vector<std::atomic<int>> calls(n);
      parallel_for(n, n_threads, [&](std::size_t i) { ++calls[i]; });
      for (const auto& count : calls) CHECK(count == 1);
      if (n == 0) continue;
      CHECK_THROWS(std::runtime_error, parallel_for(n, n_threads, [&](std::size_t i) {
                     if (i + 1 == n) throw std::runtime_error("the last");
                   }));
    }
  }
}

/// However many threads build, a segment's bytes are the same.
void build_on_threads(const Folder& folder) {
  constexpr std::size_t kMany = 90'000;  // with more postings than one thread takes
  std::mt19937 random(7);
  const Rows rows = random_rows(kMany, 300, 12, random);
  std::string expected;
  for (const std::size_t n_threads : {1, 2, 5}) {
    SegmentBuilder builder(format::Precision::kFloat16, n_threads);
    builder.add(numbers(kMany), rows.view());
    const std::string path = folder / "built";
    builder.write(path);
    std::ifstream file(path, std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(file), {});
    CHECK(bytes.size() > kMany && (expected.empty() || bytes == expected));
    expected = bytes;
  }
}

}  // namespace

int main() {
  const Folder folder;
  build_on_threads(folder);
  call_on_threads();
  Index index;
  std::atomic<bool> done = false;
  std::mt19937 random(6);
  const Rows queries = random_rows(8, 50, 8, random);
  Threads threads;
  threads.start([&] { write(index, folder, done); });
  for (int i = 0; i < 3; ++i) threads.start([&] { search_until(index, queries, done); });
}
