/// A file in memory, read-only.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace sir {

/// A file mapped for reading while this lives, or bytes in memory of no file.
class MappedFile {
 public:
  /// Throws FileError.
  explicit MappedFile(const std::string& path);
  /// Copies the bytes to memory of their own.
  explicit MappedFile(std::span<const std::byte> bytes);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool is_mapped_ = false;
};

}  // namespace sir
