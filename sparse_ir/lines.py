"""Lines of text files, each with its place: what is wrong is said with file and line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sparse_ir.errors import DataFormatError

Place = tuple[str, int]  # a file and a line in it, from 1
GZIP_ERRORS = (gzip.BadGzipFile, EOFError, zlib.error)  # of a damaged file, as Python raises them


def read_lines(path: Path) -> Iterator[tuple[Place, str]]:
    """The lines of a UTF-8 file, ``.gz`` or not, without their ends.

    Raises:
        DataFormatError: not UTF-8, or not a whole gzip file.
        OSError: the file cannot be read.
    """
    with _opened(path) as file:
        try:
            yield from decode_lines(str(path), file)
        except GZIP_ERRORS as error:
            raise DataFormatError(
                f"{path}: not a whole gzip file ({error}); fetch it anew"
            ) from None


def decode_lines(name: str, file: BinaryIO | gzip.GzipFile) -> Iterator[tuple[Place, str]]:
    """As ``read_lines``, of an open file with this name."""
    for number, line in enumerate(file, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            came = f"byte 0x{line[error.start]:02x} at column {error.start + 1}"
            raise error_at((name, number), came, "UTF-8") from None
        yield (name, number), text.rstrip("\r\n")


def json_object(place: Place, line: str) -> dict[str, Any]:
    """The JSON object that the line holds.

    Raises:
        DataFormatError: it holds none, or one that gives a key twice, a number of thousands of
            digits, or values nested too deeply to be read.
    """
    try:
        value = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        came = f"not JSON ({error.msg}, column {error.colno})"
        raise error_at(place, came, "an object") from None
    except KeyError as error:
        raise error_at(place, f"the key {error.args[0]!r} twice", "each key once") from None
    except ValueError:  # Python bounds the digits, for reading them takes quadratic time
        raise error_at(place, "a number of thousands of digits", "a shorter one") from None
    except RecursionError:
        raise error_at(place, "JSON of too many levels", "values less deeply nested") from None
    if not isinstance(value, dict):
        raise error_at(place, f"a JSON {type(value).__name__}", "an object")
    return value


def require_characters(place: Place, what: str, text: str) -> None:
    """Returns if the text can be written as UTF-8.

    Raises:
        DataFormatError: it cannot, for JSON's ``\\ud800`` is half a character.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise error_at(place, f"{what} holds half a surrogate pair", "text") from None


def error_at(place: Place, came: str, wanted: str) -> DataFormatError:
    """The error for a malformed line."""
    return DataFormatError(f"{shown(place)}: {came} came; want {wanted}")


def shown(place: Place) -> str:
    """The place as editors and compilers write it."""
    file, line = place
    return f"{file}:{line}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise KeyError(next(key for key in keys if keys.count(key) > 1))
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _opened(path: Path) -> BinaryIO | gzip.GzipFile:
    return gzip.GzipFile(path) if path.suffix == ".gz" else path.open("rb")
