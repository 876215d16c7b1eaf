"""Joins segments: drops the deleted documents, and brings BM25 to the present average length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparse_ir import _native
from sparse_ir.index import bm25
from sparse_ir.index.bitsets import DocRows
from sparse_ir.index.params import BuildParams

_CHUNK = 8192  # documents read from a segment at a time

Rows = tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]
"""Stored documents: (n,) numbers, ascending, (n + 1,) indptr, (nnz,) terms and weights."""


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
        """The rows' weights with the lexical ones rewritten."""
        lexical = terms >= self.first_word
        if self.k1 == 0 or not lexical.any():
            return weights
        lengths = np.repeat(self.n_words_of(docs), np.diff(indptr))[lexical]
        old, new = self.old_average, self.new_average
        counts = bm25.term_frequencies(
            weights[lexical], lengths, average_length=old, k1=self.k1, b=self.b
        )
        result: NDArray[np.float32] = weights.copy()
        result[lexical] = bm25.document_weights(
            counts, lengths, average_length=new, k1=self.k1, b=self.b
        )
        return result


@dataclass(frozen=True, slots=True)
class Merged:
    """Segments joined into one.

    Args:
        builder: Holds the living documents, ready to be written.
        gone: Numbers of the deleted documents that were left out, ascending.
    """

    builder: _native.SegmentBuilder
    gone: NDArray[np.uint64]


def merge(
    segments: Sequence[_native.Segment],
    deleted: NDArray[np.uint64],
    params: BuildParams,
    reweighting: Reweighting | None,
    change: Callable[[Rows], Iterable[Rows]] = lambda rows: [rows],
) -> Merged:
    """The living documents of the segments as one.

    Args:
        segments: In the order of their doc numbers.
        deleted: Deleted doc numbers, ascending.
        params: How to build.
        reweighting: How to rewrite lexical weights; None leaves them.
        change: What else becomes of the rows; their documents stay.
    """
    builder = _native.SegmentBuilder(params.precision, params.n_threads)
    gone = [np.empty(0, np.uint64)]
    builder.reserve(sum(s.n_docs for s in segments), sum(s.n_postings for s in segments))
    for segment in segments:
        numbers = segment.doc_numbers
        dead = DocRows.of(segment).find(deleted)
        gone.append(np.sort(numbers[dead]))
        for docs, indptr, terms, stored in _rows(segment, dead):
            weights = stored
            if reweighting is not None:
                weights = reweighting.apply(docs, indptr, terms, stored)
            for rows in change((docs, indptr, terms, weights)):
                builder.add(*rows)
    return Merged(builder, np.concatenate(gone))


def _rows(segment: _native.Segment, left_out: NDArray[np.uint32]) -> Iterator[Rows]:
    numbers = segment.doc_numbers
    is_wanted = np.ones(len(numbers), np.bool_)
    is_wanted[left_out] = False
    wanted = np.flatnonzero(is_wanted).astype(np.uint32)
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        yield numbers[chunk], *segment.rows(chunk)


def split(rows: Rows, first: int) -> tuple[Rows, Rows]:
    """The rows of the documents numbered below ``first``, and those of the others."""
    docs, indptr, terms, weights = rows
    at = int(np.searchsorted(docs, first))
    n = int(indptr[at])
    return (
        (docs[:at], indptr[: at + 1], terms[:n], weights[:n]),
        (docs[at:], indptr[at:] - n, terms[n:], weights[n:]),
    )
