"""Which rows of which segments may be hits: the living documents, and those that a filter names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_ir.index.bitsets import Bitset, DocRows, all_but, only
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.dense_segment import DenseSegment, holds
from sparse_ir.index.filters import Filter, compile_filter

Mask = NDArray[np.bool_]

_KEPT_FILTERS = 32  # whose rows, a bit a document and a byte a vector, are kept


@dataclass(frozen=True, slots=True)
class Selected:
    """The rows that may be hits, one segment after another; None where every row may.

    Args:
        bits: A bit a row of the postings.
        masks: (n_rows,) a flag a row of the vectors; empty without a dense part.
    """

    bits: list[Bitset | None]
    masks: list[Mask | None]


class Selector:
    """Selects the rows of an opened index; safe to share between threads.

    What a filter names is kept until documents of the catalog go or change, so that a filter that
    comes again costs nothing.

    Args:
        catalog: Of the index.
        rows: Those of each segment's postings.
        halves: The vectors of each segment, in an index with a dense part.
    """

    def __init__(
        self, catalog: Catalog, rows: Sequence[DocRows], halves: Sequence[DenseSegment] = ()
    ) -> None:
        self._catalog = catalog
        self._rows, self._halves = list(rows), list(halves)
        self._deleted = np.array(catalog.deletions(), np.uint64)
        self._living = self._find_living()
        # Not of a method: the cycle would keep a closed index until the garbage collector comes.
        find = partial(_find_named, catalog, self._rows, self._halves)
        self._named = lru_cache(maxsize=_KEPT_FILTERS)(find)

    def select(self, filter: Filter | None = None) -> Selected:
        """The rows of the living documents, or of those whose metadata match.

        Raises:
            InvalidInputError: not a filter, or an unknown field.
        """
        if filter is None:
            return self._living
        condition, values = compile_filter(filter, self._catalog.fields())
        return self._named(self._catalog.n_changes, condition, tuple(values))

    @property
    def n_docs(self) -> int:
        """Documents of all segments, deleted ones included: no search finds more."""
        return sum(map(len, self._rows))

    def forget(self, docs: Sequence[int]) -> None:
        """These documents are deleted too."""
        self._deleted = np.union1d(self._deleted, np.array(docs, np.uint64))
        self._living = self._find_living()  # new arrays: a search may be reading the old ones

    def release(self) -> None:
        """Nothing of the segments is held any more."""
        self._named.cache_clear()
        self._rows.clear()
        self._halves.clear()
        self._living = Selected([], [])

    def _find_living(self) -> Selected:
        deleted = self._deleted
        bits = [all_but(rows.find(deleted), len(rows)) for rows in self._rows]
        masks = [~holds(deleted, one.docs) if len(deleted) else None for one in self._halves]
        return Selected(bits, masks)


def _find_named(
    catalog: Catalog,
    segments: Sequence[DocRows],
    halves: Sequence[DenseSegment],
    _: int,
    condition: str,
    values: tuple[Any, ...],
) -> Selected:
    named = catalog.matching(condition, values)
    bits = [only(rows.find(named), len(rows)) for rows in segments]
    return Selected(bits, [holds(named, one.docs) for one in halves])
