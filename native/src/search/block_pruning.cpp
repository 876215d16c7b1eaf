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
constexpr std::size_t kBlockCost = 400;     // postings read in the time of one block that survives
constexpr std::size_t kBatch = 32;          // blocks whose cells are looked at together

struct Bound {
  std::uint16_t bound;
  std::uint32_t which;  // block or cell
};

bool is_higher(const Bound& a, const Bound& b) {
  return a.bound != b.bound ? a.bound > b.bound : a.which < b.which;
}

/// A term with kept bounds.
struct Bounded {
  const std::uint8_t* blocks;
  const std::uint8_t* cells;  // null: the block's bound stands for its cells
  std::uint16_t factor;       // (impact x factor) >> 8, plus 1, bounds the product in 16 bits
};

/// What a thread keeps between queries; `cells` are all zero then.
struct Scratch {
  std::vector<std::uint16_t> blocks, cells, positions;
  std::vector<Bounded> bounded;
  std::vector<const std::uint8_t*> rows;
  std::vector<std::uint16_t> factors;
  std::vector<Bound> surviving, promising;
};

class BlockPruning {
 public:
  BlockPruning(Contest& contest, Scratch& scratch)
      : contest_(contest),
        segment_(contest.segment),
        s_(scratch),
        scale_(kMost / (contest.total_bound * (1 + 1e-5))) {}

  bool run() {
    sum_block_bounds();
    collect_blocks();
    const bool pays = s_.surviving.size() * kBlockCost < contest_.n_postings;
    if (pays) search_blocks();
    clear_cells();
    return pays;
  }

 private:
  void sum_block_bounds() {
    s_.blocks.assign(segment_.n_blocks(), 0);
    s_.cells.resize(std::max(s_.cells.size(), segment_.n_blocks() * kBlockCells), 0);
    s_.bounded.clear();
    s_.rows.clear();
    s_.factors.clear();
    for (const QueryTerm& term : contest_.terms) {
      if (const std::uint8_t* blocks = segment_.block_bounds(term.ordinal)) {
        s_.bounded.push_back({blocks, segment_.cell_bounds(term.ordinal), factor_of(term)});
        s_.rows.push_back(blocks);
        s_.factors.push_back(s_.bounded.back().factor);
      } else {
        add_postings(term);
      }
    }
    kernels().add_bounds(s_.rows.data(), s_.factors.data(), s_.rows.size(), s_.blocks.size(),
                         s_.blocks.data());
  }

  std::uint16_t factor_of(const QueryTerm& term) const {
    return static_cast<std::uint16_t>(std::ceil(term.bound * scale_ / 255 * 256 * (1 + 1e-9)));
  }

  /// A rare term's bounds from its postings: the greatest in each block and cell counts.
  void add_postings(const QueryTerm& term) {
    const std::uint32_t factor = factor_of(term);
    std::size_t block = ~std::size_t{0}, cell = block;
    std::uint16_t in_block = 0, in_cell = 0;
    for (std::size_t i = 0; i < term.n_runs; ++i) {
      const Run run = segment_.run(term.ordinal, i);
      for (std::size_t j = 0; j < run.size; ++j) {
        const std::size_t row = run.window << kWindowBits | run.docs[j];
        if (row >= segment_.n_docs()) continue;  // a corrupt file
        const auto bound = static_cast<std::uint16_t>((run.impacts[j] * factor >> 8) + 1);
        raise(s_.blocks, row >> kBlockBits, bound, block, in_block);
        raise(s_.cells, row >> kCellBits, bound, cell, in_cell);
      }
    }
    n_rare_postings_ += term.n_postings;
  }

