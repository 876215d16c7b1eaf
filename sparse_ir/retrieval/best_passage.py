"""The exact ranking by best passages, from a ranking by upper bounds.

The index scores a long document by the greatest weight of each term in any passage, which is never
less than what its best passage scores. So the documents found are scored anew, best bound first,
until the k-th of them is above every bound that is left: the result is what scoring every passage
of every document would give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import IndexFormatError
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
            best = best_passages(
                {doc: stored[doc] for doc in found.docs[at, :n].tolist() if doc in stored},
                learned_weights(queries, query, index.n_terms),
            )
            ranked = _rescored(found.docs[at, :n], found.scores[at, :n], best)
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


def learned_weights(queries: Vectors, row: int, n_terms: int) -> NDArray[np.float64]:
    """(n_terms,) the learned part of one query vector, laid out by term."""
    indptr, terms, weights = queries
    part = slice(int(indptr[row]), int(indptr[row + 1]))
    learned = terms[part] < n_terms
    laid_out = np.zeros(n_terms)
    laid_out[terms[part][learned]] = weights[part][learned]
    return laid_out


def best_passages(
    stored: Mapping[int, Sequence[StoredPassage]], query: NDArray[np.float64]
) -> dict[int, tuple[int, float]]:
    """doc -> the number of its passage that matches best, and how far the bound is above its score.

    Args:
        stored: doc -> its passages.
        query: As ``learned_weights`` gives it.

    Raises:
        IndexFormatError: a passage names a term that does not exist.
    """
    if not stored:
        return {}
    passages = [one for several in stored.values() for one in several]
    terms = np.concatenate([one.terms for one in passages])
    if terms.max(initial=0) >= len(query):
        raise IndexFormatError(
            f"a passage holds term {terms.max()} of {len(query)}; verify the index"
        )
    matching = np.flatnonzero(query[terms])
    terms = terms[matching]
    products = query[terms] * np.concatenate([one.weights for one in passages])[matching]
    passage = np.repeat(np.arange(len(passages)), [len(one.terms) for one in passages])[matching]
    scores = np.bincount(passage, products, len(passages))
    counts = [len(several) for several in stored.values()]
    owner = np.repeat(np.arange(len(stored)), counts)[passage]
    bounds = _sums_of_greatest(owner, terms, products, len(stored))
    firsts = np.cumsum([0, *counts[:-1]]).tolist()
    best = [int(scores[f : f + n].argmax()) for f, n in zip(firsts, counts, strict=True)]
    gaps = bounds - scores[np.add(firsts, best)]
    return dict(zip(stored, zip(best, np.maximum(gaps, 0).tolist(), strict=True), strict=True))


def _sums_of_greatest(
    owner: NDArray[np.int64], terms: NDArray[np.uint32], products: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """(n,) of each owner the sum over terms of the term's greatest product."""
    order = np.lexsort((products, terms, owner))
    owner, terms, products = owner[order], terms[order], products[order]
    is_last = np.append((terms[1:] != terms[:-1]) | (owner[1:] != owner[:-1]), True)[: len(terms)]
    sums: NDArray[np.float64] = np.bincount(owner[is_last], products[is_last], n).astype(np.float64)
    return sums


def _rescored(
    docs: NDArray[np.int64], bounds: NDArray[np.float32], best: Mapping[int, tuple[int, float]]
) -> list[tuple[float, int, int]]:
    """(score, doc, passage or -1), best first, ties by lower doc."""
    rows = []
    for doc, bound in zip(docs.tolist(), bounds.tolist(), strict=True):
        number, gap = best.get(doc, (-1, 0.0))
        rows.append((float(np.float32(bound - gap)), doc, number))
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
