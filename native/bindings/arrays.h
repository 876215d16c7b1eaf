/// Where numpy memory becomes spans and back; nothing is copied on the way in.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

namespace nb = nanobind;

namespace sir {

/// A contiguous one-dimensional array, possibly read-only.
template <class T>
using ArrayIn = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class T>
std::span<const T> span(const ArrayIn<T>& array) {
  return {array.data(), array.size()};
}

/// A new numpy array that owns its memory, of one or two dimensions. Throws std::bad_alloc (in
/// Python MemoryError) if it is too large.
template <class T, std::size_t Dimensions>
class ArrayOut {
 public:
  template <class... Sizes>
  explicit ArrayOut(Sizes... sizes) : shape_{static_cast<std::size_t>(sizes)...} {
    std::size_t n = 1;
    for (const std::size_t size : shape_) {
      if (size != 0 && n > SIZE_MAX / size) throw std::bad_array_new_length();
      n *= size;
    }
    data_ = std::make_unique<T[]>(n);
  }

  T* data() { return data_.get(); }

  nb::ndarray<nb::numpy, T, nb::ndim<Dimensions>> release() {
    T* raw = data_.release();
    const nb::capsule owner(raw, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return {raw, Dimensions, shape_, owner};
  }

 private:
  std::size_t shape_[Dimensions];
  std::unique_ptr<T[]> data_;
};

}  // namespace sir
