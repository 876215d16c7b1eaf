/// Work on several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace sir {

/// Threads that are joined when this goes, by an exception too. Not std::jthread: Apple's libc++
/// has none before Xcode 26.
class Threads {
 public:
  Threads() = default;
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() {
    for (auto& thread : threads_) thread.join();
  }

  template <class Work>
  void start(Work&& work) {
    threads_.emplace_back(std::forward<Work>(work));
  }

 private:
  std::vector<std::thread> threads_;
};

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
  {
    Threads others;
    for (std::size_t i = 1; i < std::min(n, n_threads); ++i) others.start(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace sir
