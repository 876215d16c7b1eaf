"""Joins segments: drops the deleted documents, and brings BM25 to the present average length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparse_ir import _native
from sparse_ir.index import bm25

_ROWS = 8192  # documents read from a segment at a time
_TIER = 8  # segments of like size that are joined, and the growth from one size to the next


@dataclass(frozen=True, slots=True)
class Reweighting:
    """Lexical weights stored under one average length, wanted under another.

    Args:
        first_word: Number of the first lexical term; learned terms lie below.
        n_words_of: doc numbers -> their lengths in words.
    """

    first_word: int
    n_words_of: Callable[[NDArray[np.uint64]], NDArray[np.int64]]
    old_average: float
    new_average: float
    k1: float
    b: float

    def apply(
        self,
        docs: NDArray[np.uint64],
        indptr: NDArray[np.int64],
        terms: NDArray[np.uint32],
        weights: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """The rows' weights with the lexical ones rewritten.

        A stored weight gives back its term frequency, a whole number: exactly where float32 is
        stored, and where float16 is, to within the precision of the weight itself.
        """
        lexical = terms >= self.first_word
        if self.k1 == 0 or not lexical.any():
            return weights
        lengths = np.repeat(self.n_words_of(docs), np.diff(indptr))[lexical]
        old = weights[lexical].astype(np.float64)
        norm = self.k1 * (1 - self.b + self.b * lengths / self.old_average)
        counts = np.maximum(np.rint(old * norm / np.maximum(self.k1 + 1 - old, 1e-9)), 1)
        result: NDArray[np.float32] = weights.copy()
        result[lexical] = bm25.document_weights(
            counts.astype(np.float32),
            lengths,
            average_length=self.new_average,
            k1=self.k1,
            b=self.b,
        )
        return result


def merge(
    segments: Sequence[_native.Segment],
    deleted: NDArray[np.uint64],
    precision: str,
    reweighting: Reweighting | None,
) -> _native.SegmentBuilder:
    """A builder that holds the living documents of the segments, ready to be written.

    Args:
        segments: In the order of their doc numbers.
        deleted: Deleted doc numbers, ascending.
        precision: Of the weights to be stored.
        reweighting: How to rewrite lexical weights; None leaves them.
    """
    builder = _native.SegmentBuilder(precision)
    for segment in segments:
        for docs, indptr, terms, stored in _living_rows(segment, deleted):
            weights = stored
            if reweighting is not None:
                weights = reweighting.apply(docs, indptr, terms, stored)
            builder.add(docs, indptr, terms, weights)
    return builder


def segments_to_merge(sizes: Sequence[int]) -> int | None:
    """Where the tail of segments begins that should become one, None if all may stay.

    Tiered: eight neighbours below a size become one of the next size, so that N documents lie in
    at most about 8 log8(N) segments, and each is rewritten about log8(N) times.
    """
    limit = _TIER**2
    while True:
        tail = len(sizes)
        while tail and sizes[tail - 1] < limit:
            tail -= 1
        if len(sizes) - tail >= _TIER:
            return tail
        if limit > max(sizes, default=0):
            return None
        limit *= _TIER


Rows = tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]


def _living_rows(segment: _native.Segment, deleted: NDArray[np.uint64]) -> Iterator[Rows]:
    numbers = segment.doc_numbers
    living = np.flatnonzero(~np.isin(numbers, deleted)).astype(np.uint32)
    for start in range(0, len(living), _ROWS):
        chunk = living[start : start + _ROWS]
        yield numbers[chunk], *segment.rows(chunk)
