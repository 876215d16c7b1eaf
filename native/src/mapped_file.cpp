#include "mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "errors.h"

namespace sir {
namespace {

constexpr std::align_val_t kMemoryAlignment{64};  // of every section in a file

/// A file descriptor, closed at the end.
class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : number_(::open(path.c_str(), flags, 0644)) {
    if (number_ < 0) throw FileError(errno, path);
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const Descriptor file(path, O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) throw FileError(errno, path);
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;  // an empty mapping is an error to mmap, a truncated file to the caller
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.number(), 0);
  if (mapped == MAP_FAILED) throw FileError(errno, path);
  data_ = static_cast<const std::byte*>(mapped);
  is_mapped_ = true;
}

MappedFile::MappedFile(std::span<const std::byte> bytes) : size_(bytes.size()) {
  if (size_ == 0) return;
  auto* copy = static_cast<std::byte*>(::operator new(size_, kMemoryAlignment));
  std::copy(bytes.begin(), bytes.end(), copy);
  data_ = copy;
}

MappedFile::~MappedFile() {
  auto* data = const_cast<std::byte*>(data_);
  if (is_mapped_)
    ::munmap(data, size_);
  else
    ::operator delete(data, kMemoryAlignment);
}

}  // namespace sir
