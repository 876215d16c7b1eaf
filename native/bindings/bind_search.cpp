/// The search function and the choice of kernels for Python.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>

#include "arrays.h"
#include "kernels/kernels.h"
#include "search/search.h"

namespace sir {
namespace {

using Bitset = ArrayIn<std::uint64_t>;

auto search_arrays(const std::vector<std::shared_ptr<Segment>>& segments,
                   const std::vector<std::optional<Bitset>>& allowed,
                   const ArrayIn<std::int64_t>& indptr, const ArrayIn<TermNumber>& terms,
                   const ArrayIn<float>& weights, std::int64_t k, const std::string& algorithm,
                   std::int64_t threads, const std::optional<ArrayIn<double>>& bound_shares) {
  Searched searched{{segments.begin(), segments.end()}, {}};
  for (const auto& bits : allowed) searched.allowed.push_back(bits ? span(*bits) : Allowed());
  std::vector<std::vector<Hit>> hits;
  {
    const nb::gil_scoped_release no_gil;
    hits = search(searched, {span(indptr), span(terms), span(weights)}, k,
                  {algorithm, bound_shares ? span(*bound_shares) : std::span<const double>()},
                  threads);
  }
  // No more can be found than there are: a huge k must not become huge arrays.
  std::size_t n_docs = 0;
  for (const auto& segment : segments) n_docs += segment->n_docs();
  const std::size_t width = std::clamp<std::size_t>(n_docs, 1, static_cast<std::size_t>(k));
  ArrayOut<std::int64_t, 2> docs(hits.size(), width);
  ArrayOut<float, 2> scores(hits.size(), width);
  ArrayOut<std::int32_t, 1> counts(hits.size());
  std::fill_n(docs.data(), hits.size() * width, -1);
  for (std::size_t i = 0; i < hits.size(); ++i) {
    counts.data()[i] = static_cast<std::int32_t>(hits[i].size());
    for (std::size_t j = 0; j < hits[i].size(); ++j) {
      docs.data()[i * width + j] = static_cast<std::int64_t>(hits[i][j].doc);
      scores.data()[i * width + j] = hits[i][j].score;
    }
  }
  return std::make_tuple(docs.release(), scores.release(), counts.release());
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const Kernels* const* one = available_kernels(); *one != nullptr; ++one)
    names.emplace_back((*one)->name);
  return names;
}

}  // namespace

void bind_search(nb::module_& module) {
  module.def("search", &search_arrays, nb::arg("segments"), nb::arg("allowed"),
             nb::arg("indptr").noconvert(), nb::arg("terms").noconvert(),
             nb::arg("weights").noconvert(), nb::arg("k"), nb::arg("algorithm"),
             nb::arg("threads"), nb::arg("bound_shares").noconvert() = nb::none(),
             "(docs (Q, k) int64, scores (Q, k) float32, counts (Q,) int32): the best k documents "
             "of each query, best first, ties by lower doc number; -1 past the last. Where the "
             "segments hold fewer documents than k, there is a column for each, and one if they "
             "hold none. Bound shares are (Q,) float64; they go with auto; without them the search "
             "is exact.");
  module.def("available_kernels", &kernel_names, "Kernels this machine can run, best first.");
  module.def("active_kernel", [] { return kernels().name; }, "The kernel in use.");
  module.def("use_kernel", [](const std::string& name) { use_kernel(name.c_str()); },
             nb::arg("name"), "Searches use this kernel from now on.");
}

}  // namespace sir
