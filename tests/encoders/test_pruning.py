"""Pruning, by hand and against a slow reading of its definition."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparse_ir.encoders.pruning import prune


def test_by_hand():
    weights = sp.csr_array(np.float32([[0, 3, 1, 2, 0.5], [0, 0, 1, 0, 0], [0] * 5]))
    assert prune(weights, top_terms=2).toarray().tolist() == [
        [0, 3, 0, 2, 0],
        [0, 0, 1, 0, 0],
        [0] * 5,
    ]
    assert prune(weights, prune_ratio=0.5).toarray()[0].tolist() == [0, 3, 0, 2, 0]
    assert prune(weights) is weights
    assert prune(weights, top_terms=np.int64(2)).nnz == 3
    each = prune(weights, top_terms=np.array([1, 1, 0])).toarray().tolist()
    assert each == [[0, 3, 0, 0, 0], [0, 0, 1, 0, 0], [0] * 5]


ROWS = arrays(np.float32, (4, 9), elements=st.sampled_from([0, 0.25, 0.5, 0.75, 1, 2]))


@given(ROWS, st.integers(1, 10), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_by_definition(dense, top_terms, prune_ratio):
    found = prune(sp.csr_array(dense), top_terms=top_terms, prune_ratio=prune_ratio)
    for row, kept in zip(dense, found.toarray(), strict=True):
        greatest_first = sorted(range(len(row)), key=lambda term: (-row[term], term))
        expected = np.zeros_like(row)
        for term in greatest_first[:top_terms]:
            if row[term] >= prune_ratio * row.max():
                expected[term] = row[term]
        assert kept.tolist() == expected.tolist()
    assert found.has_canonical_format
