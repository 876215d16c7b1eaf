/// XXH64 over a block of memory.
/// Source: Y. Collet, "xxHash fast digest algorithm", specification 0.1.1, section XXH64.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sir {

static_assert(std::endian::native == std::endian::little, "segment files are little-endian");

namespace xxh64 {

constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87, kPrime2 = 0xC2B2AE3D27D4EB4F,
                        kPrime3 = 0x165667B19E3779F9, kPrime4 = 0x85EBCA77C2B2AE63,
                        kPrime5 = 0x27D4EB2F165667C5;

inline std::uint64_t round(std::uint64_t lane, std::uint64_t input) {
  return std::rotl(lane + input * kPrime2, 31) * kPrime1;
}

inline std::uint64_t merge(std::uint64_t hash, std::uint64_t lane) {
  return (hash ^ round(0, lane)) * kPrime1 + kPrime4;
}

template <class T>
std::uint64_t read(const unsigned char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline std::uint64_t stripes(const unsigned char*& at, const unsigned char* end) {
  std::uint64_t lane[4] = {kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};
  for (; end - at >= 32; at += 32)
    for (int i = 0; i < 4; ++i) lane[i] = round(lane[i], read<std::uint64_t>(at + 8 * i));
  std::uint64_t hash = std::rotl(lane[0], 1) + std::rotl(lane[1], 7) + std::rotl(lane[2], 12) +
                       std::rotl(lane[3], 18);
  for (std::uint64_t one : lane) hash = merge(hash, one);
  return hash;
}

}  // namespace xxh64

/// The XXH64 digest with seed 0.
inline std::uint64_t checksum(const void* data, std::size_t n_bytes) {
  using namespace xxh64;
  const auto* at = static_cast<const unsigned char*>(data);
  const unsigned char* end = at + n_bytes;
  std::uint64_t hash = (n_bytes >= 32 ? stripes(at, end) : kPrime5) + n_bytes;
  for (; end - at >= 8; at += 8)
    hash = std::rotl(hash ^ round(0, read<std::uint64_t>(at)), 27) * kPrime1 + kPrime4;
  if (end - at >= 4) {
    hash = std::rotl(hash ^ (read<std::uint32_t>(at) * kPrime1), 23) * kPrime2 + kPrime3;
    at += 4;
  }
  for (; at < end; ++at) hash = std::rotl(hash ^ (*at * kPrime5), 11) * kPrime1;
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

}  // namespace sir
