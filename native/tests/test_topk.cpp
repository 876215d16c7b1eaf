#include "topk.h"

#include <random>

#include "check.h"

int main() {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const std::size_t k = 1 + random() % 12, n = random() % 40;
    std::vector<sir::Hit> all;
    sir::TopK best(k);
    for (std::size_t doc = 0; doc < n; ++doc) {
      all.push_back({static_cast<float>(random() % 5), doc});
      best.push(all.back());
    }
    std::sort(all.begin(), all.end(), sir::is_better);
    all.resize(std::min(n, k));
    CHECK(best.threshold() == (n >= k ? all.back().score : 0));
    const auto found = best.take();
    CHECK(found.size() == all.size());
    for (std::size_t i = 0; i < all.size(); ++i)
      CHECK(found[i].doc == all[i].doc && found[i].score == all[i].score);
  }
}
