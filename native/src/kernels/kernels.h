/// The inner loops that each instruction set has its own version of. Only intrinsics and this file
/// are included by the versions: an inline library function compiled for AVX2 could otherwise be
/// the one that the linker keeps for everybody.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sir {

/// The query by ordinal: its weights, and a bit for each that is > 0. The bits of the usual segment
/// stay in the nearest cache, the weights do not.
struct QueryTable {
  const float* weights;
  const std::uint32_t* bits;
  std::uint32_t last;  ///< the last ordinal
};

/// Score of a row: the float32 sum, in ascending ordinal, of query weight x weight over the ordinals
/// whose query weight is > 0. Ordinals above the last count as the last, so that no file can make it
/// read beyond the query.
template <class Ordinal, class Weight>
using Dot = float (*)(const Ordinal* ordinals, const Weight* weights, std::size_t n,
                      const QueryTable& query);

/// The most parts of one split of a clustering, and those that `centroid_products` takes at a time.
inline constexpr std::size_t kCentroids = 64;
inline constexpr std::size_t kCentroidGroup = 16;

struct Kernels {
  const char* name;
  Dot<std::uint16_t, float> dot_short_float;
  Dot<std::uint16_t, std::uint16_t> dot_short_half;
  Dot<std::uint32_t, float> dot_long_float;
  Dot<std::uint32_t, std::uint16_t> dot_long_half;
  Dot<std::uint16_t, std::uint8_t> dot_short_byte;
  Dot<std::uint32_t, std::uint8_t> dot_long_byte;

  /// Positions i < n (a multiple of 64) with bounds[i] >= least and, where `allowed` is given, its
  /// bit i set, ascending, go to `positions` (room for n); returns their number. least > 0.
  std::size_t (*select)(const std::uint16_t* bounds, std::size_t n, std::uint16_t least,
                        const std::uint64_t* allowed, std::uint16_t* positions);

  /// sums[i] += the sum over the rows of (rows[r][i] x factors[r]) >> 8, plus 1 a row: an upper
  /// bound of the exact products. i < n, a multiple of 64.
  void (*add_bounds)(const std::uint8_t* const* rows, const std::uint16_t* factors,
                     std::size_t n_rows, std::size_t n, std::uint16_t* sums);

  /// Of each of n blocks, sums[8 i + c] += (row[8 blocks[i] + c] x factor) >> 8, plus 1, c < 8.
  void (*add_cell_bounds)(const std::uint8_t* row, std::uint16_t factor,
                          const std::uint32_t* blocks, std::size_t n, std::uint16_t* sums);

  /// products[c] = sum over i of weights[i] x centroids[features[i]][c], in ascending i, multiply
  /// then add, for all c < n_centroids, a multiple of kCentroidGroup up to kCentroids.
  void (*centroid_products)(const std::uint32_t* features, const float* weights, std::size_t n,
                            const float* centroids, std::size_t n_centroids, float* products);
};

/// The versions this machine can run, best first; null at the end.
const Kernels* const* available_kernels();

/// The version in use: the best, or what SPARSE_IR_KERNEL or use_kernel names.
const Kernels& kernels();

/// Throws InvalidInput for a name that this machine cannot run.
void use_kernel(const char* name);

}  // namespace sir
