"""Vectors that networks made, kept once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sparse_ir.training.kept_vectors import KeptVectors

TEXTS = ["a fox", "a crow"]


def test_whoever_comes_second_waits_and_reads(tmp_path):
    made, is_making, may_go_on = [], threading.Event(), threading.Event()

    def make():
        made.append(1)
        is_making.set()
        assert may_go_on.wait(20)
        return np.eye(2, dtype=np.float32)

    found = []

    def ask():  # each with a file handle of its own, as another process has
        found.append(KeptVectors(tmp_path).dense("one", TEXTS, make))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    threads[0].start()
    assert is_making.wait(20)
    threads[1].start()
    threads[1].join(0.2)
    assert threads[1].is_alive()
    may_go_on.set()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    for vectors in found:
        np.testing.assert_array_equal(vectors, np.eye(2))


def test_other_texts_and_other_makers_are_made_anew(tmp_path):
    kept = KeptVectors(tmp_path)
    for number, (made_by, texts) in enumerate([("a", TEXTS), ("b", TEXTS), ("a", TEXTS[::-1])]):
        made = np.full((2, 3), number, np.float32)
        found = kept.dense(made_by, texts, lambda made=made: made)
        np.testing.assert_array_equal(found, made)
    np.testing.assert_array_equal(kept.dense("a", TEXTS, lambda: None), np.zeros((2, 3)))


def test_what_failed_is_made_again(tmp_path):
    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        KeptVectors(tmp_path).dense("a", TEXTS, fail)
    found = KeptVectors(tmp_path).dense("a", TEXTS, lambda: np.ones((2, 1), np.float32))
    np.testing.assert_array_equal(found, np.ones((2, 1)))
    assert [one.suffix for one in tmp_path.iterdir() if one.name != ".lock"] == [".npy"]
