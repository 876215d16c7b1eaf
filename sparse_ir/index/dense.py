"""DenseIndex: the dense half of an opened index, searched for the nearest vectors by cosine.

Every score that leaves here is exact: the product with the stored float16 vector, of the best
passage where a document has several. A segment with codes (see ``faiss_codes``) is asked by these
for candidates, whose vectors are then read and multiplied; one without is read whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import IndexFormatError, InvalidInputError
from sparse_ir.hits import Hits
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.dense_segment import DenseSegment, holds
from sparse_ir.index.faiss_codes import Codes
from sparse_ir.index.filters import Filter
from sparse_ir.index.selector import Mask, Selector
from sparse_ir.vectors import unit

Vectors = NDArray[np.float32]

_CHUNK = 2**13  # rows read, widened to float32 and multiplied at a time
_OVERSAMPLING = 3  # rows that codes give for each document wanted, to be verified
_LEAST_VERIFIED = 100
_QUERIES = 64  # scanned together: bounds the memory of their scores


@dataclass(frozen=True, slots=True)
class Scored:
    """Documents of one query with their exact scores, in no order.

    Args:
        docs: (n,) int64 doc numbers.
        scores: (n,) float32 cosines of the best passages.
        passages: (n,) int32 which passage that is; -1 of documents that are one.
        n_vectors: Vectors read for it.
    """

    docs: NDArray[np.int64]
    scores: NDArray[np.float32]
    passages: NDArray[np.int32]
    n_vectors: int

    def best(self, k: int) -> NDArray[np.int64]:
        """Positions of the k best, best first, ties by lower doc number."""
        if len(self.docs) > k:
            worst = np.partition(self.scores, len(self.docs) - k)[len(self.docs) - k]
            candidates = np.flatnonzero(self.scores >= worst)
        else:
            candidates = np.arange(len(self.docs))
        order = np.lexsort((self.docs[candidates], -self.scores[candidates]))
        return candidates[order][:k]


@dataclass(frozen=True)
class DenseHits(Hits):
    """Hits by cosine.

    Args:
        n_vectors: (Q,) int64, vectors read to find them.
    """

    n_vectors: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


class DenseIndex:
    """The vectors of an opened index; safe to share between threads.

    Args:
        catalog: Of the index.
        selector: Says which rows may be hits.
        segments: Oldest first.
        codes: Those of each segment, None where there are none.
        dimension: Of the vectors.
        is_snapshot: Else the catalog is a writer's, which may change it.
    """

    def __init__(
        self,
        catalog: Catalog,
        selector: Selector,
        segments: Sequence[DenseSegment],
        codes: Sequence[Codes | None],
        dimension: int,
        *,
        is_snapshot: bool = True,
    ) -> None:
        self._catalog, self._selector = catalog, selector
        self._is_snapshot, self._is_closed = is_snapshot, False
        self._segments = list(segments)
        self._codes = list(codes)
        self.dimension = dimension

    @property
    def n_vectors(self) -> int:
        """Rows of all segments, those of deleted documents included."""
        return sum(map(len, self._segments))

    @property
    def n_bytes(self) -> int:
        """Of the float16 vectors on the disk."""
        return sum(one.n_bytes for one in self._segments)

    @property
    def memory_bytes(self) -> int:
        """Of the codes, which are held in memory."""
        return sum(one.n_bytes for one in self._codes if one is not None)

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        filter: Filter | None = None,
    ) -> DenseHits:
        """The k documents nearest to each query.

        Args:
            queries: (Q, dimension) vectors; their lengths do not count.
            k: Hits wanted a query, >= 1; where fewer can be found, ``Hits`` are narrower.
            filter: Only documents whose metadata match.

        Raises:
            InvalidInputError: another dimension, NaN in a query, k < 1, an unknown field, or the
                index is closed.
        """
        self._require_open()
        if k < 1:
            raise InvalidInputError(f"k is {k}; want an integer >= 1")
        queries = self._checked(queries)
        while True:
            hits = self._search(queries, k, filter)
            if self._is_snapshot:
                return hits
            if lookup := self._catalog.looked_up(hits.docs):
                return replace(hits, lookup=lookup)

    def _search(self, queries: Vectors, k: int, filter: Filter | None) -> DenseHits:
        k = min(k, max(self._selector.n_docs, 1))
        allowed = self._selector.select(filter).masks
        docs = np.full((len(queries), k), -1, np.int64)
        scores = np.zeros((len(queries), k), np.float32)
        passages = np.full((len(queries), k), -1, np.int32)
        counts = np.zeros(len(queries), np.int32)
        n_vectors = np.zeros(len(queries), np.int64)
        parts = (queries[at : at + _QUERIES] for at in range(0, len(queries), _QUERIES))
        nearest = chain.from_iterable(self._nearest(part, k, allowed) for part in parts)
        for row, found in enumerate(nearest):
            best = found.best(k)
            counts[row], n_vectors[row] = len(best), found.n_vectors
            docs[row, : len(best)] = found.docs[best]
            scores[row, : len(best)] = found.scores[best]
            passages[row, : len(best)] = found.passages[best]
        return DenseHits(docs, scores, counts, self._catalog.doc_ids, passages, n_vectors)

    def scores(self, query: Vectors, docs: NDArray[np.int64]) -> Scored:
        """The exact scores of documents, whose vectors are read for it.

        Args:
            query: (dimension,) vector; its length does not count.
            docs: (n,) doc numbers, ascending.

        Returns:
            Those of these documents that are here, ascending.
        """
        self._require_open()
        query = self._checked(query[None])[0]
        parts = [
            _exact(segment, rows, query)
            for segment in self._segments
            if len(rows := _rows_of(segment, docs.astype(np.uint64)))
        ]
        return _joined(parts)

    def info(self) -> dict[str, int]:
        """Counts and sizes."""
        return {
            "vectors": self.n_vectors,
            "dimension": self.dimension,
            "vector_bytes": self.n_bytes,
            "code_bytes": self.memory_bytes,
        }

    def verify(self, path: Path) -> None:
        """Every vector was read and found good, and each living document has as many as passages.

        Args:
            path: Folder of the index.

        Raises:
            IndexFormatError: says what is wrong.
        """
        for segment in self._segments:
            if segment.path is not None:
                segment.verify()
        held = np.concatenate([np.empty(0, np.uint64), *(one.docs for one in self._segments)])
        docs, counts = np.unique(held, return_counts=True)
        known = self._catalog.matching("1", [])
        if not holds(docs, known).all():
            raise IndexFormatError(f"{path}: documents have no vector; build the index anew")
        count_of = dict(zip(docs.tolist(), counts.tolist(), strict=True))
        for doc, n_passages in self._catalog.passage_counts():
            if count_of.get(doc) != n_passages:
                raise IndexFormatError(
                    f"{path}: document number {doc} has {n_passages} passages and "
                    f"{count_of.get(doc)} vectors; build the index anew"
                )

    def close(self) -> None:
        """The files are given up."""
        self._is_closed = True
        self._segments.clear()
        self._codes.clear()

    def _require_open(self) -> None:
        if self._is_closed or self._catalog.is_closed:
            raise self._catalog.closed()

    # searching

    def _nearest(self, queries: Vectors, k: int, allowed: Sequence[Mask | None]) -> list[Scored]:
        by_segment = [
            _scan(segment, mask, queries, k)
            if codes is None
            else _ask(segment, codes, mask, queries, k)
            for segment, codes, mask in zip(self._segments, self._codes, allowed, strict=True)
            if len(segment) and (mask is None or mask.any())
        ]
        return [_joined([one[row] for one in by_segment]) for row in range(len(queries))]

    def _checked(self, queries: Vectors) -> Vectors:
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise InvalidInputError(
                f"queries of shape {queries.shape} came; the index wants {self.dimension} "
                "dimensions: use the dense model that it was built with"
            )
        if not np.isfinite(queries).all():
            raise InvalidInputError("a query's vector holds NaN or infinity; want finite numbers")
        return unit(queries)


def _scan(segment: DenseSegment, allowed: Mask | None, queries: Vectors, k: int) -> list[Scored]:
    """The k best of each query and more, all vectors that are allowed read in turn."""
    rows = np.arange(len(segment)) if allowed is None else np.flatnonzero(allowed)
    scores = np.empty((len(queries), len(rows)), np.float32)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        chosen = part if allowed is None else rows[part]  # a slice is not copied
        scores[:, part] = _products(queries, segment.vectors[chosen])
    docs = segment.docs[rows]
    starts = _starts(docs)
    greatest = scores
    if len(starts) < len(rows):
        greatest = np.maximum.reduceat(scores, starts, axis=1)
    at = max(len(starts) - k, 0)
    result = []
    for row, of_docs in enumerate(greatest):
        kept = np.flatnonzero(of_docs >= np.partition(of_docs, at)[at])  # ties are kept, all
        passages = _best_rows(scores[row], starts, kept)
        found = docs[starts[kept]].astype(np.int64)
        result.append(Scored(found, of_docs[kept], passages, len(rows)))
    return result


def _ask(
    segment: DenseSegment, codes: Codes, allowed: Mask | None, queries: Vectors, k: int
) -> list[Scored]:
    """What the codes find, verified: all passages of each document found are read.

    Codes that give fewer rows than they were asked for, or rows of fewer than k documents, are
    asked for twice as many, until it is cheaper to read all rows that are allowed.
    """
    n_allowed = len(segment) if allowed is None else int(np.count_nonzero(allowed))
    n_rows = max(_OVERSAMPLING * k, _LEAST_VERIFIED)
    unsettled, settled = list(range(len(queries))), dict[int, Scored]()
    while unsettled and codes.is_cheaper(n_rows, n_allowed):
        found = codes.search(queries[unsettled], n_rows, allowed)
        for query, rows in zip(unsettled, found, strict=True):
            docs = np.unique(segment.docs[rows])
            if len(rows) == n_rows and len(docs) >= k:
                settled[query] = _exact(segment, _rows_of(segment, docs), queries[query])
        unsettled = [query for query in unsettled if query not in settled]
        n_rows *= 2
    if unsettled:
        scanned = _scan(segment, allowed, queries[unsettled], k)
        settled.update(zip(unsettled, scanned, strict=True))
    return [settled[query] for query in range(len(queries))]


def _exact(segment: DenseSegment, rows: NDArray[np.int64], query: Vectors) -> Scored:
    """The scores of documents, of which ``rows`` (one or more) are all the rows, ascending."""
    docs = segment.docs[rows]
    scores = _products(query[None], segment.vectors[rows])[0]
    starts = _starts(docs)
    greatest = np.maximum.reduceat(scores, starts)
    passages = _best_rows(scores, starts, np.arange(len(starts)))
    return Scored(docs[starts].astype(np.int64), greatest, passages, len(rows))


def _starts(docs: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The first row of each document, given that of each row (one or more), ascending."""
    return np.flatnonzero(np.r_[True, docs[1:] != docs[:-1]])


