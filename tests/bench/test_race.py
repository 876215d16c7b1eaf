"""What a race measures."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bench.race import race, summary


def test_every_contender_answers_every_query_in_every_round():
    calls = {"a": [], "b": []}
    seconds = race({name: calls[name].append for name in calls}, 5, 3, warm_up=2)
    for name, answered in calls.items():
        assert sorted(answered) == sorted([*range(5)] * (2 + 3))
        assert seconds[name].shape == (5,)
        assert (seconds[name] > 0).all()
    firsts = [calls["a"][10 + 5 * turn] for turn in range(3)]
    assert len(set(firsts)) == 3  # no query is always the first of a pass


def test_a_query_has_its_own_time():
    seconds = race({"sleepy": lambda i: time.sleep(0.01 * (i == 1))}, 3, 3)["sleepy"]
    assert seconds[1] >= 0.01
    assert seconds[1] == seconds.max()


def test_summary():
    found = summary(np.arange(1, 102) / 1000)
    assert found == pytest.approx({"mean_ms": 51, "median_ms": 51, "p99_ms": 100})
