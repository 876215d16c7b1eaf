"""One score from those of several legs: pure functions over the candidates of one query.

Every leg scores every candidate exactly, so nothing is missing and nothing is made up for it.

Source: Cormack, Clarke, Büttcher 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual
Rank Learning Methods" (ranks); Bruch, Gai, Ingber 2023, "An Analysis of Fusion Functions for Hybrid
Retrieval", arXiv:2210.11934 (convex combination; theoretical minima, section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import InvalidInputError

Scores = NDArray[np.float64]
Method = Literal["rrf", "minmax", "theoretical", "zscore", "distribution"]
_DEVIATIONS = 3  # from the mean, between which "distribution" lays 0 and 1


@dataclass(frozen=True, slots=True)
class Fusion:
    """How two legs become one ranking.

    Args:
        method: ``rrf`` adds reciprocal ranks; the others add scores brought to one scale: by their
            range (``minmax``), by range from the least score there can be (``theoretical``), to
            mean 0 and deviation 1 (``zscore``), or by three deviations to either side of the mean
            (``distribution``).
        dense_weight: Of the dense leg, 0..1; the sparse leg has the rest.
        k: Of ``rrf``, > 0: how little the first ranks stand out.
        depth: Candidates that each leg gives, >= 1; more only where more hits are wanted, and these
            do not count for the scale.
    """

    # Chosen on dev splits, where the dense leg is good (scifact) and where poor (fairytaleqa):
    # the one that gains on the first without losing on the second.
    method: Method = "theoretical"
    dense_weight: float = 0.5
    k: float = 60.0
    depth: int = 200

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InvalidInputError(
                f"fusion is {self.method!r}; want one of {', '.join(get_args(Method))}"
            )
        if not 0 <= self.dense_weight <= 1 or not self.k > 0 or self.depth < 1:
            raise InvalidInputError(
                f"dense_weight is {self.dense_weight}, k is {self.k}, depth is {self.depth}; "
                "want 0..1, more than 0, and an integer >= 1"
            )

    def __call__(
        self, sparse: Scores, dense: Scores, among: NDArray[np.bool_] | None = None
    ) -> Scores:
        """(n,) the candidates' scores.

        Args:
            sparse: (n,) scores, at least 0.
            dense: (n,) cosines.
            among: (n,) which candidates set the scale; None for all.
        """
        legs, weights = (sparse, dense), (1 - self.dense_weight, self.dense_weight)
        if self.method == "rrf":
            return reciprocal_rank(legs, weights, k=self.k)
        some = slice(None) if among is None else among
        if self.method == "theoretical":
            scaled = [
                minmax(sparse, sparse[some], least=0.0),
                minmax(dense, dense[some], least=-1.0),
            ]
        else:
            scaled = [_SCALES[self.method](leg, leg[some]) for leg in legs]
        return weighted_sum(scaled, weights)


def reciprocal_rank(legs: Sequence[Scores], weights: Sequence[float], *, k: float = 60) -> Scores:
    """(n,) sums over the legs of weight / (k + rank); the best rank is 1, equals share the mean."""
    return weighted_sum([1 / (k + ranks(leg)) for leg in legs], weights)


def weighted_sum(legs: Sequence[Scores], weights: Sequence[float]) -> Scores:
    """(n,) sums over the legs of weight x score."""
    total: Scores = np.sum([w * leg for w, leg in zip(weights, legs, strict=True)], axis=0)
    return total


def ranks(scores: Scores) -> Scores:
    """(n,) the rank of each, from 1 for the greatest; equals share the mean of their ranks."""
    ascending = np.sort(scores)
    below = np.searchsorted(ascending, scores, "left")
    not_above = np.searchsorted(ascending, scores, "right")
    result: Scores = len(scores) - (below + not_above - 1) / 2
    return result


def minmax(scores: Scores, among: Scores, *, least: float | None = None) -> Scores:
    """(n,) 0 for the least score among some, or for ``least``, to 1 for their greatest."""
    low = among.min(initial=np.inf) if least is None else least
    return _divided(scores - low, among.max(initial=-np.inf) - low)


def zscore(scores: Scores, among: Scores) -> Scores:
    """(n,) so that some scores have mean 0 and standard deviation 1."""
    return _divided(scores - among.mean(), among.std()) if len(among) else scores


def distribution(scores: Scores, among: Scores) -> Scores:
    """(n,) 0 at three standard deviations below the mean of some, to 1 at three above, and cut."""
    return np.clip((zscore(scores, among) / _DEVIATIONS + 1) / 2, 0, 1)


def _divided(scores: Scores, width: float) -> Scores:
    """0 where all that set the scale are equal."""
    return scores / width if width > 0 else np.zeros(len(scores))


_SCALES: dict[str, Callable[[Scores, Scores], Scores]] = {
    "minmax": minmax,
    "zscore": zscore,
    "distribution": distribution,
}
