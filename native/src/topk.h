/// The best k hits so far.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "types.h"

namespace sir {

class TopK {
 public:
  explicit TopK(std::size_t k) : k_(k) {}

  /// Keeps the hit if it is among the best k.
  void push(Hit hit) {
    if (!is_full()) {
      heap_.push_back(hit);
      std::push_heap(heap_.begin(), heap_.end(), is_better);
    } else if (is_better(hit, heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), is_better);
      heap_.back() = hit;
      std::push_heap(heap_.begin(), heap_.end(), is_better);
    }
  }

  std::size_t k() const { return k_; }
  bool is_full() const { return heap_.size() == k_; }
  std::size_t size() const { return heap_.size(); }

  /// A document with a lower score cannot be a hit; one with this score may be (ties).
  Score threshold() const { return is_full() ? heap_.front().score : 0; }

  /// The hits, best first; leaves this empty.
  std::vector<Hit> take() {
    std::sort(heap_.begin(), heap_.end(), is_better);
    return std::move(heap_);
  }

 private:
  std::size_t k_;
  std::vector<Hit> heap_;  // the worst hit on top
};

}  // namespace sir
