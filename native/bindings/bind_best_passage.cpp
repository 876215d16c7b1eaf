/// Ranking by best passages for Python.
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "arrays.h"
#include "errors.h"
#include "search/best_passage.h"

namespace sir {
namespace {

/// (doc number, places, terms, weights), as the catalog's table holds them.
using Row = std::tuple<std::int64_t, nb::bytes, nb::bytes, nb::bytes>;

template <class T>
std::span<const T> numbers(const nb::bytes& bytes) {
  // What is left over of a length that is no multiple makes the number of terms wrong.
  return {static_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
}

auto rank(const ArrayIn<std::int64_t>& docs, const ArrayIn<float>& bounds,
          const std::vector<Row>& rows, const ArrayIn<TermNumber>& terms,
          const ArrayIn<float>& weights) {
  if (docs.size() != bounds.size() || terms.size() != weights.size())
    throw InvalidInput("docs and bounds, or terms and weights, differ in length");
  std::vector<Hit> hits;
  for (std::size_t i = 0; i < docs.size(); ++i)
    hits.push_back({bounds.data()[i], static_cast<DocNumber>(docs.data()[i])});
  std::vector<StoredPassages> stored;
  for (const auto& [doc, places, own_terms, own_weights] : rows)
    stored.push_back({static_cast<DocNumber>(doc), numbers<std::uint32_t>(places),
                      numbers<TermNumber>(own_terms), numbers<float>(own_weights)});
  std::vector<PassageHit> ranked;
  {
    const nb::gil_scoped_release no_gil;
    ranked = rank_by_best_passage(hits, stored, {span(terms), span(weights)});
  }
  ArrayOut<std::int64_t, 1> ranked_docs(ranked.size());
  ArrayOut<float, 1> scores(ranked.size());
  ArrayOut<std::int32_t, 1> passages(ranked.size());
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    ranked_docs.data()[i] = static_cast<std::int64_t>(ranked[i].hit.doc);
    scores.data()[i] = ranked[i].hit.score;
    passages.data()[i] = ranked[i].passage;
  }
  return std::make_tuple(ranked_docs.release(), scores.release(), passages.release());
}

}  // namespace

void bind_best_passage(nb::module_& module) {
  module.def("rank_by_best_passage", &rank, nb::arg("docs").noconvert(),
             nb::arg("bounds").noconvert(), nb::arg("rows"), nb::arg("terms").noconvert(),
             nb::arg("weights").noconvert(),
             "(docs (n,) int64, scores (n,) float32, passages (n,) int32): the documents with these "
             "bounds, best first by what their best passages score; -1 for those of one passage.");
}

}  // namespace sir
