"""The retrievers that ``eval`` and ``run`` know by name: what they rank, and what that costs.

A new one is a class here with the methods of ``System``, and a line in ``SYSTEMS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Protocol

import numpy as np

from sparse_ir.errors import InvalidInputError
from sparse_ir.evaluation.flops import expected_flops
from sparse_ir.hits import Hit
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.query_vectors import Mode
from sparse_ir.retrieval.retriever import Retriever, SparseRetriever, checked_k
from sparse_ir.retrieval.tantivy_bm25 import TantivyBM25

Ranking = dict[str, float]  # doc_id -> score


@dataclass(frozen=True, slots=True)
class Cost:
    """What a system needs.

    Args:
        index_bytes: Size of its postings on disk; the three modes of one index share theirs.
        terms_a_document: Mean number of different terms.
        terms_a_query: The same of the queries.
        flops: Multiplications that a random pair of query and document needs, on average: the
            expected number of common terms, ``sum_j P(q_j > 0) P(d_j > 0)``.
    """

    index_bytes: int
    terms_a_document: float
    terms_a_query: float
    flops: float


class System(Retriever, Protocol):
    """A retriever that can be measured."""

    def rank(self, queries: Sequence[str], k: int, *, threads: int = 1) -> list[Ranking]:
        """As ``search``, without the documents' texts."""
        ...

    def cost(self, queries: Sequence[str]) -> Cost:
        """What answering these queries costs."""
        ...


class SparseSystem:
    """One mode of our own index."""

    def __init__(self, retriever: SparseRetriever, mode: Mode) -> None:
        self._retriever = retriever
        self._mode: Mode = mode

    def search(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """The k best documents of each query, best first."""
        return self._retriever.search(queries, k, mode=self._mode)

    def rank(self, queries: Sequence[str], k: int, *, threads: int = 1) -> list[Ranking]:
        """As ``search``, without the documents' texts."""
        hits = self._retriever.search_arrays(queries, k, mode=self._mode, threads=threads)
        return hits.rankings()

    def cost(self, queries: Sequence[str]) -> Cost:
        """From the query vectors and the document frequencies of the mode's blocks."""
        index = self._retriever.index
        last = index.n_terms + (index.n_words if self._mode != "learned" else 0)
        frequencies = index.document_frequencies(np.arange(last, dtype=np.uint32))
        if self._mode == "lexical":
            frequencies[: index.n_terms] = 0
        vectors = self._retriever.query_vectors(queries, self._mode)
        return Cost(
            index_bytes=index.info()["segment_bytes"],
            terms_a_document=float(frequencies.sum() / max(len(index), 1)),
            terms_a_query=vectors.nnz / max(len(queries), 1),
            flops=expected_flops(vectors, frequencies, len(index)),
        )


class TantivySystem:
    """BM25 by tantivy."""

    def __init__(self, retriever: TantivyBM25) -> None:
        self._retriever = retriever

    def search(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """The k best documents of each query, best first."""
        return self._retriever.search(queries, checked_k(k, len(self._retriever)))

    def rank(self, queries: Sequence[str], k: int, *, threads: int = 1) -> list[Ranking]:
        """As ``search``; on one thread whatever ``threads`` is."""
        hits = self.search(queries, k)
        return [{hit.doc_id: hit.score for hit in of_query} for of_query in hits]

    def cost(self, queries: Sequence[str]) -> Cost:
        """From the analysed queries and tantivy's document frequencies."""
        words = [set(self._retriever.words(query)) for query in queries]
        common = sum(self._retriever.document_frequency(word) for one in words for word in one)
        n_docs, n_queries = max(len(self._retriever), 1), max(len(queries), 1)
        return Cost(
            index_bytes=self._retriever.n_bytes(),
            terms_a_document=self._retriever.terms_a_document,
            terms_a_query=sum(map(len, words)) / n_queries,
            flops=common / n_docs / n_queries,
        )


class DenseSystem:
    """The dense part of our own index."""

    def __init__(self, retriever: HybridRetriever) -> None:
        self._retriever = retriever
        self._dense = retriever.index.dense

    def search(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """The k best documents of each query, best first."""
        return self._retriever.search(queries, k, mode="dense")

    def rank(self, queries: Sequence[str], k: int, *, threads: int = 1) -> list[Ranking]:
        """As ``search``, without the documents' texts; threads are the query encoder's."""
        return self._retriever.search_arrays(queries, k, mode="dense").rankings()

    def cost(self, queries: Sequence[str]) -> Cost:
        """Every dimension of every vector is a term that all share."""
        n_docs = max(len(self._retriever.index), 1)
        numbers = self._dense.n_vectors * self._dense.dimension
        return Cost(
            index_bytes=self._dense.n_bytes + self._dense.memory_bytes,
            terms_a_document=numbers / n_docs,
            terms_a_query=self._dense.dimension,
            flops=numbers / n_docs,
        )


class HybridSystem:
    """A sparse mode of our own index, fused with its dense part."""

    def __init__(self, retriever: HybridRetriever, mode: Mode) -> None:
        self._retriever = retriever
        self._mode: Mode = mode
        self._legs = (SparseSystem(retriever.sparse, mode), DenseSystem(retriever))

    def search(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """The k best documents of each query, best first."""
        return self._retriever.search(queries, k, sparse_mode=self._mode)

    def rank(self, queries: Sequence[str], k: int, *, threads: int = 1) -> list[Ranking]:
        """As ``search``, without the documents' texts."""
        fused = self._retriever.search_fused(queries, k, sparse_mode=self._mode, threads=threads)
        return fused.hits.rankings()

    def cost(self, queries: Sequence[str]) -> Cost:
        """That of both legs together."""
        costs = [leg.cost(queries) for leg in self._legs]
        return Cost(*(sum(values) for values in zip(*map(astuple, costs), strict=True)))


SYSTEMS: dict[str, Callable[[CachedIndexes], System]] = {
    "anchored": lambda indexes: SparseSystem(indexes.sparse, "anchored"),
    "learned": lambda indexes: SparseSystem(indexes.sparse, "learned"),
    "lexical": lambda indexes: SparseSystem(indexes.sparse, "lexical"),
    "bm25": lambda indexes: TantivySystem(indexes.bm25),
    "dense": lambda indexes: DenseSystem(indexes.hybrid),
    "hybrid": lambda indexes: HybridSystem(indexes.hybrid, "anchored"),
    "bm25+dense": lambda indexes: HybridSystem(indexes.hybrid, "lexical"),
}


def require_known(names: Sequence[str]) -> None:
    """Returns if each is a retriever's name, and comes once.

    Raises:
        InvalidInputError: one is not.
    """
    for name in names:
        if name not in SYSTEMS:
            raise InvalidInputError(f"retriever is {name!r}; want {', '.join(SYSTEMS)}")
    if len(set(names)) != len(names) or not names:
        raise InvalidInputError(f"retrievers are {', '.join(names) or 'none'}; want each once")