def _products(queries: Vectors, vectors: NDArray[np.float16]) -> Vectors:
    """(Q, n) inner products.

    One query goes without BLAS, whose waiting threads would slow the network that encodes the next
    query fourfold.
    """
    rows = vectors.astype(np.float32)
    products: Vectors = (
        np.einsum("qd,nd->qn", queries, rows) if len(queries) == 1 else queries @ rows.T
    )
    return products


def _best_rows(
    scores: NDArray[np.float32], starts: NDArray[np.int64], wanted: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Which row of its own is the best of each wanted document, from 0; -1 if it has only one."""
    ends = np.append(starts[1:], len(scores))
    best = np.full(len(wanted), -1, np.int32)
    for at in np.flatnonzero(ends[wanted] - starts[wanted] > 1).tolist():
        best[at] = scores[starts[wanted[at]] : ends[wanted[at]]].argmax()
    return best


def _rows_of(segment: DenseSegment, docs: NDArray[np.uint64]) -> NDArray[np.int64]:
    """All rows of these documents (ascending), ascending."""
    firsts = np.searchsorted(segment.docs, docs)
    counts = np.searchsorted(segment.docs, docs, "right") - firsts
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows: NDArray[np.int64] = np.repeat(firsts, counts) + within
    return rows


def _joined(parts: Sequence[Scored]) -> Scored:
    if len(parts) == 1:
        return parts[0]
    return Scored(
        np.concatenate([np.empty(0, np.int64), *(one.docs for one in parts)]),
        np.concatenate([np.empty(0, np.float32), *(one.scores for one in parts)]),
        np.concatenate([np.empty(0, np.int32), *(one.passages for one in parts)]),
        sum(one.n_vectors for one in parts),
    )
