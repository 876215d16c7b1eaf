"""How much of the exact result approximate search finds: measured, kept with the index, looked up.

The same share of bounds that are read loses more of short queries than of long ones. So there is a
curve for each length of queries, and a query is searched as was good enough for queries no longer
than itself; what lies outside of all that was measured is searched exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir.index.params import Approximate, Exact
from sparse_ir.vectors import TermWeights

if TYPE_CHECKING:
    from sparse_ir.hits import Hits
    from sparse_ir.index.reader import Index

SETTING = "recall"
"""Under which name the index keeps what was measured."""

_SHARES = (0.95, 0.9, 0.87, 0.84, 0.81, 0.78, 0.75, 0.72, 0.69, 0.66, 0.63, 0.6, 0.55, 0.5, 0.4)
_SAMPLED = (1, 2, 4, 8, 16, 32, 64)  # terms of queries drawn from documents
_LEAST_RECALL = 0.8  # smaller shares are not tried any more
_FEWEST = 30  # queries that a curve needs
_SIDE = 1.645  # standard errors below the mean: true in 95 of 100 samples


@dataclass(frozen=True, slots=True)
class Point:
    """What one share does.

    Args:
        bound_share: Of ``Approximate``.
        recall: Mean share of the exact hits that are found; a tie with the last is as good.
        at_least: The true mean is above this, says the sample with a certainty of 95 in 100.
        ms: A query's time on a processor.
    """

    bound_share: float
    recall: float
    at_least: float
    ms: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Recall at k of queries of at least ``n_terms`` terms; shares descend from 1, the exact."""

    k: int
    n_terms: int
    n_queries: int
    points: tuple[Point, ...]

    def share_for(self, recall: float) -> float:
        """The fastest share that, as all greater ones, is sure enough to reach the recall."""
        enough = list(takewhile(lambda point: point.at_least >= recall, self.points))
        return min(enough, key=lambda point: point.ms).bound_share if enough else 1.0


@dataclass(frozen=True, slots=True)
class RecallCurves:
    """What was measured on an index.

    Args:
        n_docs: Documents that it had then.
        queries: What was asked: ``sampled`` from its documents, or ``given``.
        curves: By ascending k, then ascending length.
    """

    n_docs: int
    queries: str
    curves: tuple[Curve, ...]

    def as_setting(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_setting(cls, values: Mapping[str, Any]) -> RecallCurves:
        """What ``as_setting`` made plain."""
        curves = [
            Curve(**{**curve, "points": tuple(Point(**point) for point in curve["points"])})
            for curve in values["curves"]
        ]
        return cls(values["n_docs"], values["queries"], tuple(curves))

    def bound_shares(self, recall: float, k: int, lengths: NDArray[Any]) -> NDArray[np.float64]:
        """(Q,) the share for each query, given its number of terms.

        For a k between two that were measured, what is good enough for both; for a greater k than
        any, 1: the search is exact.
        """
        measured = sorted({curve.k for curve in self.curves})
        above = [one for one in measured if one >= k][:1]
        if not above:
            return np.ones(len(lengths))
        wanted = {*above, *[one for one in measured if one <= k][-1:]}
        shares = [self._shares_at(recall, one, lengths) for one in sorted(wanted)]
        return np.maximum(shares[0], shares[-1])

    def _shares_at(self, recall: float, k: int, lengths: NDArray[Any]) -> NDArray[np.float64]:
        curves = [curve for curve in self.curves if curve.k == k]
        shares = np.array([1.0, *(curve.share_for(recall) for curve in curves)])
        shortest = [curve.n_terms for curve in curves]
        return shares[np.searchsorted(shortest, lengths, side="right")]


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
    for n_terms in _SAMPLED:
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
        is_hit = np.arange(self._k) < hits.counts[:, None]
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