  /// sums[at] grows to hold `bound` instead of `counted`, what it holds of the same term already.
  static void raise(std::vector<std::uint16_t>& sums, std::size_t at, std::uint16_t bound,
                    std::size_t& last, std::uint16_t& counted) {
    if (at != last) counted = 0;
    const std::uint16_t most = std::max(bound, counted);
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
    s_.positions.resize(std::min(kPiece, s_.blocks.size()));
    s_.surviving.clear();
    const std::uint16_t least = least_bound();
    for (std::size_t begin = 0; begin < s_.blocks.size(); begin += kPiece) {
      const std::uint16_t* bounds = s_.blocks.data() + begin;
      const std::size_t n = std::min(kPiece, s_.blocks.size() - begin);
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

  void search_blocks() {
    std::sort(s_.surviving.begin(), s_.surviving.end(), is_higher);
    for (std::size_t begin = 0; begin < s_.surviving.size(); begin += kBatch) {
      const std::uint16_t least = least_bound();
      if (s_.surviving[begin].bound < least) return;
      s_.promising.clear();
      for (std::size_t i = begin; i < std::min(begin + kBatch, s_.surviving.size()); ++i)
        collect_cells(s_.surviving[i].which, least);
      std::sort(s_.promising.begin(), s_.promising.end(), is_higher);
      search_cells();
    }
  }

  void collect_cells(std::uint32_t block, std::uint16_t least) {
    std::uint32_t of_block = 0;
    std::uint16_t bounds[kBlockCells];
    const std::size_t first = block * kBlockCells;
    std::copy_n(s_.cells.begin() + static_cast<std::ptrdiff_t>(first), kBlockCells, bounds);
    for (const Bounded& term : s_.bounded) {
      if (term.cells == nullptr) {
        of_block += (term.blocks[block] * std::uint32_t{term.factor} >> 8) + 1;
        continue;
      }
      const std::uint8_t* cells = term.cells + first;
      for (std::size_t i = 0; i < kBlockCells; ++i)
        bounds[i] = static_cast<std::uint16_t>(
            bounds[i] + ((std::uint32_t{cells[i]} << 8) * term.factor >> 16) + 1);
    }
    for (std::size_t i = 0; i < kBlockCells; ++i)
      if (const std::uint32_t bound = bounds[i] + of_block; bound >= least)
        s_.promising.push_back({static_cast<std::uint16_t>(bound),
                                static_cast<std::uint32_t>(first + i)});
  }

  void search_cells() {
    const auto& cells = s_.promising;
    for (std::size_t i = 0; i < cells.size() && cells[i].bound >= least_bound(); ++i) {
      if (i + 1 < cells.size()) prefetch(cells[i + 1].which);
      const auto begin = static_cast<std::size_t>(cells[i].which) * kCellRows;
      const std::size_t end = std::min(begin + kCellRows, segment_.n_docs());
      for (std::size_t row = begin; row < end; ++row)
        if (is_allowed(contest_.allowed, static_cast<LocalDoc>(row)))
          contest_.enter(static_cast<LocalDoc>(row));
    }
  }

  void prefetch(std::uint32_t cell) const {
    const auto begin = static_cast<std::size_t>(cell) * kCellRows;
    const std::size_t end = std::min(begin + kCellRows, segment_.n_docs());
    for (std::size_t row = begin; row < end; ++row) contest_.prefetch(static_cast<LocalDoc>(row));
  }

  void clear_cells() {
    const std::size_t n_cells = segment_.n_blocks() * kBlockCells;
    if (n_rare_postings_ * 16 > n_cells) {
      std::fill_n(s_.cells.begin(), n_cells, std::uint16_t{0});
      return;
    }
    for (const QueryTerm& term : contest_.terms) {
      if (segment_.block_bounds(term.ordinal) != nullptr) continue;
      for (std::size_t i = 0; i < term.n_runs; ++i) {
        const Run run = segment_.run(term.ordinal, i);
        for (std::size_t j = 0; j < run.size; ++j)
          if (const std::size_t row = run.window << kWindowBits | run.docs[j];
              row < segment_.n_docs())
            s_.cells[row >> kCellBits] = 0;
      }
    }
  }

  Contest& contest_;
  const Segment& segment_;
  Scratch& s_;
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
