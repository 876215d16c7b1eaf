"""Vectors that no file holds yet: gathered a batch a call, flushed together, searched meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparse_ir import _native
from sparse_ir.index import bm25
from sparse_ir.index.compaction import PEAK_BYTES, size_of, tail_to_merge
from sparse_ir.index.dense_segment import DenseRows, DenseSegment
from sparse_ir.index.params import BuildParams


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as they came: lexical terms still carry their counts.

    Args:
        docs: (n,) uint64 doc numbers, ascending.
        lengths: (n,) int64 words of each document.
        indptr: (n + 1,) int64.
        terms: (nnz,) uint32, ascending in a row.
        values: (nnz,) float32.
        dense: Their vectors, in an index with a dense part.
    """

    docs: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    indptr: NDArray[np.int64]
    terms: NDArray[np.uint32]
    values: NDArray[np.float32]
    dense: DenseRows | None = None

    @property
    def size(self) -> int:
        """As that of a segment; a vector counts as many postings as would take its memory."""
        vectors = self.dense.vectors.nbytes if self.dense else 0
        return size_of(len(self.docs), len(self.terms)) + vectors // PEAK_BYTES

    def weights(
        self, params: BuildParams, first_word: int, average_length: float
    ) -> NDArray[np.float32]:
        """(nnz,) what is stored: lexical counts become BM25's weights, learned weights stay."""
        lexical = self.terms >= first_word
        if not lexical.any():
            return self.values
        weights: NDArray[np.float32] = self.values.copy()
        weights[lexical] = bm25.document_weights(
            self.values[lexical],
            np.repeat(self.lengths, np.diff(self.indptr))[lexical],
            average_length=average_length,
            k1=params.k1,
            b=params.b,
        )
        return weights


@dataclass(frozen=True, slots=True)
class _Part:
    batches: list[Batch]
    segment: _native.Segment
    dense: DenseSegment | None


class Pending:
    """The batches, and segments in memory of those that were searched already."""

    def __init__(self, params: BuildParams, first_word: int) -> None:
        self._params, self._first_word = params, first_word
        self._batches: list[Batch] = []
        self._parts: list[_Part] = []
        self._average_length = 0.0
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def size(self) -> int:
        """Sum of the batches' sizes."""
        return self._size

    @property
    def mean_length(self) -> float:
        """Words a document, deleted ones included; 0 if nothing is pending."""
        n_docs = sum(len(batch.docs) for batch in self._batches)
        n_words = sum(int(batch.lengths.sum()) for batch in self._batches)
        return n_words / n_docs if n_docs else 0.0

    def add(self, batch: Batch) -> None:
        """The batch is pending; its doc numbers are greater than all before."""
        self._batches.append(batch)
        self._size += batch.size

    def take(self) -> list[Batch]:
        """All that was pending; nothing is any more."""
        batches, self._batches, self._parts, self._size = self._batches, [], [], 0
        return batches

    def segments(self, average_length: float) -> list[_native.Segment]:
        """All that is pending, as segments in memory.

        What came since the last call becomes one segment, and small neighbours are joined, so
        that many calls cost a document about as often as tiered merging does.

        Args:
            average_length: Under which BM25's weights are; under another one, all are made anew.
        """
        if average_length != self._average_length:
            self._parts, self._average_length = [], average_length
        new = self._batches[sum(len(part.batches) for part in self._parts) :]
        if new:
            self._parts.append(self._part(new))
        sizes = [size_of(part.segment.n_docs, part.segment.n_postings) for part in self._parts]
        if (start := tail_to_merge(sizes)) is not None:
            tail = self._parts[start:]
            together = [batch for part in tail for batch in part.batches]
            self._parts[start:] = [self._part(together)]
        return [part.segment for part in self._parts]

    def dense_segments(self) -> list[DenseSegment]:
        """The vectors of what ``segments`` gave, in the same order."""
        return [part.dense for part in self._parts if part.dense is not None]

    def _part(self, batches: list[Batch]) -> _Part:
        builder = build(list(batches), self._params, self._first_word, self._average_length)
        return _Part(batches, builder.segment("documents in memory"), dense_segment(batches))


def build(
    batches: list[Batch], params: BuildParams, first_word: int, average_length: float
) -> _native.SegmentBuilder:
    """A builder of the batches; the list is empty afterwards, so that none is held twice."""
    builder = _native.SegmentBuilder(params.precision, params.n_threads)
    builder.reserve(sum(len(b.docs) for b in batches), sum(len(b.terms) for b in batches))
    batches.reverse()
    while batches:
        batch = batches.pop()
        weights = batch.weights(params, first_word, average_length)
        builder.add(batch.docs, batch.indptr, batch.terms, weights)
    return builder


def dense_segment(batches: list[Batch]) -> DenseSegment | None:
    """The vectors of the batches; None if they have none."""
    parts = [(batch.docs, batch.dense) for batch in batches if batch.dense is not None]
    return DenseSegment.of(parts) if parts else None
