/// A file in memory, read-only, and a file written whole or not at all.
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

/// The parts, one after another, are the synced contents of `path`, also in the folder's entry.
/// They are written beside it first, so nobody ever sees half a file. Throws FileError.
void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts);

}  // namespace sir
