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
from sparse_ir.index.reader import Index
from sparse_ir.retrieval.query_vectors import QueryArrays

Search = Callable[[QueryArrays, int], Hits]

_MORE = 6  # documents looked at beside the k wanted: most queries need no second search


def search_by_best_passage(index: Index, queries: QueryArrays, k: int, search: Search) -> Hits:
    """The k best documents of each query, a long one scored as its best passage.

    Args:
        index: Where the passages are.
        queries: Their vectors, as ``QueryVectors.arrays`` gives them.
        k: Hits wanted a query, >= 1.
        search: Finds so many documents by their bounds.
    """
    n_queries = len(queries[0]) - 1
    docs = np.full((n_queries, k), -1, np.int64)
    scores = np.zeros((n_queries, k), np.float32)
    passages = np.full((n_queries, k), -1, np.int32)
    counts = np.zeros(n_queries, np.int32)
    open_queries, depth = list(range(n_queries)), k + max(k // 2, _MORE)
    found = search(queries, depth)
    lookups = [found.lookup]  # a writer's index knows in each only what that search found
    while open_queries:
        unsettled = []
        for at, query in enumerate(open_queries):
            n = int(found.counts[at])
            ranked, exact, numbers = index.rank_by_best_passage(
                found.docs[at, :n],
                found.scores[at, :n],
                *learned_part(queries, query, index.n_terms),
            )
            if n == depth and exact[k - 1] <= found.scores[at, -1]:
                unsettled.append(query)
                continue
            counts[query] = n = min(n, k)
            docs[query, :n], scores[query, :n] = ranked[:n], exact[:n]
            passages[query, :n] = numbers[:n]
        open_queries, depth = unsettled, 2 * depth
        if open_queries:
            found = search(_rows(queries, open_queries), depth)
            lookups.append(found.lookup)

    def lookup(docs: list[int]) -> dict[int, str]:
        names: dict[int, str] = {}
        for one in lookups:
            names |= one([doc for doc in docs if doc not in names])
        return names

    return Hits(docs, scores, counts, lookup, passages)


def learned_part(
    queries: QueryArrays, row: int, n_terms: int
) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """The learned terms of one query vector, and their weights."""
    indptr, terms, weights = queries
    start, stop = int(indptr[row]), int(indptr[row + 1])
    stop = start + int(np.searchsorted(terms[start:stop], n_terms))
    return terms[start:stop], weights[start:stop]


def _rows(queries: QueryArrays, wanted: Sequence[int]) -> QueryArrays:
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
