#include "file_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "errors.h"

namespace sir {
namespace {

constexpr std::size_t kBuffer = std::size_t{1} << 20;

int open_file(const std::string& path, int flags) {
  const int file = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (file < 0) throw FileError(errno, path);
  return file;
}

void write_all(int file, std::span<const std::byte> part, const std::string& path) {
  constexpr std::size_t kMost = std::size_t{1} << 30;  // Linux writes no more than 2 GiB at once
  while (!part.empty()) {
    const ssize_t n = ::write(file, part.data(), std::min(part.size(), kMost));
    if (n < 0 && errno != EINTR) throw FileError(errno, path);
    if (n > 0) part = part.subspan(static_cast<std::size_t>(n));
  }
}

void sync_folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int file = open_file(folder, O_RDONLY);
  const bool is_synced = ::fsync(file) == 0;
  const int error = errno;
  ::close(file);
  if (!is_synced) throw FileError(error, folder);
}

}  // namespace

FileWriter::FileWriter(const std::string& path)
    : path_(path),
      beside_(path + ".tmp"),
      file_(open_file(beside_, O_WRONLY | O_CREAT | O_TRUNC)) {
  buffer_.reserve(kBuffer);
}

FileWriter::~FileWriter() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(beside_.c_str());
}

void FileWriter::append(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBuffer) flush();
  if (bytes.size() >= kBuffer)
    write_all(file_, bytes, beside_);
  else
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void FileWriter::overwrite(std::uint64_t offset, std::span<const std::byte> bytes) {
  flush();
  if (::lseek(file_, static_cast<off_t>(offset), SEEK_SET) < 0) throw FileError(errno, beside_);
  write_all(file_, bytes, beside_);
  if (::lseek(file_, 0, SEEK_END) < 0) throw FileError(errno, beside_);
}

void FileWriter::finish() {
  flush();
  if (::fsync(file_) != 0 || std::rename(beside_.c_str(), path_.c_str()) != 0)
    throw FileError(errno, path_);
  ::close(file_);
  file_ = -1;
  sync_folder_of(path_);
}

void FileWriter::flush() {
  write_all(file_, buffer_, beside_);
  buffer_.clear();
}

}  // namespace sir
