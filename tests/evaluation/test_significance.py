"""Tests of significance against other implementations and enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.stats

from sparse_ir.errors import InvalidInputError
from sparse_ir.evaluation.significance import Difference, difference, holm


def named(values):
    return {f"q{i}": float(value) for i, value in enumerate(values)}


def test_against_scipys_paired_t_test_and_all_sign_flips():
    rng = np.random.default_rng(3)
    a, b = rng.random(9), rng.random(9) - 0.2
    found = difference(named(a), named(b))
    assert found.mean == pytest.approx((a - b).mean())
    assert found.p_t_test == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue)
    flips = np.array(list(product([-1, 1], repeat=9)))
    means = np.abs(flips @ (a - b) / 9)
    assert found.p_randomisation == pytest.approx((means >= abs((a - b).mean()) - 1e-12).mean())
    assert (found.wins, found.losses, found.ties) == ((a > b).sum(), (a < b).sum(), 0)


def test_many_queries_are_sampled_and_repeatable():
    rng = np.random.default_rng(4)
    a = rng.random(200)
    b = a + rng.normal(0.01, 0.1, 200)
    first = difference(named(a), named(b))
    assert first == difference(named(a), named(b))
    assert first.p_randomisation == pytest.approx(first.p_t_test, abs=0.02)
    assert 0.0001 <= difference(named(a), named(a - 1)).p_randomisation <= 0.001


def test_no_difference_and_one_query():
    same = named([0.5, 0.1])
    assert difference(same, same) == Difference(0.0, 0, 0, 2, 1.0, 1.0)
    assert difference(named([1]), named([0])) == Difference(1.0, 1, 0, 0, 1.0, 1.0)


def test_queries_are_paired_by_id():
    a, b = {"x": 1.0, "y": 0.0}, {"y": 0.0, "x": 1.0}
    assert difference(a, b).ties == 2
    with pytest.raises(InvalidInputError, match="different queries"):
        difference(a, {"x": 1.0})


def test_holm_by_hand():
    def with_p(p):
        return Difference(0.0, 0, 0, 0, p, p)

    corrected = holm([with_p(p) for p in (0.01, 0.04, 0.03, 0.005)])
    # sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04; never falling: .02 .03 .06 .06
    assert [one.p_t_test for one in corrected] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [one.p_randomisation for one in corrected] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [one.p_t_test for one in holm([with_p(0.7), with_p(0.8)])] == [1.0, 1.0]
    assert holm([]) == []
