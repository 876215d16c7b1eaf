#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "../errors.h"
#include "kernels.h"

namespace sir {

extern const Kernels kScalar;
#if defined(__x86_64__)
extern const Kernels kAvx2;
extern const Kernels kAvx512;
#elif defined(__aarch64__)
extern const Kernels kNeon;
#endif

namespace {

struct Available {
  const Kernels* best_first[4] = {};

  Available() {
    std::size_t n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
      best_first[n++] = &kAvx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) best_first[n++] = &kAvx2;
#elif defined(__aarch64__)
    best_first[n++] = &kNeon;
#endif
    best_first[n] = &kScalar;
  }
};

const Kernels& find(const char* name) {
  std::string known;
  for (const Kernels* const* one = available_kernels(); *one != nullptr; ++one) {
    if (std::strcmp((*one)->name, name) == 0) return **one;
    known += known.empty() ? "" : ", ";
    known += (*one)->name;
  }
  throw InvalidInput("kernel is '" + std::string(name) + "'; this machine has: " + known);
}

std::atomic<const Kernels*>& active() {
  static std::atomic<const Kernels*> chosen = [] {
    const char* wanted = std::getenv("SPARSE_IR_KERNEL");
    return wanted != nullptr && *wanted != '\0' ? &find(wanted) : available_kernels()[0];
  }();
  return chosen;
}

}  // namespace

const Kernels* const* available_kernels() {
  static const Available available;
  return available.best_first;
}

const Kernels& kernels() { return *active(); }

void use_kernel(const char* name) { active() = &find(name); }

}  // namespace sir
