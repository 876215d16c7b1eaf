/// Segment and SegmentBuilder for Python.
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <utility>
#include <vector>

#include "arrays.h"
#include "errors.h"
#include "segment.h"
#include "segment_builder.h"

namespace sir {
namespace {

using NoGil = nb::call_guard<nb::gil_scoped_release>;

format::Precision precision_named(const std::string& name) {
  if (name == "float32") return format::Precision::kFloat32;
  if (name == "float16") return format::Precision::kFloat16;
  if (name == "uint8") return format::Precision::kUint8;
  throw InvalidInput("precision is '" + name + "'; want float32, float16 or uint8");
}

void add(SegmentBuilder& builder, const ArrayIn<DocNumber>& docs,
         const ArrayIn<std::int64_t>& indptr, const ArrayIn<TermNumber>& terms,
         const ArrayIn<float>& weights) {
  const nb::gil_scoped_release no_gil;
  builder.add(span(docs), {span(indptr), span(terms), span(weights)});
}

/// A view of the mapped file, which the segment keeps open as long as the view lives.
template <class T>
nb::ndarray<nb::numpy, const T, nb::ndim<1>> view(nb::handle self, std::span<const T> values) {
  return {values.data(), {values.size()}, self};
}

auto document_frequencies(const Segment& segment, const ArrayIn<TermNumber>& terms) {
  ArrayOut<std::uint32_t, 1> result(terms.size());
  {
    const nb::gil_scoped_release no_gil;
    for (std::size_t i = 0; i < terms.size(); ++i) {
      const Ordinal ordinal = segment.find(terms.data()[i]);
      result.data()[i] = ordinal == segment.n_terms() ? 0
                         : static_cast<std::uint32_t>(segment.document_frequency(ordinal));
    }
  }
  return result.release();
}

auto read_rows(const Segment& segment, std::span<const LocalDoc> docs) {
  const nb::gil_scoped_release no_gil;
  std::vector<Row> rows;
  ArrayOut<std::int64_t, 1> indptr(docs.size() + 1);
  for (const LocalDoc doc : docs) {
    const std::size_t i = rows.size();
    rows.push_back(segment.row(doc));
    indptr.data()[i + 1] = indptr.data()[i] + static_cast<std::int64_t>(rows[i].size);
  }
  const auto n = static_cast<std::size_t>(indptr.data()[rows.size()]);
  ArrayOut<TermNumber, 1> terms(n);
  ArrayOut<float, 1> weights(n);
  const auto numbers = segment.terms();
  std::size_t at = 0;
  for (const Row& row : rows)
    for (std::size_t i = 0; i < row.size; ++i, ++at) {
      const Ordinal ordinal = segment.ordinal_at(row, i);
      if (ordinal >= numbers.size())
        throw FormatError(segment.path(), "section row ordinals: a term past the last");
      terms.data()[at] = numbers[ordinal];
      weights.data()[at] = segment.weight_at(row, i);
    }
  return std::make_tuple(std::move(indptr), std::move(terms), std::move(weights));
}

auto rows(const Segment& segment, const ArrayIn<LocalDoc>& docs) {
  auto [indptr, terms, weights] = read_rows(segment, span(docs));
  return std::make_tuple(indptr.release(), terms.release(), weights.release());
}

}  // namespace

void bind_segment(nb::module_& module) {
  nb::class_<SegmentBuilder>(module, "SegmentBuilder",
                             "Collects rows of term weights and writes them as a segment file.")
      .def("__init__",
           [](SegmentBuilder* self, const std::string& precision, std::int64_t threads) {
             if (threads < 1)
               throw InvalidInput("threads is " + std::to_string(threads) +
                                  "; want an integer >= 1");
             new (self) SegmentBuilder(precision_named(precision),
                                       static_cast<std::size_t>(threads));
           },
           nb::arg("precision") = "float32", nb::arg("threads") = 1)
      .def("reserve", &SegmentBuilder::reserve, nb::arg("n_docs"), nb::arg("n_postings"),
           "Takes the memory for so many rows at once.")
      .def("add", &add, nb::arg("doc_numbers").noconvert(), nb::arg("indptr").noconvert(),
           nb::arg("terms").noconvert(), nb::arg("weights").noconvert(),
           "Copies rows: uint64 doc numbers ascending over all calls, int64 indptr, uint32 terms "
           "ascending in a row, float32 weights finite and > 0.")
      .def("write", &SegmentBuilder::write, nb::arg("path"), NoGil(),
           "The rows are a synced file; the same rows give the same bytes.")
      .def("segment", [](SegmentBuilder& builder, const std::string& name) {
            const nb::gil_scoped_release no_gil;
            return std::const_pointer_cast<Segment>(builder.segment(name)); },
          nb::arg("name"), "The rows as a segment in memory, of the file's bytes.")
      .def_prop_ro("n_docs", &SegmentBuilder::n_docs)
      .def_prop_ro("n_postings", &SegmentBuilder::n_postings);

  nb::class_<Segment>(module, "Segment", "An opened segment file: immutable, memory mapped.")
      .def_static("open", [](const std::string& path) {
            return std::const_pointer_cast<Segment>(Segment::open(path)); },
          nb::arg("path"), "Maps a file and checks its header, its sizes and offsets.")
      .def_static("from_bytes", [](const nb::bytes& bytes, const std::string& name) {
            const std::span all(static_cast<const std::byte*>(bytes.data()), bytes.size());
            return std::const_pointer_cast<Segment>(Segment::from_bytes(all, name)); },
          nb::arg("bytes"), nb::arg("name"), "As open, for a copy of bytes in memory.")
      .def("verify", &Segment::verify, NoGil(),
           "Reads every byte; raises IndexFormatError naming the section that is wrong.")
      .def_prop_ro("path", &Segment::path)
      .def_prop_ro("n_docs", &Segment::n_docs)
      .def_prop_ro("n_terms", &Segment::n_terms)
      .def_prop_ro("n_postings", [](const Segment& s) { return s.n_postings(); })
      .def_prop_ro("n_bytes", [](const Segment& s) { return s.n_bytes(); })
      .def_prop_ro("section_bytes",
                   [](const Segment& s) {
                     std::vector<std::pair<std::string, std::size_t>> bytes;
                     for (std::uint32_t i = 0; i < format::kSections; ++i)
                       bytes.emplace_back(format::kNames[i],
                                          s.n_bytes(static_cast<format::Section>(i)));
                     return bytes;
                   },
                   "(name, bytes) of each section of the file, in its order.")
      .def_prop_ro("precision",
                   [](const Segment& s) {
                     constexpr const char* names[] = {"float32", "float16", "uint8"};
                     return names[static_cast<std::uint32_t>(s.precision())];
                   })
      .def_prop_ro("doc_numbers", [](nb::handle_t<Segment> self) {
            return view(self, nb::cast<const Segment&>(self).doc_numbers()); },
          "(n_docs,) uint64, ascending, read-only: the number of each row in the index.")
      .def_prop_ro("terms", [](nb::handle_t<Segment> self) {
            return view(self, nb::cast<const Segment&>(self).terms()); },
          "(n_terms,) uint32, ascending, read-only: the terms that occur.")
      .def("document_frequencies", &document_frequencies, nb::arg("terms").noconvert(),
           "(m,) uint32: in how many rows each of (m,) uint32 terms occurs.")
      .def("rows", &rows, nb::arg("docs").noconvert(),
           "(indptr int64, terms uint32, weights float32) of (m,) uint32 row numbers, as stored.");
}

}  // namespace sir
