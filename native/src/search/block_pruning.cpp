/// Block pruning: like documents stand side by side, so a block of 64 rows has a tight bound. The
/// bounds of all blocks are summed at once; of the blocks that may hold a hit, the cells of 8 rows
/// likewise; only the rows of cells that may are scored, the most promising first.
///
/// Source: Mallia, Suel, Tonellotto 2024, "Faster learned sparse retrieval with block-max pruning",
/// arXiv:2405.01117 (bounds of all blocks, most promising first); two levels as in Carlson et al.
/// 2025, "Dynamic superblock pruning", arXiv:2504.17045. Ours: terms that are rare enough have no
/// bounds but lend their postings, bounds are never rounded down, and rows give exact scores.
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "contest.h"

namespace sir {

using format::kBlockBits;
using format::kBlockCells;
using format::kBlockRows;
using format::kCellBits;
using format::kCellRows;
using format::kWindowBits;

namespace {

constexpr double kMost = 65000;             // all bounds of a query together; leaves room to round
constexpr std::size_t kMostTerms = 256;     // one unit of rounding each fits above kMost
constexpr std::size_t kBlockCost = 1000;    // postings read in the time of one block that survives
constexpr std::size_t kFirst = 32;          // blocks that raise the threshold for the others
constexpr std::size_t kBatch = 4096;        // blocks whose cells are summed together
constexpr unsigned kWindowBlockBits = kWindowBits - kBlockBits;
constexpr unsigned kWindowCellBits = kWindowBits - kCellBits;

struct Bound {
  std::uint16_t bound;
  std::uint32_t which;  // block or cell
};

bool is_higher(const Bound& a, const Bound& b) {
  return a.bound != b.bound ? a.bound > b.bound : a.which < b.which;
}

/// Terms' kept bounds, and by which factor each counts: (impact x factor) >> 8, plus 1, bounds the
/// product in 16 bits.
struct Rows {
  std::vector<const std::uint8_t*> bounds;
  std::vector<std::uint16_t> factors;

  void clear() {
    bounds.clear();
    factors.clear();
  }
  void add(const std::uint8_t* row, std::uint16_t factor) {
    bounds.push_back(row);
    factors.push_back(factor);
  }
};

/// What a thread keeps between queries; `rare_cells` are all zero then. Sums have room for whole
/// windows, so that no posting of a corrupt file can lie outside.
struct Scratch {
  Rows block_rows, both_rows, cell_rows;  // terms with block bounds alone, with both, their cells
  std::vector<std::uint16_t> of_blocks;   // of each block, the bounds of terms without cells
  std::vector<std::uint16_t> blocks;      // of each block, the bounds of all terms
  std::vector<std::uint16_t> rare_cells;  // of each cell, the bounds of terms without kept bounds
  std::vector<std::uint16_t> sums, positions;
  std::vector<std::uint32_t> numbers;
  std::vector<Bound> surviving, promising;
  std::vector<LocalDoc> scored;
};

class BlockPruning {
 public:
  BlockPruning(Contest& contest, Scratch& scratch)
      : contest_(contest),
        segment_(contest.segment),
        s_(scratch),
        n_windows_((contest.segment.n_docs() >> kWindowBits) + 1),
        scale_(kMost / (contest.total_bound * (1 + 1e-5))) {}

  bool run() {
    collect_rows();
    sum_block_bounds();
    collect_blocks();
    const bool pays = search_blocks();
    clear_cells();
    return pays;
  }

 private:
  void collect_rows() {
    s_.scored.clear();
    s_.block_rows.clear();
    s_.both_rows.clear();
    s_.cell_rows.clear();
    for (const QueryTerm& term : contest_.terms) {
      if (term.block_bounds == nullptr) continue;
      const std::uint8_t* cells = segment_.cell_bounds(term.ordinal);
      (cells == nullptr ? s_.block_rows : s_.both_rows).add(term.block_bounds, factor_of(term));
      if (cells != nullptr) s_.cell_rows.add(cells, factor_of(term));
    }
  }

  std::uint16_t factor_of(const QueryTerm& term) const {
    return static_cast<std::uint16_t>(std::ceil(term.bound * scale_ / 255 * 256 * (1 + 1e-9)));
  }

