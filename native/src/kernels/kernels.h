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
};

/// The versions this machine can run, best first; null at the end.
const Kernels* const* available_kernels();

/// The version in use: the best, or what SPARSE_IR_KERNEL or use_kernel names.
const Kernels& kernels();

/// Throws InvalidInput for a name that this machine cannot run.
void use_kernel(const char* name);

}  // namespace sir
