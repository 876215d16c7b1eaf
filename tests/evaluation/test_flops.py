"""Terms in common, counted pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir.evaluation.flops import expected_flops


def test_every_pair_by_hand():
    draw = np.random.default_rng(0)
    queries, documents = (draw.random((n, 20)) < 0.3 for n in (7, 11))
    common = [int((q & d).sum()) for q in queries for d in documents]
    found = expected_flops(sp.csr_array(queries.astype(np.float32)), documents.sum(0), 11)
    assert found == pytest.approx(np.mean(common))


def test_nothing_has_nothing_in_common():
    nothing = sp.csr_array((0, 20), dtype=np.float32)
    assert expected_flops(nothing, np.ones(20, np.int64), 3) == 0
    assert expected_flops(sp.csr_array((2, 20)), np.zeros(20, np.int64), 0) == 0
