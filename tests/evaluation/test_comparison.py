"""Lost queries, and the documents that lost them."""

from __future__ import annotations

import pytest

from sparse_ir.errors import InvalidInputError
from sparse_ir.evaluation.comparison import LostQuery, Placed, lost_queries
from sparse_ir.evaluation.evaluate import Evaluation

QRELS = {
    "q1": {"a": 1, "b": 1, "n": 0},
    "q2": {"a": 1},
    "q3": {"a": 1},
}
FIRST = {"q1": {"x": 9.0, "n": 8.0, "a": 7.0}, "q2": {"a": 1.0}}
SECOND = {
    "q1": {"a": 9.0, "b": 8.0, "x": 7.0, "n": 6.0},
    "q2": {"a": 1.0},
    "q3": {"z": 1.0, "a": 0},
}


def test_lost_queries():
    first = Evaluation({"M": {"q1": 0.2, "q2": 1.0, "q3": 0.0}})
    second = Evaluation({"M": {"q1": 0.9, "q2": 1.0, "q3": 0.6}})
    lost = lost_queries(FIRST, SECOND, QRELS, (first, second))
    assert lost == [
        LostQuery("q1", 0.2, 0.9, Placed("a", 1, 3, 1), Placed("x", None, 1, 3)),
        LostQuery("q3", 0.0, 0.6, Placed("a", 1, None, 2), None),
    ]
    assert lost_queries(FIRST, SECOND, QRELS, (first, second), n=1) == lost[:1]
    assert lost_queries(FIRST, SECOND, QRELS, (first, first)) == []
    assert lost_queries(FIRST, SECOND, QRELS, (first, second), n=0) == []
    with pytest.raises(InvalidInputError, match="n is -1; want an integer >= 0"):
        lost_queries(FIRST, SECOND, QRELS, (first, second), n=-1)
