"""A seeded learned-sparse workload: topics, Zipf-like popularity, two kinds of queries.

Draws the same numbers, in the same order, as the generator that our measurements of other engines
used, so that results can be laid beside each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

N_TERMS = 30522
Kind = Literal["splade", "inference-free"]

_SLOTS = 176  # terms drawn for a document before it is cut to its length
_TOPIC_TERMS = 420
_SPECIFIC = 8  # strong, mostly rare terms of a document: what the passage alone is about


def documents(n: int, *, seed: int = 7) -> tuple[Any, NDArray[np.int64]]:
    """((n, N_TERMS) float32 csr_array with about 113 weights a row, (n,) topic of each)."""
    matrices, topics = zip(*blocks(n, seed=seed), strict=True)
    return sp.vstack(matrices, format="csr"), np.concatenate(topics)


def blocks(n: int, *, seed: int = 7) -> Iterator[tuple[Any, NDArray[np.int64]]]:
    """The same in blocks of rows, for collections that memory does not hold."""
    rng = np.random.default_rng(seed)
    by_popularity = rng.permutation(N_TERMS)
    popularity = _zipf(N_TERMS, 1.02, 45.0)
    n_topics = max(200, n // 300)
    shape = (n_topics, _TOPIC_TERMS)
    topic_terms = by_popularity[np.searchsorted(popularity, rng.random(shape))]
    decay = 1.5 * np.exp(-np.arange(_TOPIC_TERMS) / 60.0) + 0.45
    topic_weights = np.exp(rng.normal(-0.95, 0.75, shape)) * decay
    in_topic = _zipf(_TOPIC_TERMS, 0.75, 8.0)
    topics = _zipf(n_topics, 0.6, 10.0)
    for start in range(0, n, 20000):
        m = min(20000, n - start)
        first = np.searchsorted(topics, rng.random(m))
        second = np.searchsorted(topics, rng.random(m))
        lengths = np.clip(np.exp(rng.normal(np.log(132), 0.28, m)), 24, _SLOTS).astype(int)
        u = rng.random((m, _SLOTS))
        rank = np.searchsorted(in_topic, rng.random((m, _SLOTS)))
        topic = np.where(u < 0.70, first[:, None], second[:, None])
        terms = topic_terms[topic, rank]
        weights = topic_weights[topic, rank] * np.where(u < 0.70, 1.0, 0.7)
        is_background = u > 0.86
        common = by_popularity[np.searchsorted(popularity, rng.random((m, _SLOTS)))]
        terms = np.where(is_background, common, terms)
        weights = np.where(is_background, 0.30, weights) * np.exp(rng.normal(0, 0.55, (m, _SLOTS)))
        rare = (rng.random((m, _SPECIFIC)) ** 1.6 * N_TERMS).astype(int)
        terms[:, :_SPECIFIC] = by_popularity[np.minimum(rare, N_TERMS - 1)]
        weights[:, :_SPECIFIC] = 0.5 + np.abs(rng.normal(0.35, 0.55, (m, _SPECIFIC)))
        weights = np.clip(np.log1p(weights) * 1.45, 0.01, 3.2).astype(np.float32)
        keep = np.arange(_SLOTS)[None, :] < lengths[:, None]
        yield _strongest(terms, weights, keep), first


def queries(matrix: Any, topic: NDArray[np.int64], n: int, kind: Kind, *, seed: int = 11) -> Any:
    """(n, N_TERMS) float32 csr_array: 42 terms a row (``splade``) or 6 (``inference-free``)."""
    rng = np.random.default_rng(seed)
    draw = _Draw(matrix, topic, rng)
    sources = rng.integers(0, matrix.shape[0], n)
    make = _splade_query if kind == "splade" else _inference_free_query
    rows = [make(draw, doc) for doc in sources]
    indptr = np.concatenate(([0], np.cumsum([len(terms) for terms, _ in rows])))
    terms = np.concatenate([terms for terms, _ in rows])
    weights = np.concatenate([weights for _, weights in rows])
    return sp.csr_array((weights, terms, indptr), shape=(n, N_TERMS))


class _Draw:
    """Samples terms of a document, the strong ones more often."""

    def __init__(self, matrix: Any, topic: NDArray[np.int64], rng: np.random.Generator) -> None:
        self.rng = rng
        self.matrix = matrix
        df = np.bincount(matrix.indices, minlength=N_TERMS) + 1
        self.idf = np.log(1 + matrix.shape[0] / df)
        self._by_topic = np.argsort(topic, kind="stable")
        self._topic = topic
        self._starts = np.searchsorted(topic[self._by_topic], np.arange(topic.max() + 2))

    def terms(self, doc: int, k: int, power: float) -> tuple[NDArray[Any], NDArray[Any]]:
        start, stop = self.matrix.indptr[doc], self.matrix.indptr[doc + 1]
        p = self.matrix.data[start:stop].astype(float) ** power
        size = min(k, stop - start - 1)
        chosen = self.rng.choice(stop - start, size, replace=False, p=p / p.sum())
        return self.matrix.indices[start:stop][chosen], self.matrix.data[start:stop][chosen]

    def mate(self, doc: int) -> int:
        """A document of the same topic."""
        topic = self._topic[doc]
        return int(self.rng.choice(self._by_topic[self._starts[topic] : self._starts[topic + 1]]))


def _splade_query(draw: _Draw, doc: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
    rng = draw.rng
    k = int(np.clip(rng.normal(21, 5), 8, 40))
    own = draw.terms(doc, k, 1.2)
    near = draw.terms(draw.mate(doc), 12, 1.2)
    nearish = draw.terms(draw.mate(doc), 7, 1.0)
    n_noise = int(rng.integers(2, 8))
    noise = draw.terms(int(rng.integers(0, draw.matrix.shape[0])), n_noise, 0.5)
    terms = np.concatenate((own[0], near[0], nearish[0], noise[0]))
    weights = np.concatenate((own[1], 0.75 * near[1], 0.6 * nearish[1], 0.4 * noise[1]))
    weights = weights * np.exp(rng.normal(0, 0.6, len(terms)))
    order = np.argsort(-weights)
    few_strong = 0.35 + 1.1 * np.exp(-np.arange(len(order)) / 7.0)
    return _each_term_once(terms[order], weights[order] * few_strong)


def _inference_free_query(draw: _Draw, doc: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
    k = int(np.clip(draw.rng.poisson(6), 2, 14))
    n_near = max(1, round(k * 0.35))
    own, _ = draw.terms(doc, max(1, k - n_near), 1.5)
    near, _ = draw.terms(draw.mate(doc), n_near, 1.5)
    terms = np.concatenate((own, near))
    return _each_term_once(terms, 0.35 * draw.idf[terms])


def _each_term_once(
    terms: NDArray[Any], weights: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    unique, first = np.unique(terms, return_index=True)
    return unique, np.clip(weights[first], 0.01, 3.5).astype(np.float32)


def _strongest(terms: NDArray[Any], weights: NDArray[Any], keep: NDArray[np.bool_]) -> Any:
    """The kept cells as CSR; of a term drawn twice the greater weight."""
    row, column, weight = np.nonzero(keep)[0], terms[keep], weights[keep]
    order = np.lexsort((-weight, row * N_TERMS + column))
    row, column, weight = row[order], column[order], weight[order]
    first = np.concatenate(([True], (np.diff(row) != 0) | (np.diff(column) != 0)))
    shape = (terms.shape[0], N_TERMS)
    return sp.coo_array((weight[first], (row[first], column[first])), shape=shape).tocsr()


def _zipf(n: int, exponent: float, shift: float) -> NDArray[np.float64]:
    p = 1.0 / (np.arange(n) + shift) ** exponent
    return np.cumsum(p / p.sum())
