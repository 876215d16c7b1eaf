"""BM25's weights follow the average length on the other thread; at any time all are under one.

Document i has 1 + i words, all of them `red`: each commit moves the average.
"""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir.corpus import Document
from sparse_ir.index.params import BuildParams
from sparse_ir.index.reader import Index
from sparse_ir.index.segment_files import SegmentFiles
from sparse_ir.index.writer import IndexWriter

QUICK = "sparse_ir.index.segment_files._QUICK"


def add(writer: IndexWriter, n: int) -> None:
    first = writer.settings["next_doc"]
    documents = [Document(str(first + i), "") for i in range(n)]
    vectors = sp.csr_array((n, 1), dtype=np.float32)
    writer.add(documents, vectors, [["red"] * (1 + first + i) for i in range(n)])


def weights(index: Index) -> tuple[list[float], list[float]]:
    """What is stored of each document, and what should be, under the average the index names."""
    stored, expected = [], []
    average = index.settings["average_length"]
    for docs, matrix in index.stored_vectors():
        stored += matrix.toarray()[:, 1].tolist()
        for doc in docs:
            tf = length = 1 + doc
            expected.append(tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length / average)))
    return stored, expected


def check(path, n: int) -> float:
    with Index.open(path) as index:
        index.verify()
        assert len(index) == n
        stored, expected = weights(index)
        assert len(stored) == n
        assert stored == pytest.approx(expected, rel=1e-5)
        return index.settings["average_length"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def threads_used(monkeypatch):
    """Names of the threads on which segments were reweighted."""
    used, join = [], SegmentFiles._join

    def recorded(self, name, rows, deleted, reweighting=None):
        if reweighting is not None:
            used.append(threading.current_thread().name)
        return join(self, name, rows, deleted, reweighting)

    monkeypatch.setattr(SegmentFiles, "_join", recorded)
    return used


def create(path) -> IndexWriter:
    return IndexWriter.create(path, n_terms=1, params=BuildParams("float32"))


@pytest.mark.parametrize("quick", [0, 12, 100])
def test_every_commit_is_under_one_average(path, monkeypatch, threads_used, quick):
    monkeypatch.setattr(QUICK, quick)
    averages, n = [], 0
    with create(path) as writer:
        for size in [30, 2, 1, 20, 1, 1, 2, 40, 1, 1]:
            add(writer, size)
            n += size
            writer.commit()
            averages.append(check(path, n))
    averages.append(check(path, n))
    assert len(set(averages)) > 1
    assert any(name.startswith("sparse-ir-files") for name in threads_used)
    truth = (n + 1) / 2
    with IndexWriter.open(path) as writer:  # what is behind is caught up with in the end
        add(writer, 1)
        writer.commit()
    assert abs(check(path, n + 1) / truth - 1) <= 0.1


def test_a_commit_does_not_wait(path, monkeypatch):
    """The thread that reweights is held until the commits are done."""
    monkeypatch.setattr(QUICK, 25)
    go, join = threading.Event(), SegmentFiles._join

    def held(self, name, rows, deleted, reweighting=None):
        if threading.current_thread() is not threading.main_thread():
            assert go.wait(60)
        return join(self, name, rows, deleted, reweighting)

    with create(path) as writer:
        add(writer, 30)
        writer.commit()
        before = check(path, 30)
        monkeypatch.setattr(SegmentFiles, "_join", held)
        add(writer, 4)
        writer.commit()
        assert check(path, 34) == before
        add(writer, 4)
        writer.commit()
        assert check(path, 38) == before
        go.set()
    assert check(path, 38) == pytest.approx(35 / 2)  # the average when the thread was told


def test_large_commits_alone_do_not_keep_the_average_from_moving(path, monkeypatch):
    monkeypatch.setattr(QUICK, 0)
    averages, n = set(), 0
    with create(path) as writer:
        while len(averages) < 4 and n < 2_000:
            add(writer, 1 + n // 12)
            n += 1 + n // 12
            writer.commit()
            averages.add(check(path, n))
    assert len(averages) == 4


def test_deleting_meanwhile_and_thinking_better_of_it(path, monkeypatch):
    monkeypatch.setattr(QUICK, 0)
    with create(path) as writer:
        add(writer, 30)
        writer.commit()
        add(writer, 10)
        writer.delete(["3"])
        writer.commit()
        writer.delete(["4"])
        writer.commit()
    with pytest.raises(KeyError), IndexWriter.open(path) as writer:
        add(writer, 20)
        writer.commit()  # starts to reweight
        writer.delete(["5", "50"])
        raise KeyError
    average = check(path, 58)
    assert average == pytest.approx((60 * 61 / 2 - 4 - 5) / 58)
    with IndexWriter.open(path) as writer:
        writer.optimize()
    assert len(list(path.glob("segment-*"))) == 1
    check(path, 58)


def test_optimize_leaves_what_is_under_way(path, monkeypatch):
    monkeypatch.setattr(QUICK, 0)
    with create(path) as writer:
        for n in (30, 10, 20):
            add(writer, n)
            writer.commit()
        writer.optimize()
        assert check(path, 60) == pytest.approx(61 / 2)
    assert check(path, 60) == pytest.approx(61 / 2)
    assert len(list(path.glob("segment-*"))) == 1


def test_a_rewriting_that_fails_half_way_changes_nothing(path, monkeypatch):
    """Two segments, of which the first is rewritten under the new average, and then none is."""
    monkeypatch.setattr("sparse_ir.index.segment_files.most_rewritten", lambda memory_mb: 60)
    calls, join = [], SegmentFiles._join

    def failing(self, name, rows, *others):
        calls.append(name)
        if len(calls) == 2:
            raise OSError("no space left")
        return join(self, name, rows, *others)

    with create(path) as writer:
        for _ in range(2):
            add(writer, 10)
            with monkeypatch.context() as patch:
                patch.setattr("sparse_ir.index.writer._DRIFT", 9)
                writer.commit()
        with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
            patch.setattr(SegmentFiles, "_join", failing)
            writer.optimize()
        writer.commit()
    assert check(path, 20) == pytest.approx(21 / 2)


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_reweighting import add, create
from sparse_ir.index import segment_files
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.writer import IndexWriter
from pathlib import Path

segment_files._QUICK = 50
path = Path(sys.argv[1])
writer = IndexWriter.open(path) if Catalog.exists(path) else create(path)
while True:
    add(writer, 1 + len(writer) // 12)
    writer.commit()
    print(len(writer), writer.settings["average_length"], flush=True)
"""


def test_kills(path):
    """Every second time the writer is killed once the average has moved, else at any time."""
    averages = set()
    for i, commits in enumerate((3, 9, 5, 12, 7, 2, 10, 6)):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(__file__).rpartition("/")[0]],
            stdout=subprocess.PIPE,
            text=True,
            cwd=path.parent,  # not the checkout, whose package is not the installed one
        )
        said = [process.stdout.readline().split()]
        while len(said) < commits or (i % 2 and said[-1][1] == said[0][1]):
            said.append(process.stdout.readline().split())
        process.kill()
        said += map(str.split, process.stdout.read().splitlines())
        process.wait()
        process.stdout.close()
        with Index.open(path) as index:
            n = len(index)
            assert n >= max(int(documents) for documents, _ in said)
        averages.add(check(path, n))
    assert len(averages) > 2
