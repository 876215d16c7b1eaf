"""Doc numbers as rows of a segment, and rows as bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparse_ir import _native

Bitset = NDArray[np.uint64]


class DocRows:
    """Finds the rows of documents in a segment.

    Args:
        numbers: (n,) doc number of each row, ascending.
    """

    def __init__(self, numbers: NDArray[np.uint64]) -> None:
        self._numbers = numbers

    @classmethod
    def of(cls, segment: _native.Segment) -> DocRows:
        """Those of a segment."""
        return cls(segment.doc_numbers)

    def __len__(self) -> int:
        """Rows."""
        return len(self._numbers)

    def find(self, docs: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """Rows of those of these documents (ascending) that the segment holds, in their order."""
        if not len(docs) or not len(self):
            return np.zeros(0, np.uint32)
        first, last = self.span()
        docs = docs[np.searchsorted(docs, first) : np.searchsorted(docs, last, "right")]
        if last - first == len(self) - 1:  # without a gap
            at = (docs - np.uint64(first)).astype(np.intp)
        else:
            at = np.searchsorted(self._numbers, docs)
            at = at[self._numbers[at] == docs]
        rows: NDArray[np.uint32] = at.astype(np.uint32)
        return rows

    def span(self) -> tuple[int, int]:
        """The least and the greatest doc number; (0, -1) if there are no rows."""
        if not len(self):
            return 0, -1
        return int(self._numbers[0]), int(self._numbers[-1])


def cleared(bits: Bitset, n: int) -> NDArray[np.uint32]:
    """The rows of n whose bit is not set, ascending."""
    flags = np.unpackbits(bits.view(np.uint8), bitorder="little", count=n)
    return np.flatnonzero(flags == 0).astype(np.uint32)


def all_but(rows: NDArray[np.uint32], n: int) -> Bitset | None:
    """A bit for each of n rows, set but of these; None if all are set."""
    if not len(rows):
        return None
    flags = np.zeros(-(-n // 64) * 64, np.bool_)
    flags[:n] = True
    flags[rows] = False
    return _packed(flags)


def only(rows: NDArray[np.uint32], n: int) -> Bitset | None:
    """A bit for each of n rows, set of these; None if all are set."""
    if len(rows) == n:
        return None
    flags = np.zeros(-(-n // 64) * 64, np.bool_)
    flags[rows] = True
    return _packed(flags)


def _packed(flags: NDArray[np.bool_]) -> Bitset:
    return np.packbits(flags, bitorder="little").view(np.uint64)
