"""BM25's two halves against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sparse_ir.index import bm25


def test_document_weights_by_hand():
    weights = bm25.document_weights(
        np.array([1, 2, 2], np.float32),
        np.array([10, 10, 40]),
        average_length=20.0,
        k1=1.2,
        b=0.75,
    )
    # norms: 1.2 * (0.25 + 0.75 * 0.5) = 0.75 and 1.2 * (0.25 + 0.75 * 2) = 2.1
    assert weights.dtype == np.float32
    assert weights.tolist() == pytest.approx([2.2 / 1.75, 4.4 / 2.75, 4.4 / 4.1])


@pytest.mark.parametrize("stored_as", [np.float32, np.float16])
def test_weights_give_back_the_counts(stored_as):
    counts = np.array([1, 2, 3, 5, 9, 1, 30], np.float32)
    lengths = np.array([10, 10, 40, 20, 90, 2, 200])
    how = {"average_length": 20.0, "k1": 1.2, "b": 0.75}
    weights = bm25.document_weights(counts, lengths, **how).astype(stored_as)
    assert bm25.term_frequencies(weights, lengths, **how).tolist() == counts.tolist()


def test_idf_by_hand():
    assert bm25.idf(np.array([1, 10]), 10).tolist() == pytest.approx(
        [math.log(1 + 9.5 / 1.5), math.log(1 + 0.5 / 10.5)]
    )
