"""Hits: arrays that become doc_ids only when somebody asks."""

from __future__ import annotations

import numpy as np

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


def test_hits_of_no_queries():
    empty = np.zeros((0, 5))
    hits = Hits(
        empty.astype(np.int64), empty.astype(np.float32), np.zeros(0, np.int32), lambda _: {}
    )
    assert hits.ids == []
    assert len(hits) == 0


def test_a_hit_needs_no_text():
    assert Hit("a", 1.0) == Hit("a", 1.0, "", "", {})
