"""The merge policy, by what it promises: few segments, each document rewritten rarely."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.index.compaction import groups, most_gathered, most_rewritten, tail_to_merge


def grow(sizes, unit, n, most=None):
    """Adds n segments of a size one by one, merging as told; returns what was moved."""
    moved = 0
    for _ in range(n):
        sizes.append(unit)
        while (start := tail_to_merge(sizes, most)) is not None:
            total = sum(sizes[start:])
            assert most is None or total <= most
            sizes[start:] = [total]
            moved += total
    return moved


def test_single_documents_never_rewrite_a_large_segment():
    sizes = [10_000_000]
    moved = grow(sizes, 100, 1000)
    assert sizes[0] == 10_000_000
    assert moved <= 100 * 1000 * 8
    assert len(sizes) <= 8 * math.log(1000, 8)


def test_a_long_history_stays_few_segments_and_few_rewrites():
    sizes = []
    moved = grow(sizes, 5000, 20_000)
    assert len(sizes) <= 7 * (1 + math.log(20_000, 8))
    assert moved / (5000 * 20_000) <= 1 + math.log(20_000, 8)


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**7), max_size=60), st.integers(10**4, 10**8))
def test_merges_stay_within_the_limit_and_end(added, most):
    sizes = []
    for size in added:
        sizes.append(size)
        for _ in range(100):
            start = tail_to_merge(sizes, most)
            if start is None:
                break
            assert len(sizes) - start >= 8
            assert sum(sizes[start:]) <= most
            sizes[start:] = [sum(sizes[start:])]
        else:
            raise AssertionError("merging does not end")


@given(st.lists(st.integers(0, 100)), st.integers(1, 200))
def test_groups_cover_all_neighbours_within_the_limit(sizes, most):
    found = groups(sizes, most)
    assert [size for group in found for size in sizes[group]] == sizes
    for group in found:
        assert sum(sizes[group]) <= most or len(sizes[group]) == 1
    for a, b in pairwise(found):
        assert sum(sizes[a]) + sizes[b][0] > most


def test_memory():
    assert most_gathered(1024) == 1024 * 2**20 // 28
    assert most_rewritten(1024) > most_gathered(1024)
