"""The dense half of a segment: unit vectors in float16, mapped, with the document of each row.

A file is a header of 64 bytes, (n_rows,) uint64 doc numbers, ascending, and (n_rows, dimension)
float16, all little-endian. A document has a row for each of its passages, in their order. Like its
sparse half, a file is written once, synced, renamed, and never changed.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import IndexFormatError, InvalidInputError
from sparse_ir.files import whole_file
from sparse_ir.vectors import unit

SUFFIX = ".vec"
_HEADER = struct.Struct("<4sIQII40x")  # magic, version, rows, dimension, checksum of what follows
_MAGIC, _VERSION = b"SIRV", 1
_MOST_DIMENSIONS = 2**16
_CHUNK = 2**14  # rows copied at a time

Halves = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class DenseRows:
    """Vectors of documents that come: one a passage.

    Args:
        vectors: (R, dimension) float16 or float32 unit vectors, one document after another.
        counts: (n,) rows of each document, >= 1.
    """

    vectors: NDArray[Any]
    counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DenseSegment:
    """Vectors of some documents.

    Args:
        docs: (n_rows,) uint64 doc number of each row, ascending.
        vectors: (n_rows, dimension) float16, mapped or in memory.
        path: Of the file; None in memory.
        checksum: What the file says of its content.
    """

    docs: NDArray[np.uint64]
    vectors: Halves
    path: Path | None = None
    checksum: int = 0

    @classmethod
    def of(cls, parts: Sequence[tuple[NDArray[np.uint64], DenseRows]]) -> DenseSegment:
        """A segment in memory of documents and their rows."""
        docs = [np.repeat(numbers, rows.counts) for numbers, rows in parts]
        vectors = [rows.vectors.astype(np.float16, copy=False) for _, rows in parts]
        return cls(np.concatenate(docs), np.concatenate(vectors))

    @classmethod
    def open(cls, path: Path) -> DenseSegment:
        """The segment in the file, mapped, its header and size checked.

        Raises:
            IndexFormatError: the file is corrupt, truncated, or from an unknown version.
            OSError: no such file.
        """
        with path.open("rb") as file:
            head, n_bytes = file.read(_HEADER.size), os.fstat(file.fileno()).st_size
        if len(head) < _HEADER.size:
            raise IndexFormatError(f"{path} has {len(head)} bytes; build the index anew")
        magic, version, n_rows, dimension, checksum = _HEADER.unpack(head)
        if magic != _MAGIC or version != _VERSION:
            raise IndexFormatError(
                f"{path}: {magic!r} version {version} came; this release reads {_MAGIC!r} "
                f"version {_VERSION}"
            )
        wanted = _HEADER.size + n_rows * (8 + 2 * dimension)
        if not 0 < dimension <= _MOST_DIMENSIONS or n_bytes != wanted:
            raise IndexFormatError(
                f"{path} has {n_bytes} bytes; its header wants {wanted} for {n_rows} vectors of "
                f"{dimension} dimensions; build the index anew"
            )
        if not n_rows:
            return cls(np.empty(0, np.uint64), np.empty((0, dimension), np.float16), path, checksum)
        body = np.memmap(path, np.uint8, "r", _HEADER.size)
        docs = body[: 8 * n_rows].view("<u8")
        vectors = body[8 * n_rows :].view("<f2").reshape(n_rows, dimension)
        return cls(np.asarray(docs), np.asarray(vectors), path, checksum)

    def __len__(self) -> int:
        """Rows."""
        return len(self.docs)

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        return int(self.vectors.shape[1])

    @property
    def n_bytes(self) -> int:
        """Size of the file."""
        return _HEADER.size + self.docs.nbytes + self.vectors.nbytes

    def verify(self) -> None:
        """Every byte was read and found good.

        Raises:
            IndexFormatError: it is not what was written.
        """
        checksum = zlib.crc32(self.docs.data)
        for start in range(0, len(self), _CHUNK):
            checksum = zlib.crc32(
                np.ascontiguousarray(self.vectors[start : start + _CHUNK]).data, checksum
            )
        if checksum != self.checksum:
            raise IndexFormatError(f"{self.path}: the checksum is wrong; build the index anew")


def write(
    path: Path,
    dimension: int,
    segments: Iterable[DenseSegment],
    left_out: NDArray[np.uint64] | None = None,
) -> None:
    """The rows of these segments, in this order, are a synced file.

    Args:
        path: Of the file.
        dimension: Of all vectors.
        segments: Their doc numbers ascend from one to the next.
        left_out: Documents whose rows are not wanted, ascending.
    """
    parts = [(one, _kept(one, left_out)) for one in segments]
    docs = np.concatenate([np.empty(0, np.uint64), *(one.docs[rows] for one, rows in parts)])
    with whole_file(path) as beside, beside.open("wb") as file:
        file.write(bytes(_HEADER.size))
        file.write(docs.astype("<u8", copy=False).data)
        checksum = zlib.crc32(docs.data)
        for one, rows in parts:
            for start in range(0, len(rows), _CHUNK):
                chunk = np.ascontiguousarray(one.vectors[rows[start : start + _CHUNK]], "<f2")
                checksum = zlib.crc32(chunk.data, checksum)
                file.write(chunk.data)
        file.seek(0)
        file.write(_HEADER.pack(_MAGIC, _VERSION, len(docs), dimension, checksum))


def checked(rows: DenseRows, n_documents: int, dimension: int) -> DenseRows:
    """The rows as they are stored: unit vectors in float16.

    Raises:
        InvalidInputError: not a vector or more a document, another dimension, or NaN or infinity.
    """
    vectors = np.asarray(rows.vectors, np.float32)
    counts = np.asarray(rows.counts, np.int64)
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise InvalidInputError(
            f"vectors of shape {vectors.shape} came; the index wants {dimension} dimensions: "
            "use the dense model that it was built with"
        )
    if len(counts) != n_documents or (counts < 1).any() or counts.sum() != len(vectors):
        raise InvalidInputError(
            f"{len(vectors)} vectors came for {n_documents} documents; want one or more each"
        )
    bad = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(bad):
        raise InvalidInputError(f"vector {bad[0]} holds NaN or infinity; want finite numbers")
    return DenseRows(unit(vectors).astype(np.float16), counts)


def _kept(segment: DenseSegment, left_out: NDArray[np.uint64] | None) -> NDArray[np.int64]:
    if left_out is None or not len(left_out):
        return np.arange(len(segment))
    return np.flatnonzero(~holds(left_out, segment.docs))


def holds(ascending: NDArray[np.uint64], docs: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """(n,) which of these documents are in the ascending list."""
    if not len(ascending):
        return np.zeros(len(docs), np.bool_)
    at = np.minimum(np.searchsorted(ascending, docs), len(ascending) - 1)
    found: NDArray[np.bool_] = ascending[at] == docs
    return found
