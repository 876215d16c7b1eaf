/// The module sparse_ir._native: what crosses the border, and how errors do.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstring>

#include "arrays.h"
#include "errors.h"

namespace sir {

void bind_segment(nb::module_& module);
void bind_search(nb::module_& module);
void bind_best_passage(nb::module_& module);

namespace {

void raise(const char* python_class, const char* message) {
  const nb::object type = nb::module_::import_("sparse_ir.errors").attr(python_class);
  PyErr_SetString(type.ptr(), message);
}

void translate(const std::exception_ptr& error, void*) {
  try {
    std::rethrow_exception(error);
  } catch (const InvalidInput& e) {
    raise("InvalidInputError", e.what());
  } catch (const FormatError& e) {
    raise("IndexFormatError", e.what());
  } catch (const FileError& e) {
    const nb::object arguments = nb::make_tuple(e.code, std::strerror(e.code), e.path);
    PyErr_SetObject(PyExc_OSError, arguments.ptr());
  }
}

}  // namespace
}  // namespace sir

NB_MODULE(_native, module) {
  module.doc() = "Compiled segments and scorers; used by sparse_ir.index alone.";
  nb::register_exception_translator(sir::translate);
  sir::bind_segment(module);
  sir::bind_search(module);
  sir::bind_best_passage(module);
}
