"""Fusion with numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.errors import InvalidInputError
from sparse_ir.retrieval import fusion
from sparse_ir.retrieval.fusion import Fusion

SPARSE = np.array([6.0, 2.0, 0.0])
DENSE = np.array([0.2, 0.5, 0.1])


def fused(**options):
    return Fusion(**options)(SPARSE, DENSE).tolist()


def test_ranks_from_one_equals_share():
    assert fusion.ranks(np.array([3.0, 5.0, 3.0, 1.0])).tolist() == [2.5, 1, 2.5, 4]


def test_reciprocal_ranks():
    # sparse ranks 1 2 3, dense ranks 2 1 3
    expected = [0.75 / 61 + 0.25 / 62, 0.75 / 62 + 0.25 / 61, 1 / 63]
    assert fused(method="rrf", dense_weight=0.25) == pytest.approx(expected)
    assert fused(method="rrf", dense_weight=0.5, k=1)[0] == pytest.approx(0.5 / 2 + 0.5 / 3)


def test_ranges():
    # sparse 1, 1/3, 0; dense 1/4, 1, 0
    expected = [0.6 + 0.4 / 4, 0.6 / 3 + 0.4, 0]
    assert fused(method="minmax", dense_weight=0.4) == pytest.approx(expected)


def test_ranges_from_the_theoretical_minimum():
    # sparse over 6; dense + 1 over 1.5
    expected = [0.5 * 1 + 0.5 * 0.8, 0.5 / 3 + 0.5 * 1, 0.5 * 1.1 / 1.5]
    assert fused(method="theoretical", dense_weight=0.5) == pytest.approx(expected)


def test_deviations():
    scores = np.array([1.0, 3.0])  # mean 2, deviation 1
    assert fusion.zscore(scores, scores).tolist() == [-1, 1]
    assert fusion.distribution(scores, scores).tolist() == pytest.approx([1 / 3, 2 / 3])
    far = np.array([0.0] * 99 + [1.0])
    assert fusion.distribution(far, far)[-1] == 1


def test_deeper_candidates_do_not_move_the_scale():
    sparse, dense = np.append(SPARSE, -1.0), np.append(DENSE, -0.3)
    core = np.array([True, True, True, False])
    for method in ("minmax", "theoretical", "zscore", "distribution"):
        one = Fusion(method)
        assert one(sparse, dense, core)[:3].tolist() == one(SPARSE, DENSE).tolist()


@pytest.mark.parametrize("method", ["rrf", "minmax", "theoretical", "zscore", "distribution"])
@pytest.mark.parametrize("n", [0, 1, 4])
def test_equal_scores_and_few_candidates(method, n):
    scores = Fusion(method=method)(np.zeros(n), np.full(n, 0.3))
    assert scores.shape == (n,)
    assert np.isfinite(scores).all()
    assert len(set(scores.tolist())) <= 1


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(-10, 10)), min_size=1, max_size=20),
    st.sampled_from(["rrf", "minmax", "theoretical", "zscore", "distribution"]),
)
def test_the_extreme_weights_are_the_legs_alone(pairs, method):
    sparse, dense = np.array(pairs, float).T
    dense = dense / 10
    for weight, leg in ((0, sparse), (1, dense)):
        scores = Fusion(method=method, dense_weight=weight)(sparse, dense)
        for i, j in np.ndindex(len(leg), len(leg)):
            if leg[i] > leg[j]:
                assert scores[i] >= scores[j] - 1e-12


@pytest.mark.parametrize(
    "options",
    [
        {"method": "sum"},
        {"dense_weight": 1.5},
        {"dense_weight": float("nan")},
        {"k": 0},
        {"depth": 0},
    ],
)
def test_what_is_no_fusion(options):
    with pytest.raises(InvalidInputError, match="want"):
        Fusion(**options)
