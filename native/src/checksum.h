/// XXH64 over a block of memory.
/// Source: Y. Collet, "xxHash fast digest algorithm", specification 0.1.1, section XXH64.
#pragma once

#include <algorithm>
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

}  // namespace xxh64

/// A digest of bytes that come in parts.
class Checksum {
 public:
  void update(const void* data, std::size_t n_bytes) {
    const auto* at = static_cast<const unsigned char*>(data);
    const unsigned char* end = at + n_bytes;
    total_ += n_bytes;
    if (n_buffered_ > 0) {
      const std::size_t n = std::min(kStripe - n_buffered_, n_bytes);
      std::memcpy(buffer_ + n_buffered_, at, n);
      n_buffered_ += n;
      at += n;
      if (n_buffered_ < kStripe) return;
      stripe(buffer_);
      n_buffered_ = 0;
    }
    for (; end - at >= std::ptrdiff_t{kStripe}; at += kStripe) stripe(at);
    if (at != end) std::memcpy(buffer_, at, n_buffered_ = static_cast<std::size_t>(end - at));
  }

  std::uint64_t digest() const {
    using namespace xxh64;
    const unsigned char* at = buffer_;
    const unsigned char* end = buffer_ + n_buffered_;
    std::uint64_t hash = (total_ >= kStripe ? merged() : kPrime5) + total_;
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

 private:
  static constexpr std::size_t kStripe = 32;

  void stripe(const unsigned char* at) {
    for (int i = 0; i < 4; ++i)
      lanes_[i] = xxh64::round(lanes_[i], xxh64::read<std::uint64_t>(at + 8 * i));
  }

  std::uint64_t merged() const {
    std::uint64_t hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) +
                         std::rotl(lanes_[2], 12) + std::rotl(lanes_[3], 18);
    for (const std::uint64_t lane : lanes_) hash = xxh64::merge(hash, lane);
    return hash;
  }

  std::uint64_t lanes_[4] = {xxh64::kPrime1 + xxh64::kPrime2, xxh64::kPrime2, 0,
                             0 - xxh64::kPrime1};
  unsigned char buffer_[kStripe] = {};
  std::size_t n_buffered_ = 0;
  std::uint64_t total_ = 0;
};

/// The XXH64 digest with seed 0.
inline std::uint64_t checksum(const void* data, std::size_t n_bytes) {
  Checksum sum;
  sum.update(data, n_bytes);
  return sum.digest();
}

}  // namespace sir
