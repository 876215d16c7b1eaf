/// Output in parts: to memory, or to a file that is written beside its place and moved there whole.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sir {

/// Where bytes go, one after another.
class Output {
 public:
  virtual ~Output() = default;

  /// The bytes follow what is written already.
  virtual void append(std::span<const std::byte> bytes) = 0;

  /// The bytes replace those at `offset`.
  virtual void overwrite(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
};

/// Bytes in memory.
class MemoryOutput : public Output {
 public:
  void append(std::span<const std::byte> bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void overwrite(std::uint64_t offset, std::span<const std::byte> bytes) override {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

/// Without `finish`, nothing is left behind. Throws FileError.
class FileWriter : public Output {
 public:
  explicit FileWriter(const std::string& path);
  ~FileWriter() override;
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void append(std::span<const std::byte> bytes) override;
  void overwrite(std::uint64_t offset, std::span<const std::byte> bytes) override;

  /// The file is at its path, synced, and so is its folder.
  void finish();

 private:
  void flush();

  std::string path_, beside_;
  int file_;
  std::vector<std::byte> buffer_;
};

}  // namespace sir
