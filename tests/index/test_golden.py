"""Indexes that released formats wrote are read, and say what was put into them."""

from __future__ import annotations

import shutil

import golden
import numpy as np
import oracle
import pytest

from sparse_ir.index.params import Exact
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter

KEPT = sorted(golden.DATA.glob("index_v*/*"))


@pytest.fixture(params=[None, *KEPT], ids=lambda path: "made now" if path is None else str(path))
def path(request, tmp_path):
    """A golden index, or one made by this code: what the next golden one will be."""
    if request.param is None:
        golden.make(tmp_path / "index", "float32")
    else:
        shutil.copytree(request.param, tmp_path / "index")
    return tmp_path / "index"


def test_a_golden_index(path):
    living = {i: golden.row(i) for i in range(golden.N_DOCS) if i not in golden.DELETED}
    with Index.open(path) as index:
        index.verify()
        assert len(index) == len(living) + len(golden.TEXTS)
        assert index.term_names() == [f"term{i}" for i in range(golden.N_TERMS)]
        queries = [golden.row(i) for i in (5, 150, 4000)]
        is_exact = index.settings["params"]["precision"] != "uint8"
        for query in queries if is_exact else []:
            vector = np.zeros((1, golden.N_TERMS), np.float32)
            vector[0, list(query)] = list(query.values())
            texts = {golden.N_DOCS + i: golden.row(i) for i in range(len(golden.TEXTS))}
            thirds = {i: row for i, row in living.items() if i % 3 == 0}
            for filter, rows in ((None, living | texts), ("third = true", thirds)):
                for algorithm in ("exhaustive", "auto"):
                    hits = index.search(vector, 20, plan=Exact(algorithm), filter=filter)
                    found = list(zip(hits.docs[0].tolist(), hits.scores[0], strict=True))
                    assert found == oracle.top(query, rows, 20)
        assert index.document("d7").metadata == {"third": False, "number": 7}
        assert (index.document("t1").title, index.document("t1").text) == ("a title", "hen")
        (of_t2,) = index.passages(range(golden.N_DOCS, golden.N_DOCS + 3)).values()
        assert golden.PASSAGES["t2"] == [
            (p.start, p.end, dict(zip(p.terms.tolist(), p.weights.tolist(), strict=True)))
            for p in of_t2
        ]
        fox = index.word_numbers(["fox"])["fox"]
        average = np.mean([len(text.split()) for text in golden.TEXTS.values()])
        # The average counts the documents without words too, as the writer does.
        average *= len(golden.TEXTS) / len(index)
        tf, length = 2, 5
        expected = tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length / average))
        assert index.vector("t2").toarray()[0, fox] == pytest.approx(expected, rel=0.01)


def test_it_can_be_written_to(path):
    with IndexWriter.open(path) as writer:
        writer.add_vectors(golden.matrix([1]), ["new"])
        writer.optimize()
    with Index.open(path) as index:
        index.verify()
        assert "new" in index
