/// Work on several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace sir {

/// Calls work(i) for every i < n on up to n_threads threads; the first exception is rethrown.
template <class Work>
void parallel_for(std::size_t n, std::size_t n_threads, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex guard;
  const auto run = [&] {
    try {
      for (std::size_t i; (i = next.fetch_add(1)) < n;) work(i);
    } catch (...) {
      next = n;
      const std::lock_guard lock(guard);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::jthread> others(std::min(n, n_threads) - (n > 0 ? 1 : 0));
  for (auto& thread : others) thread = std::jthread(run);
  run();
  others.clear();  // joins
  if (failure) std::rethrow_exception(failure);
}

}  // namespace sir
