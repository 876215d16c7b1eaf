"""How much of the exact result approximate search finds, as the index keeps what was measured.

The same share of bounds that are read loses more of short queries than of long ones. So there is a
curve for each length of queries, and a query is searched as was good enough for queries no longer
than itself; what lies outside of all that was measured is searched exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

SETTING = "recall"
"""Under which name the index keeps what was measured."""


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
