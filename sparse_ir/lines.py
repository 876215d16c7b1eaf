"""Lines of text files, each with its place: what is wrong is said with file and line."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sparse_ir.errors import DataFormatError

Place = tuple[str, int]  # a file and a line in it, from 1


def read_lines(path: Path) -> Iterator[tuple[Place, str]]:
    """The lines of a UTF-8 file, ``.gz`` or not, without their ends.

    Raises:
        DataFormatError: not UTF-8, or not a whole gzip file.
        OSError: the file cannot be read.
    """
    with _opened(path) as file:
        try:
            yield from decode_lines(str(path), file)
        except (gzip.BadGzipFile, EOFError) as error:
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


def error_at(place: Place, came: str, wanted: str) -> DataFormatError:
    """The error for a malformed line."""
    file, line = place
    return DataFormatError(f"{file}:{line}: {came} came; want {wanted}")


def _opened(path: Path) -> BinaryIO | gzip.GzipFile:
    return gzip.GzipFile(path) if path.suffix == ".gz" else path.open("rb")
