"""Which rows of which segments may be hits: the living documents, and those that a filter names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_ir import _native
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.filters import Filter, compile_filter

Bitset = NDArray[np.uint64]

_KEPT_FILTERS = 32  # whose bitsets, a bit a document, are kept


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


class Bitsets:
    """A bit a row of each segment, set for what may be a hit; None where every row may.

    What a filter allows is kept until documents of the catalog go or change, so that a filter that
    comes again costs nothing.
    """

    def __init__(self, catalog: Catalog, rows: Sequence[DocRows]) -> None:
        self._catalog = catalog
        self._rows = rows
        self._deleted = np.array(catalog.deletions(), np.uint64)
        self._living = self._find_living()
        # Not of a method: the cycle would keep a closed index until the garbage collector comes.
        self._matching = lru_cache(maxsize=_KEPT_FILTERS)(partial(_find_matching, catalog, rows))

    def release(self) -> None:
        """Nothing of the segments is held any more."""
        self._matching.cache_clear()
        self._rows, self._living = [], []

    def living(self) -> list[Bitset | None]:
        """Of the documents that are not deleted."""
        return self._living

    def forget(self, docs: Sequence[int]) -> None:
        """These documents are deleted too."""
        self._deleted = np.union1d(self._deleted, np.array(docs, np.uint64))
        self._living = self._find_living()  # new arrays: a search may be reading the old ones

    def allowed(self, filter: Filter) -> list[Bitset | None]:
        """Of the living documents whose metadata match.

        Raises:
            InvalidInputError: not a filter, or an unknown field.
        """
        condition, values = compile_filter(filter, self._catalog.fields())
        return self._matching(self._catalog.n_changes, condition, tuple(values))

    def _find_living(self) -> list[Bitset | None]:
        return [_all_but(rows.find(self._deleted), len(rows)) for rows in self._rows]


def _find_matching(
    catalog: Catalog, segments: Sequence[DocRows], _: int, condition: str, values: tuple[Any, ...]
) -> list[Bitset | None]:
    matching = catalog.matching(condition, values)
    return [_only(rows.find(matching), len(rows)) for rows in segments]


def cleared(bits: Bitset, n: int) -> NDArray[np.uint32]:
    """The rows of n whose bit is not set, ascending."""
    flags = np.unpackbits(bits.view(np.uint8), bitorder="little", count=n)
    return np.flatnonzero(flags == 0).astype(np.uint32)


def _all_but(rows: NDArray[np.uint32], n: int) -> Bitset | None:
    if not len(rows):
        return None
    flags = np.zeros(-(-n // 64) * 64, np.bool_)
    flags[:n] = True
    flags[rows] = False
    return _packed(flags)


def _only(rows: NDArray[np.uint32], n: int) -> Bitset | None:
    if len(rows) == n:
        return None
    flags = np.zeros(-(-n // 64) * 64, np.bool_)
    flags[rows] = True
    return _packed(flags)


def _packed(flags: NDArray[np.bool_]) -> Bitset:
    return np.packbits(flags, bitorder="little").view(np.uint64)
