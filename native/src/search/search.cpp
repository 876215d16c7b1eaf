#include "search.h"

#include <algorithm>
#include <string>

#include "../errors.h"
#include "../parallel.h"

namespace sir {
namespace {

using Algorithm = void (*)(const Segment&, Allowed, const SparseVector&, TopK&);

Algorithm find_algorithm(std::string_view name) {
  if (name == "maxscore") return maxscore;
  if (name == "exhaustive") return exhaustive;
  throw InvalidInput("algorithm is '" + std::string(name) + "'; want maxscore or exhaustive");
}

void check_arguments(const Searched& searched, const CsrView& queries, std::int64_t k,
                     std::int64_t n_threads) {
  if (k < 1) throw InvalidInput("k is " + std::to_string(k) + "; want an integer >= 1");
  if (n_threads < 1)
    throw InvalidInput("threads is " + std::to_string(n_threads) + "; want an integer >= 1");
  check(queries);
  if (searched.allowed.size() != searched.segments.size())
    throw InvalidInput(std::to_string(searched.allowed.size()) + " bitsets came for " +
                       std::to_string(searched.segments.size()) + " segments; want one each");
  for (std::size_t i = 0; i < searched.segments.size(); ++i) {
    const std::size_t wanted = (searched.segments[i]->n_docs() + 63) / 64;
    if (!searched.allowed[i].empty() && searched.allowed[i].size() != wanted)
      throw InvalidInput("a bitset has " + std::to_string(searched.allowed[i].size()) +
                         " words; want " + std::to_string(wanted) + ", a bit a document");
  }
}

std::size_t n_docs(const Searched& searched) {
  std::size_t n = 0;
  for (const auto& segment : searched.segments) n += segment->n_docs();
  return n;
}

}  // namespace

std::vector<std::vector<Hit>> search(const Searched& searched, const CsrView& queries,
                                     std::int64_t k, std::string_view algorithm,
                                     std::int64_t n_threads) {
  const Algorithm run = find_algorithm(algorithm);
  check_arguments(searched, queries, k, n_threads);
  // No more can be found than there are: a huge k must not become a huge heap.
  const std::size_t most = std::min(static_cast<std::size_t>(k), n_docs(searched));
  std::vector<std::vector<Hit>> hits(queries.n_rows());
  if (most == 0) return hits;
  parallel_for(hits.size(), static_cast<std::size_t>(n_threads), [&](std::size_t i) {
    TopK best(most);  // carried from segment to segment: what is found raises the bar for the rest
    for (std::size_t s = 0; s < searched.segments.size(); ++s)
      run(*searched.segments[s], searched.allowed[s], queries.row(i), best);
    hits[i] = best.take();
  });
  return hits;
}

}  // namespace sir
