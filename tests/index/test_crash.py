"""kill -9 at any moment leaves the last committed index whole: 50 writers are killed to see it.

The index has a dense part: postings and vectors are of the same commit, whenever the kill comes.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time

import numpy as np
import scipy.sparse as sp

from sparse_ir.errors import InvalidInputError
from sparse_ir.index.reader import Index

N_KILLS = 50
BATCH = 4  # documents in each commit; document i has the single term i % 50 with weight 1 + i

WRITER = f"""
import sys
import numpy as np, scipy.sparse as sp
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.dense_segment import DenseRows
from sparse_ir.index.params import BuildParams, DensePart
from sparse_ir.index.writer import IndexWriter
from pathlib import Path

path = Path(sys.argv[1])
params = BuildParams("float32")  # a document's weight is its number, to the last digit
if Catalog.exists(path):
    writer = IndexWriter.open(path)
else:
    writer = IndexWriter.create(path, n_terms=50, params=params, dense=DensePart("", 3))
print("ready", len(writer), flush=True)
while True:
    first = len(writer)
    numbers = np.arange(first, first + {BATCH})
    parts = ((1 + numbers).astype(np.float32), (np.arange({BATCH}), numbers % 50))
    angles = numbers / 1000  # of document i's vector
    vectors = np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)
    writer.add_vectors(
        sp.coo_array(parts, shape=({BATCH}, 50)).tocsr(),
        [str(i) for i in numbers],
        dense=DenseRows(vectors, np.ones({BATCH}, np.int64)),
    )
    if first % 48 == 0:
        writer.optimize()
    else:
        writer.commit()
    print("committed", len(writer), flush=True)
"""


def test_fifty_kills(tmp_path):
    path, seed = tmp_path / "index", random.Random(7)
    survived = 0
    for _ in range(N_KILLS):
        survived = max(survived, kill_a_writer(path, seed))
        survived = check(path, survived)
    assert survived > N_KILLS * BATCH, "the writers were killed too early to prove anything"


def kill_a_writer(path, seed) -> int:
    """Starts a writer, kills it a moment after a random commit; gives what it said it committed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=path.parent,  # not the checkout, whose package is not the installed one
    )
    said = [process.stdout.readline() for _ in range(seed.randint(1, 16))]
    time.sleep(seed.uniform(0, 0.01))
    process.kill()
    said += process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    numbers = [int(line.split()[1]) for line in said if len(line.split()) == 2]
    return max(numbers, default=0)


def check(path, at_least: int) -> int:
    """The index is whole and holds at least what was committed; returns its size."""
    try:
        index = Index.open(path)
    except InvalidInputError:
        assert at_least == 0
        return 0
    with index:
        index.verify()
        n = len(index)
        assert n >= at_least
        assert n % BATCH == 0
        hits = index.search(sp.csr_array(np.eye(50, dtype=np.float32)), k=max(n, 1))
        found = {
            (doc_id, score)
            for ids, scores in zip(hits.ids, hits.scores, strict=True)
            for doc_id, score in zip(ids, scores.tolist(), strict=False)
        }
        assert found == {(str(i), 1.0 + i) for i in range(n)}
        nearest = index.dense.search(np.array([[1, 0, 0]], np.float32), max(n, 1))
        expected = np.cos(np.arange(n) / 1000)
        by_number = dict(zip(map(int, nearest.ids[0]), nearest.scores[0].tolist(), strict=False))
        assert sorted(by_number) == list(range(n))
        np.testing.assert_allclose([by_number[i] for i in range(n)], expected, atol=1e-3)
    return n
