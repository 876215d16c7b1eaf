"""Whether the difference of two rankings is more than the luck of the queries.

Source: Smucker, Allan, Carterette 2007, "A Comparison of Statistical Significance Tests for
Information Retrieval Evaluation" (paired t-test and randomisation); Holm 1979, "A Simple
Sequentially Rejective Multiple Test Procedure".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from sparse_ir.errors import InvalidInputError

_RESAMPLES = 9999
_SEED = 20070611


@dataclass(frozen=True, slots=True)
class Difference:
    """One ranking against another, over the same queries.

    Args:
        mean: Of the differences; positive where the first is better.
        wins: Queries where the first is better.
        losses: Queries where it is worse.
        ties: Queries where both are equal.
        p_t_test: Two-sided, of the paired t-test; 1 where no query differs.
        p_randomisation: Two-sided, of the randomisation test: signs of differences at random.
    """

    mean: float
    wins: int
    losses: int
    ties: int
    p_t_test: float
    p_randomisation: float


def difference(first: Mapping[str, float], second: Mapping[str, float]) -> Difference:
    """How the first differs from the second.

    Args:
        first: query_id -> value of one measure.
        second: The same of the other, for the same queries.

    Raises:
        InvalidInputError: the queries are not the same.
    """
    if first.keys() != second.keys() or not first:
        raise InvalidInputError("the two rankings answer different queries; want the same ones")
    deltas = np.array([first[query_id] - second[query_id] for query_id in first])
    return Difference(
        mean=float(deltas.mean()),
        wins=int((deltas > 0).sum()),
        losses=int((deltas < 0).sum()),
        ties=int((deltas == 0).sum()),
        p_t_test=_t_test(deltas),
        p_randomisation=_randomisation(deltas),
    )


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """The same differences, their p-values corrected for being tested together."""
    t_test = _holm([one.p_t_test for one in differences])
    randomisation = _holm([one.p_randomisation for one in differences])
    return [
        replace(one, p_t_test=p, p_randomisation=q)
        for one, p, q in zip(differences, t_test, randomisation, strict=True)
    ]


def _t_test(deltas: NDArray[np.float64]) -> float:
    if len(deltas) < 2 or not deltas.any():
        return 1.0
    if (deltas == deltas[0]).all():
        return 0.0
    return float(scipy.stats.ttest_1samp(deltas, 0).pvalue)


def _randomisation(deltas: NDArray[np.float64]) -> float:
    if len(deltas) < 2:
        return 1.0
    test = scipy.stats.permutation_test(
        (deltas,),
        lambda sample, axis: np.mean(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=max(1, 2**22 // len(deltas)),
        rng=np.random.default_rng(_SEED),
    )
    return float(test.pvalue)


def _holm(p_values: Sequence[float]) -> list[float]:
    order = np.argsort(p_values, kind="stable")
    m = len(p_values)
    stepped = [(m - step) * p_values[i] for step, i in enumerate(order)]
    result = np.empty(m)
    result[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(p) for p in result]