  void sum_block_bounds() {
    s_.of_blocks.assign(n_windows_ << kWindowBlockBits, 0);
    s_.rare_cells.resize(std::max(s_.rare_cells.size(), n_windows_ << kWindowCellBits), 0);
    add(s_.block_rows, s_.of_blocks);
    s_.blocks = s_.of_blocks;
    for (const QueryTerm& term : contest_.terms)
      if (term.block_bounds == nullptr) add_postings(term);
    add(s_.both_rows, s_.blocks);
  }

  void add(const Rows& rows, std::vector<std::uint16_t>& sums) const {
    kernels().add_bounds(rows.bounds.data(), rows.factors.data(), rows.bounds.size(),
                         segment_.n_blocks(), sums.data());
  }

  /// A rare term's bounds from its postings: the greatest in each block and cell counts.
  void add_postings(const QueryTerm& term) {
    const std::uint32_t factor = factor_of(term);
    n_rare_postings_ += term.n_postings;
    const List list = strong_list(term.ordinal);  // the only one of a term without kept bounds
    for (std::size_t i = 0; i < segment_.n_runs(list); ++i) {
      const Run run = segment_.run(list, i);
      std::uint16_t* blocks = s_.blocks.data() + (run.window << kWindowBlockBits);
      std::uint16_t* cells = s_.rare_cells.data() + (run.window << kWindowCellBits);
      unsigned block = ~0U, cell = ~0U;
      std::uint32_t in_block = 0, in_cell = 0;
      for (std::size_t j = 0; j < run.size; ++j) {
        const std::uint32_t bound = (run.impacts[j] * factor >> 8) + 1;
        raise(blocks, run.docs[j] >> kBlockBits, bound, block, in_block);
        raise(cells, run.docs[j] >> kCellBits, bound, cell, in_cell);
      }
    }
  }

  /// sums[at] grows to hold `bound` instead of `counted`, what it holds of the same term already.
  static void raise(std::uint16_t* sums, unsigned at, std::uint32_t bound, unsigned& last,
                    std::uint32_t& counted) {
    counted = at == last ? counted : 0;
    const std::uint32_t most = std::max(bound, counted);
    sums[at] = static_cast<std::uint16_t>(sums[at] + most - counted);
    last = at;
    counted = most;
  }

  std::uint16_t least_bound() const {
    return static_cast<std::uint16_t>(
        std::clamp(std::ceil(contest_.needed() * scale_), 1.0, 65535.0));
  }

  /// The blocks that may hold a hit, the most promising first.
  void collect_blocks() {
    constexpr std::size_t kPiece = std::size_t{1} << 16;
    s_.positions.resize(std::min(kPiece, segment_.n_blocks()));
    s_.surviving.clear();
    const std::uint16_t least = least_bound();
    for (std::size_t begin = 0; begin < segment_.n_blocks(); begin += kPiece) {
      const std::uint16_t* bounds = s_.blocks.data() + begin;
      const std::size_t n = std::min(kPiece, segment_.n_blocks() - begin);
      const std::size_t found = kernels().select(bounds, n, least, nullptr, s_.positions.data());
      for (std::size_t i = 0; i < found; ++i)
        if (has_allowed(begin + s_.positions[i]))
          s_.surviving.push_back({bounds[s_.positions[i]],
                                  static_cast<std::uint32_t>(begin + s_.positions[i])});
    }
  }

  /// Whether the block exists and some row of it may be a hit.
  bool has_allowed(std::size_t block) const {
    static_assert(kBlockRows == 64, "a word of the bitset is a block");
    if (block * kBlockRows >= segment_.n_docs()) return false;
    return contest_.allowed.empty() || contest_.allowed[block] != 0;
  }

  /// The most promising blocks first: what they give leaves few of the others, or shows that they
  /// are too many.
  bool search_blocks() {
    auto begin = s_.surviving.begin();
    auto end = s_.surviving.end();
    const auto first = begin + std::min<std::ptrdiff_t>(kFirst, end - begin);
    std::nth_element(begin, first, end, is_higher);
    search_batch({begin, first});
    end = std::partition(first, end,
                         [least = least_bound()](const Bound& b) { return b.bound >= least; });
    if (static_cast<std::size_t>(end - first) * kBlockCost > contest_.n_postings) {
      std::sort(s_.scored.begin(), s_.scored.end());
      contest_.remember(s_.scored);
      return false;
    }
    for (begin = first; begin != end;) {
      const auto batch = begin + std::min<std::ptrdiff_t>(kBatch, end - begin);
      std::nth_element(begin, batch, end, is_higher);
      search_batch({begin, batch});
      begin = batch;
    }
    return true;
  }

