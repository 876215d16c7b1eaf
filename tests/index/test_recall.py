"""Recall curves: looked up as worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir.errors import InvalidInputError
from sparse_ir.index.params import Approximate
from sparse_ir.index.reader import Index
from sparse_ir.index.recall import Curve, Point, RecallCurves
from sparse_ir.index.writer import IndexWriter

N_TERMS = 300


def curve(k, n_terms, *points):
    exact = Point(1.0, 1.0, 1.0, 1.0)
    return Curve(k, n_terms, 100, (exact, *(Point(s, r, r, s / 2) for s, r in points)))


CURVES = RecallCurves(
    1000,
    "given",
    (
        curve(10, 2, (0.9, 0.99), (0.8, 0.95), (0.7, 0.96)),
        curve(10, 8, (0.9, 1.0), (0.8, 0.995), (0.7, 0.97)),
        curve(100, 8, (0.9, 0.98), (0.8, 0.97), (0.7, 0.9)),
    ),
)


@pytest.mark.parametrize(
    ("recall", "k", "expected"),
    [
        (0.99, 10, [1, 1, 0.9, 0.9, 0.8, 0.8]),
        (0.96, 10, [1, 1, 0.9, 0.9, 0.7, 0.7]),  # what lies behind a share that fails is no gain
        (0.96, 3, [1, 1, 0.9, 0.9, 0.7, 0.7]),
        (0.97, 50, [1, 1, 1, 1, 0.8, 0.8]),  # enough for 10 hits and for 100
        (0.5, 101, [1] * 6),  # never measured
        (1.0, 10, [1, 1, 1, 1, 0.9, 0.9]),
    ],
)
def test_a_query_gets_what_was_enough_for_shorter_ones(recall, k, expected):
    lengths = np.array([0, 1, 2, 7, 8, 99])
    assert CURVES.bound_shares(recall, k, lengths).tolist() == expected


def test_a_share_that_gains_no_time_is_not_taken():
    points = (Point(1.0, 1.0, 1.0, 0.5), Point(0.9, 0.99, 0.99, 0.6), Point(0.8, 0.98, 0.98, 0.4))
    assert Curve(10, 2, 100, points).share_for(0.97) == 0.8
    assert Curve(10, 2, 100, points).share_for(0.985) == 1.0


def test_plain_values_and_back():
    assert RecallCurves.from_setting(json.loads(json.dumps(CURVES.as_setting()))) == CURVES


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(5)
    matrix = sp.random_array((6000, N_TERMS), density=0.08, rng=rng, dtype=np.float32, format="csr")
    matrix.data = np.exp(rng.normal(0, 0.8, len(matrix.data))).astype(np.float32)
    return matrix


@pytest.fixture(scope="module")
def path(matrix, tmp_path_factory):
    path = tmp_path_factory.mktemp("recall") / "index"
    with IndexWriter.create(path, n_terms=N_TERMS) as writer:
        writer.add_vectors(matrix, [str(i) for i in range(matrix.shape[0])])
    return path


def test_sampled_vectors_are_stored_ones(matrix, path):
    with IndexWriter.open(path) as writer:
        writer.delete([str(i) for i in range(0, 6000, 2)])
    with Index.open(path) as index:
        docs, vectors = index.sampled_vectors(40, seed=3)
        assert len(set(docs)) == 40
        assert all(doc % 2 for doc in docs)
        assert docs != index.sampled_vectors(40, seed=4)[0]
        for doc, row in zip(docs, vectors, strict=True):
            assert (row.toarray() == index.vector(str(doc)).toarray()).all()
        assert len(index.sampled_vectors(10_000)[0]) == 3000


def test_refuses(matrix, path):
    with pytest.raises(InvalidInputError, match="want one of them"):
        Approximate()
    with pytest.raises(InvalidInputError, match="want one of them"):
        Approximate(recall=0.9, bound_share=0.9)
    with pytest.raises(InvalidInputError, match="recall is 1.2; want more than 0"):
        Approximate(recall=1.2)
    with (
        Index.open(path) as index,
        pytest.raises(InvalidInputError, match="never tuned; run: sparse-ir tune-recall"),
    ):
        index.search(matrix[:1], plan=Approximate(recall=0.9))
