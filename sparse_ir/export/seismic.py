"""Seismic's binary vectors: u32 n, then for each row u32 length, u32 terms, float32 weights.

All little-endian. The file knows neither names of rows nor how many terms there could be.

Source: Bruch et al. 2024, "Efficient Inverted Indexes for Approximate Retrieval over Learned Sparse
Representations", arXiv:2404.18812, and the layout that its authors' tools read.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir.errors import DataFormatError
from sparse_ir.files import whole_file
from sparse_ir.vectors import TermWeights

_U32 = np.dtype("<u4")


class SeismicFile:
    """A file of vectors, walked through once at opening.

    Raises:
        DataFormatError: cut short, or bytes are left over; says at which byte.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        with self._path.open("rb") as file:
            size = self._path.stat().st_size
            self._data: mmap.mmap | bytes = (
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
            )
        self._begins, self._sizes = self._walk()

    def __len__(self) -> int:
        """Rows."""
        return len(self._sizes)

    @property
    def n_terms(self) -> int:
        """One more than the greatest term, at least 1."""
        most = [int(self._terms(row).max()) for row in np.flatnonzero(self._sizes).tolist()]
        return max(most, default=0) + 1

    def batches(self, n_terms: int, batch_size: int = 8192) -> Iterator[TermWeights]:
        """All rows in order, as (up to ``batch_size``, n_terms) float32 csr_arrays."""
        for start in range(0, len(self), batch_size):
            rows = range(start, min(start + batch_size, len(self)))
            sizes = self._sizes[rows.start : rows.stop]
            indptr = np.concatenate(([0], np.cumsum(sizes)))
            terms = np.concatenate([self._terms(row) for row in rows]).astype(np.int64)
            weights = np.concatenate([self._weights(row) for row in rows]).astype(np.float32)
            yield sp.csr_array((weights, terms, indptr), shape=(len(rows), n_terms))

    def _terms(self, row: int) -> NDArray[np.uint32]:
        return np.frombuffer(self._data, _U32, self._sizes[row], self._begins[row])

    def _weights(self, row: int) -> NDArray[np.float32]:
        size = int(self._sizes[row])
        return np.frombuffer(self._data, "<f4", size, self._begins[row] + 4 * size)

    def _walk(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each row's terms begin, in bytes, and how many it has."""
        end = len(self._data)
        n = self._u32(0, "the number of rows")
        self._require(n <= (end - 4) // 4, 0, f"{n} rows", "no more than the bytes can hold")
        begins, sizes, at = np.empty(n, np.int64), np.empty(n, np.int64), 4
        for row in range(n):
            size = self._u32(at, f"the length of row {row}")
            begins[row], sizes[row] = at + 4, size
            at += 4 + 8 * size
            self._require(at <= end, at, f"the end of the file in row {row}", f"{size} terms")
        self._require(at == end, at, f"{end - at} bytes behind the last row", "none")
        return begins, sizes

    def _u32(self, at: int, what: str) -> int:
        self._require(at + 4 <= len(self._data), at, "the end of the file", what)
        (number,) = struct.unpack_from("<I", self._data, at)
        return int(number)

    def _require(self, holds: bool, at: int, came: str, wanted: str) -> None:
        if not holds:
            raise DataFormatError(f"{self._path}: at byte {at} {came} came; want {wanted}")


def write_seismic(
    path: str | Path,
    batches: Iterable[TermWeights],
    n_rows: int,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """The rows of all batches, ``n_rows`` together, are in the file, whole or not at all."""
    with whole_file(path) as beside, beside.open("wb") as file:
        file.write(struct.pack("<I", n_rows))
        for weights in batches:
            terms, values = weights.indices.astype(_U32), weights.data.astype("<f4")
            bounds = weights.indptr.tolist()
            for start, stop in pairwise(bounds):
                file.write(struct.pack("<I", stop - start))
                file.write(terms[start:stop].tobytes() + values[start:stop].tobytes())
            if on_progress:
                on_progress(weights.shape[0])