  void search_batch(std::span<const Bound> blocks) {
    const std::uint16_t least = least_bound();
    s_.numbers.clear();
    for (const Bound& block : blocks)
      if (block.bound >= least) s_.numbers.push_back(block.which);
    if (s_.numbers.empty()) return;
    std::sort(s_.numbers.begin(), s_.numbers.end());  // neighbours share cache lines
    sum_cell_bounds();
    collect_cells(least);
    std::sort(s_.promising.begin(), s_.promising.end(), is_higher);
    search_cells();
  }

  void sum_cell_bounds() {
    s_.sums.resize(s_.numbers.size() * kBlockCells);
    std::uint16_t* sum = s_.sums.data();
    for (const std::uint32_t block : s_.numbers) {
      const std::uint16_t* rare = s_.rare_cells.data() + std::size_t{block} * kBlockCells;
      for (std::size_t i = 0; i < kBlockCells; ++i)
        *sum++ = static_cast<std::uint16_t>(rare[i] + s_.of_blocks[block]);
    }
    for (std::size_t i = 0; i < s_.cell_rows.bounds.size(); ++i)
      kernels().add_cell_bounds(s_.cell_rows.bounds[i], s_.cell_rows.factors[i],
                                s_.numbers.data(), s_.numbers.size(), s_.sums.data());
  }

  void collect_cells(std::uint16_t least) {
    s_.promising.clear();
    for (std::size_t i = 0; i < s_.sums.size(); ++i)
      if (s_.sums[i] >= least)
        s_.promising.push_back({s_.sums[i], static_cast<std::uint32_t>(
            s_.numbers[i / kBlockCells] * kBlockCells + i % kBlockCells)});
  }

  void search_cells() {
    const auto& cells = s_.promising;
    for (std::size_t i = 0; i < cells.size() && cells[i].bound >= least_bound(); ++i) {
      if (i + 1 < cells.size()) prefetch(cells[i + 1].which);
      const auto begin = static_cast<std::size_t>(cells[i].which) * kCellRows;
      const std::size_t end = std::min(begin + kCellRows, segment_.n_docs());
      for (std::size_t row = begin; row < end; ++row)
        if (is_allowed(contest_.allowed, static_cast<LocalDoc>(row))) {
          contest_.enter(static_cast<LocalDoc>(row));
          s_.scored.push_back(static_cast<LocalDoc>(row));
        }
    }
  }

  void prefetch(std::uint32_t cell) const {
    const auto begin = static_cast<std::size_t>(cell) * kCellRows;
    const std::size_t end = std::min(begin + kCellRows, segment_.n_docs());
    for (std::size_t row = begin; row < end; ++row) contest_.prefetch(static_cast<LocalDoc>(row));
  }

  void clear_cells() {
    if (n_rare_postings_ * 16 > s_.rare_cells.size()) {
      std::fill(s_.rare_cells.begin(), s_.rare_cells.end(), std::uint16_t{0});
      return;
    }
    for (const QueryTerm& term : contest_.terms)
      if (term.block_bounds == nullptr) clear_cells_of(strong_list(term.ordinal));
  }

  void clear_cells_of(List list) {
    for (std::size_t i = 0; i < segment_.n_runs(list); ++i) {
      const Run run = segment_.run(list, i);
      std::uint16_t* cells = s_.rare_cells.data() + (run.window << kWindowCellBits);
      for (std::size_t j = 0; j < run.size; ++j) cells[run.docs[j] >> kCellBits] = 0;
    }
  }

  Contest& contest_;
  const Segment& segment_;
  Scratch& s_;
  std::size_t n_windows_;
  double scale_;  // of bounds to 16 bits
  std::size_t n_rare_postings_ = 0;
};

}  // namespace

bool block_pruning(Contest& contest) {
  static thread_local Scratch scratch;
  if (contest.terms.size() > kMostTerms) return false;
  try {
    return BlockPruning(contest, scratch).run();
  } catch (...) {
    scratch = Scratch();  // a corrupt file: nothing of it may stay in the sums
    throw;
  }
}

}  // namespace sir
