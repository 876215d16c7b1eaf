"""Hits: arrays that become doc_ids only when somebody asks."""

from __future__ import annotations

import numpy as np
import pytest

from sparse_ir.hits import Hit, Hits


def test_ids_are_looked_up_once_and_only_for_hits():
    asked = []

    def lookup(docs):
        asked.append(docs)
        return {doc: f"id{doc}" for doc in docs}

    hits = Hits(
        docs=np.array([[7, 3, -1], [-1, -1, -1], [3, 2, 9]]),
        scores=np.zeros((3, 3), np.float32),
        counts=np.array([2, 0, 3], np.int32),
        lookup=lookup,
    )
    assert asked == []
    assert hits.ids == [["id7", "id3"], [], ["id3", "id2", "id9"]]
    assert hits.ids is hits.ids
    assert asked == [[2, 3, 7, 9]]
    assert len(hits) == 3


def test_rankings_and_a_run_hold_each_query_s_hits_best_first():
    hits = Hits(
        docs=np.array([[7, 3, -1], [-1, -1, -1], [3, 2, 9]]),
        scores=np.array([[2, 1, 0], [0, 0, 0], [3, 2.5, 0.5]], np.float32),
        counts=np.array([2, 0, 3], np.int32),
        lookup=lambda docs: {doc: f"id{doc}" for doc in docs},
    )
    rankings = [{"id7": 2.0, "id3": 1.0}, {}, {"id3": 3.0, "id2": 2.5, "id9": 0.5}]
    assert hits.rankings() == rankings
    assert [list(one) for one in hits.rankings()] == hits.ids
    assert hits.run(["a", "b", "c"]) == dict(zip("abc", rankings, strict=True))
    with pytest.raises(ValueError, match="zip"):
        hits.run(["a", "b"])


def test_hits_of_no_queries():
    empty = np.zeros((0, 5))
    hits = Hits(
        empty.astype(np.int64), empty.astype(np.float32), np.zeros(0, np.int32), lambda _: {}
    )
    assert hits.ids == []
    assert hits.run([]) == {}
    assert len(hits) == 0


def test_a_hit_needs_no_text():
    assert Hit("a", 1.0) == Hit("a", 1.0, "", "", {})
