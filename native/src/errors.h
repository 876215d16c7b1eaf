/// What the library throws; the bindings turn each into its Python class.
#pragma once

#include <stdexcept>
#include <string>

namespace sir {

/// An argument is wrong.
struct InvalidInput : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A segment file is corrupt, truncated, or from an unknown version.
struct FormatError : std::runtime_error {
  FormatError(const std::string& path, const std::string& problem)
      : std::runtime_error(path + ": " + problem + "; restore the file or build the index anew") {}
};

/// The system refused a file operation.
struct FileError : std::runtime_error {
  FileError(int error_code, const std::string& file)
      : std::runtime_error(file), code(error_code), path(file) {}
  int code;
  std::string path;
};

}  // namespace sir
