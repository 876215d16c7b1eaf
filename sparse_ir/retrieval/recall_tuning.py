"""``Approximate(recall=...)`` made true: what each recall takes is learned from searches.

Queries are given, or made of the index's own documents: stretches of their texts, in every mode,
or, where there are no texts, some terms of their vectors, with stored weights and with idf.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.hits import Hits
from sparse_ir.index import bm25, recall
from sparse_ir.index.params import Approximate, Exact
from sparse_ir.index.reader import Index
from sparse_ir.index.recall import Curve, Point, RecallCurves
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.query_vectors import Mode
from sparse_ir.retrieval.retriever import SparseRetriever
from sparse_ir.vectors import TermWeights, as_term_weights

_WORDS = (1, 2, 4, 8, 16, 32)  # of texts that stand for queries
_TERMS = (1, 2, 4, 8, 16, 32, 64)  # of vectors that stand for queries
_SHARES = (0.95, 0.9, 0.87, 0.84, 0.81, 0.78, 0.75, 0.72, 0.69, 0.66, 0.63, 0.6, 0.55, 0.5, 0.4)
_LEAST_RECALL = 0.8  # smaller shares are not tried any more
_FEWEST = 30  # queries that a curve needs
_SIDE = 1.645  # standard errors below the mean: true in 95 of 100 samples
DEPTHS = (10, 100, 300)  # hits a query; the last for what a hybrid or passages ask for


def tune_recall(
    path: str | Path,
    queries: Sequence[str] | TermWeights | None = None,
    *,
    ks: Sequence[int] = DEPTHS,
    n_documents: int = 300,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda n_searches: None,
) -> RecallCurves:
    """The index at ``path`` keeps what was measured, and ``Approximate(recall=...)`` goes by it.

    Args:
        path: Folder of the index.
        queries: Texts, or (Q, n_terms) vectors, like those that will come; else they are made of
            documents. Those of fewer terms than 30 of them have, searches go on to answer exactly.
        ks: Hits a query, ascending, each >= 1.
        n_documents: From so many documents queries are made, of every length.
        seed: Chooses the documents, and what of them.
        on_progress: Told after each search how many queries it answered.

    Raises:
        InvalidInputError: no index, a bad argument, or too few queries.
        IndexLockedError: another writer has the index open.
    """
    if not ks or any(k < 1 for k in ks) or n_documents < 1:
        raise InvalidInputError(
            f"ks is {list(ks)}, n_documents is {n_documents}; want integers >= 1"
        )
    with Index.open(path) as index:
        kinds = _made(index, n_documents, seed) if queries is None else _given(index, queries)
        curves = [curve for k in sorted(set(ks)) for curve in measure(index, kinds, k, on_progress)]
        if not curves:
            raise InvalidInputError(
                "too few queries to tune by; want 30 of one length that have hits"
            )
        source = "sampled" if queries is None else "given"
        found = RecallCurves(len(index), source, tuple(curves))
    with IndexWriter.open(path) as writer:
        writer.keep(recall.SETTING, found.as_setting())
    return found


def _given(index: Index, queries: Sequence[str] | TermWeights) -> list[TermWeights]:
    if isinstance(queries, Sequence):
        return _in_all_modes(index, queries)
    return [as_term_weights(queries)]


def _made(index: Index, n: int, seed: int) -> list[TermWeights]:
    docs, vectors = index.sampled_vectors(n, seed)
    texts = _stretches(list(index.documents(docs).values()), seed)
    if texts and "model" in index.settings:
        return _in_all_modes(index, texts)
    idf = bm25.idf(index.document_frequencies(vectors.indices.astype(np.uint32)), len(index))
    return [pseudo_queries(vectors, weights, seed) for weights in (vectors.data, idf)]


def _stretches(documents: Sequence[Document], seed: int) -> list[str]:
    """Of every document that has so many words, some that follow one another."""
    random = np.random.default_rng(seed)
    texts = []
    for words in (document.content.split() for document in documents):
        for n in _WORDS:
            if len(words) >= n:
                start = int(random.integers(0, len(words) - n + 1))
                texts.append(" ".join(words[start : start + n]))
    return texts


def _in_all_modes(index: Index, texts: Sequence[str]) -> list[TermWeights]:
    with SparseRetriever.open(index.path) as retriever:
        return [retriever.query_vectors(texts, mode) for mode in get_args(Mode)]


def pseudo_queries(
    vectors: TermWeights, weights: NDArray[np.float32], seed: int = 0
) -> TermWeights:
    """Queries of 1, 2, 4 ... 64 terms, drawn from documents; heavy terms more often.

    Args:
        vectors: (n, n_terms) documents' term weights.
        weights: One for each of them, to stand in the queries.
    """
    random = np.random.default_rng(seed)
    # The greatest keys are a draw without replacement: Efraimidis, Spirakis 2006.
    keys = np.log(random.random(len(vectors.data))) / vectors.data
    rows = []
    for n_terms in _TERMS:
        for start, stop in pairwise(vectors.indptr.tolist()):
            if stop - start >= n_terms:
                rows.append(start + np.sort(np.argsort(-keys[start:stop])[:n_terms]))
    chosen = np.concatenate([np.empty(0, np.int64), *rows])
    indptr = np.cumsum([0, *map(len, rows)])
    parts = (weights[chosen], vectors.indices[chosen], indptr)
    return sp.csr_array(parts, shape=(len(rows), vectors.shape[1]))


def measure(
    index: Index,
    queries: Sequence[TermWeights],
    k: int,
    on_progress: Callable[[int], None] = lambda n_searches: None,
) -> list[Curve]:
    """Curves by length, the powers of two, of which there are enough queries.

    Args:
        index: Opened.
        queries: One or several kinds of query vectors. What a curve promises holds for each kind.
        k: Hits a query.
        on_progress: Told after each search how many queries it answered.
    """
    kinds = [_by_length(one) for one in queries]
    curves = []
    for n_terms in sorted({length for kind in kinds for length in kind}):
        groups = [kind[n_terms] for kind in kinds if n_terms in kind]
        samples = [_Sample(index, group, k, on_progress) for group in groups]
        samples = [sample for sample in samples if sample.n_queries]
        if samples:
            n_queries = sum(sample.n_queries for sample in samples)
            curves.append(Curve(k, n_terms, n_queries, tuple(_points(samples))))
    return curves


def _by_length(queries: TermWeights) -> dict[int, TermWeights]:
    """{power of two: the queries of at least so many terms, and fewer than twice as many}."""
    lengths = np.diff(queries.indptr)
    exponents = np.floor(np.log2(np.maximum(lengths, 1))).astype(np.int64)
    exponents[lengths == 0] = -1
    values, counts = np.unique(exponents, return_counts=True)
    return {
        2**value: queries[exponents == value]
        for value, count in zip(values.tolist(), counts.tolist(), strict=True)
        if value >= 0 and count >= _FEWEST
    }


def _points(samples: Sequence[_Sample]) -> Iterator[Point]:
    yield Point(1.0, 1.0, 1.0, _mean_ms([sample.exact_ms for sample in samples]))
    for share in _SHARES:
        tries = [sample.search(share) for sample in samples]
        point = Point(
            share,
            min(one.recall for one in tries),
            min(one.at_least for one in tries),
            _mean_ms([one.ms for one in tries]),
        )
        yield point
        if point.recall < _LEAST_RECALL:
            return


class _Sample:
    """Queries of one kind and length, and their exact hits."""

    def __init__(
        self, index: Index, queries: TermWeights, k: int, on_progress: Callable[[int], None]
    ) -> None:
        self._index, self._queries, self._k = index, queries, k
        self._on_progress = on_progress
        hits, self.exact_ms = self._timed(Exact())
        self._counts = hits.counts
        last = np.maximum(hits.counts - 1, 0)
        self._least = np.take_along_axis(hits.scores, last[:, None], axis=1)
        self.n_queries = int((hits.counts > 0).sum())

    def search(self, share: float) -> Point:
        hits, ms = self._timed(Approximate(bound_share=share))
        is_hit = np.arange(hits.scores.shape[1]) < hits.counts[:, None]
        found = (is_hit & (hits.scores >= self._least)).sum(axis=1)
        recalls = found[self._counts > 0] / self._counts[self._counts > 0]
        error = recalls.std() / np.sqrt(len(recalls))
        # A sample that lost nothing does not show that nothing is ever lost: the rule of three.
        most = 1 - 3 / int(self._counts.sum())
        at_least = min(float(recalls.mean() - _SIDE * error), most)
        return Point(share, round(float(recalls.mean()), 6), round(max(at_least, 0.0), 6), ms)

    def _timed(self, plan: Exact | Approximate) -> tuple[Hits, float]:
        start = time.thread_time()
        hits = self._index.search(self._queries, self._k, plan=plan)
        seconds = time.thread_time() - start
        self._on_progress(self._queries.shape[0])
        return hits, seconds * 1000 / self._queries.shape[0]


def _mean_ms(times: Sequence[float]) -> float:
    return round(float(np.mean(times)), 4)
