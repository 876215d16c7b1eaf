"""Batches of term weights that search algorithms find hard: ties, empty rows, one huge list."""

from __future__ import annotations

from hypothesis import strategies as st

TERMS = st.sampled_from([*range(12), 70_000, 2**32 - 2, 2**32 - 1])
TIED = st.sampled_from([0.25, 0.5, 1.0, 1.5])
WIDE = st.floats(2.0**-20, 2.0**24, width=32)
WEIGHTS = st.one_of(TIED, WIDE)


def rows(max_size=40):
    """Rows {term: weight}; term 0 is in most of them."""
    row = st.dictionaries(TERMS, WEIGHTS, max_size=8)
    common = row.flatmap(lambda r: TIED.map(lambda weight: {0: weight, **r}))
    return st.lists(st.one_of(row, common), max_size=max_size)


QUERIES = st.lists(st.dictionaries(TERMS, WEIGHTS, max_size=10), min_size=1, max_size=4)
