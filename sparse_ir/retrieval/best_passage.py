"""The exact ranking by best passages, from a ranking by upper bounds.

The index scores a long document by the greatest weight of each term in any passage, which is never
less than what its best passage scores. So the documents found are scored anew, best bound first,
until the k-th of them is above every bound that is left: the result is what scoring every passage
of every document would give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sparse_ir.hits import Hits
from sparse_ir.index.passages import StoredPassage
from sparse_ir.index.reader import Index

Vectors = tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]
Search = Callable[[Vectors, int], Hits]


def search_by_best_passage(index: Index, queries: Vectors, k: int, search: Search) -> Hits:
    """The k best documents of each query, a long one scored as its best passage.

    Args:
        index: Where the passages are.
        queries: indptr, terms, weights of the query vectors.
        k: Hits wanted a query, >= 1.
        search: Finds so many documents by their bounds.
    """
    n_queries = len(queries[0]) - 1
    docs = np.full((n_queries, k), -1, np.int64)
    scores = np.zeros((n_queries, k), np.float32)
    passages = np.full((n_queries, k), -1, np.int32)
    counts = np.zeros(n_queries, np.int32)
    open_queries, depth = list(range(n_queries)), 2 * k + 8
    found = search(queries, depth)
    while open_queries:
        stored = index.passages(np.unique(found.docs[found.docs >= 0]).tolist())
        unsettled = []
        for at, query in enumerate(open_queries):
            n = int(found.counts[at])
            query_of = LearnedQuery(queries, query, index.n_terms)
            ranked = _rescored(found.docs[at, :n], found.scores[at, :n], stored, query_of)
            is_settled = n < depth or (len(ranked) >= k and ranked[k - 1][0] > found.scores[at, -1])
            if not is_settled:
                unsettled.append(query)
                continue
            counts[query] = len(ranked[:k])
            for rank, (score, doc, passage) in enumerate(ranked[:k]):
                docs[query, rank], scores[query, rank], passages[query, rank] = doc, score, passage
        open_queries, depth = unsettled, 2 * depth
        if open_queries:
            found = search(_rows(queries, open_queries), depth)
    return Hits(docs, scores, counts, found.lookup, passages)


def best_passage(passages: Sequence[StoredPassage], query: LearnedQuery) -> tuple[int, float]:
    """The number of the passage that matches best, and how far the bound is above its score."""
    scores = [query.score(one.terms, one.weights) for one in passages]
    terms = np.concatenate([one.terms for one in passages])
    weights = np.concatenate([one.weights for one in passages])
    order = np.lexsort((weights, terms))
    last = np.flatnonzero(np.diff(terms[order], append=-1))  # a term's greatest weight
    bound = query.score(terms[order][last], weights[order][last])
    number = int(np.argmax(scores))
    return number, max(bound - scores[number], 0.0)


class LearnedQuery:
    """The learned part of one query vector, for looking up."""

    def __init__(self, queries: Vectors, row: int, n_terms: int) -> None:
        indptr, terms, weights = queries
        part = slice(int(indptr[row]), int(indptr[row + 1]))
        learned = terms[part] < n_terms
        self._terms = terms[part][learned].astype(np.int64)
        self._weights = weights[part][learned].astype(np.float64)

    def score(self, terms: NDArray[np.uint32], weights: NDArray[np.float32]) -> float:
        """The dot product with ascending terms."""
        if not len(terms) or not len(self._terms):
            return 0.0
        at = np.minimum(np.searchsorted(terms, self._terms), len(terms) - 1)
        return float(self._weights @ np.where(terms[at] == self._terms, weights[at], 0))


def _rescored(
    docs: NDArray[np.int64],
    bounds: NDArray[np.float32],
    stored: dict[int, list[StoredPassage]],
    query: LearnedQuery,
) -> list[tuple[float, int, int]]:
    """(score, doc, passage or -1), best first, ties by lower doc."""
    rows = []
    for doc, bound in zip(docs.tolist(), bounds, strict=True):
        number, gap = best_passage(stored[doc], query) if doc in stored else (-1, 0.0)
        rows.append((float(np.float32(float(bound) - gap)), doc, number))
    return sorted(rows, key=lambda row: (-row[0], row[1]))


def _rows(queries: Vectors, wanted: Sequence[int]) -> Vectors:
    indptr, terms, weights = queries
    if len(wanted) == len(indptr) - 1:
        return queries
    parts = [slice(int(indptr[row]), int(indptr[row + 1])) for row in wanted]
    sizes = [part.stop - part.start for part in parts]
    return (
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        np.concatenate([terms[part] for part in parts]),
        np.concatenate([weights[part] for part in parts]),
    )
