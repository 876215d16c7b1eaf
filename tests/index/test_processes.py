"""Many processes, one index: readers see whole commits, second writers are told, no lock stays."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from test_writer_reader import rows, scores

from sparse_ir.errors import IndexLockedError
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter

# Each commit adds four documents, i with the single weight 1 + i, and deletes the oldest four.
READER = """
import sys
import numpy as np, scipy.sparse as sp
from sparse_ir.index.reader import Index

query = sp.csr_array(np.ones((1, 1), np.float32))
print("ready", flush=True)
seen, last = set(), -1
while last < int(sys.argv[2]):
    with Index.open(sys.argv[1]) as index:
        index.verify()
        for _ in range(2):  # the snapshot does not move
            hits = index.search(query, 100)
            found = sorted(int(i) for i in hits.ids[0])
            assert hits.scores[0, : len(found)].tolist() == [1.0 + i for i in reversed(found)]
            assert found == list(range(found[0], found[0] + 40)), found
            assert found[0] % 4 == 0
        seen.add(found[0])
        last = found[0]
print("saw", len(seen), flush=True)
"""


def one_term(numbers):
    return sp.csr_array((1.0 + np.array(list(numbers), np.float32))[:, None])


def start(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-c", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,  # not the checkout, whose package is not the installed one
    )


def test_readers_in_other_processes_see_whole_commits(tmp_path):
    path, n_commits = tmp_path / "index", 60
    with IndexWriter.create(path, n_terms=1) as writer:
        writer.add_vectors(one_term(range(40)), [str(i) for i in range(40)])
        writer.commit()
        readers = [start(READER, path, 4 * n_commits, cwd=tmp_path) for _ in range(3)]
        for reader in readers:
            assert reader.stdout.readline() == "ready\n"
        for first in range(0, 4 * n_commits, 4):
            new = range(first + 40, first + 44)
            writer.add_vectors(one_term(new), [str(i) for i in new])
            writer.delete([str(i) for i in range(first, first + 4)])
            if first % 48 == 0:
                writer.optimize()
            else:
                writer.commit()
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert reader.returncode == 0, err
        assert int(out.split()[1]) >= 1


@pytest.fixture
def held(tmp_path):
    """An index that another process has open for writing; and that process."""
    path = tmp_path / "index"
    with IndexWriter.create(path, n_terms=12) as writer:
        writer.add_vectors(rows({0: 1.0}), ["a"])
    code = """
import sys, time
from sparse_ir.index.writer import IndexWriter
writer = IndexWriter.open(sys.argv[1])
writer.delete(["a"])
print("held", flush=True)
time.sleep(600)
"""
    process = start(code, path, cwd=tmp_path)
    assert process.stdout.readline() == "held\n"
    yield path, process
    process.kill()
    process.communicate()


def test_a_second_writer_is_told_at_once_and_readers_are_not_disturbed(held):
    path, _ = held
    with pytest.raises(IndexLockedError, match="another writer has"):
        IndexWriter.open(path)
    assert scores(Index.open(path), {0: 1.0}) == {"a": 1.0}


def test_a_killed_writer_leaves_no_lock(held):
    path, process = held
    process.kill()
    process.wait()
    with IndexWriter.open(path) as writer:
        writer.add_vectors(rows({0: 2.0}), ["b"])
    assert scores(Index.open(path), {0: 1.0}) == {"b": 2.0, "a": 1.0}
