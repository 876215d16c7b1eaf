"""Indexes that Anserini made are imported, and rank as Anserini ranks them."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import pytest

from sparse_ir import Index
from sparse_ir.errors import MissingDependencyError
from sparse_ir.evaluation.trec import read_run
from sparse_ir.export.lucene import _read_leaf, read_lucene


@pytest.fixture
def bridge():
    pytest.importorskip("jpype", reason="JPype1 is not installed")


def import_lucene(folder, index, code=0):
    """In a process of its own: a Java machine stays until its process ends."""
    arguments = ["import", str(folder), "--index", str(index)]
    program = "from sparse_ir.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *arguments],  # -I: not the source tree in this folder
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def imported_ranks_the_same(anserini, folder, queries, threads):
    """``queries`` {id: {term: whole number}}; the scores are sums of whole numbers: exact."""
    with (folder / "topics.tsv").open("w") as file:
        for query_id, terms in queries.items():
            file.write(query_id + "\t" + " ".join(t for t in terms for _ in range(terms[t])) + "\n")
    anserini(
        "index.IndexCollection", "-collection", "JsonVectorCollection", "-input", folder / "docs",
        "-index", folder / "lucene", "-generator", "DefaultLuceneDocumentGenerator",
        "-threads", threads, "-impact", "-pretokenized",
    )  # fmt: skip
    anserini(
        "search.SearchCollection", "-index", folder / "lucene", "-topics", folder / "topics.tsv",
        "-topicReader", "TsvString", "-output", folder / "theirs.txt",
        "-impact", "-pretokenized", "-hits", 1000,
    )  # fmt: skip
    import_lucene(folder / "lucene", folder / "i")
    theirs = read_run(folder / "theirs.txt")
    assert len(theirs) == len(queries)
    with Index.open(folder / "i") as index:
        columns = {name: column for column, name in enumerate(index.term_names())}
        for query_id, terms in queries.items():
            vector = np.zeros((1, len(columns)), np.float32)
            for term in terms:
                vector[0, columns[term]] = terms[term]
            hits = index.search(vector, 1000)
            ours = dict(zip(hits.ids[0], hits.scores[0].tolist(), strict=False))
            assert len(ours) == len(theirs[query_id]) > 0
            # Lucene counts down a millionth from one to the next of equal scores.
            assert list(ours.values()) == [round(score) for score in theirs[query_id].values()]
            last = min(ours.values())
            assert {d for d in ours if ours[d] > last} == {
                d for d, score in theirs[query_id].items() if round(score) > last
            }


@pytest.mark.parametrize("threads", [1, 4])
def test_an_imported_impact_index_ranks_as_anserini_does(anserini, bridge, tmp_path, threads):
    draw = random.Random(7)
    terms = [f"##t{i}" for i in range(150)]
    (tmp_path / "docs").mkdir()
    for part in range(4):
        with (tmp_path / "docs" / f"{part}.jsonl").open("w") as file:
            for i in range(500):
                vector = {t: draw.randint(1, 400) for t in draw.sample(terms, draw.randint(1, 40))}
                file.write(json.dumps({"id": f"d{part}.{i}", "contents": "", "vector": vector}))
                file.write("\n")
    queries = {f"q{i}": {t: draw.randint(1, 50) for t in draw.sample(terms, 8)} for i in range(30)}
    imported_ranks_the_same(anserini, tmp_path, queries, threads)


def test_a_lucene_index_that_cannot_be_read(bridge, tmp_path):
    (tmp_path / "l").mkdir()
    (tmp_path / "l" / "segments_1").write_text("no segments")
    said = import_lucene(tmp_path / "l", tmp_path / "i", code=2)
    assert "want a whole index of Lucene 8 or 9" in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "i").exists()


def test_an_index_of_texts_without_frequencies(anserini, bridge, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "d.jsonl").write_text('{"id": "a", "contents": "", "vector": {}}\n')
    anserini(
        "index.IndexCollection", "-collection", "JsonVectorCollection", "-input",
        tmp_path / "docs", "-index", tmp_path / "l", "-generator",
        "DefaultLuceneDocumentGenerator", "-threads", 1, "-impact", "-pretokenized",
    )  # fmt: skip
    said = import_lucene(tmp_path / "l", tmp_path / "i", code=2)
    assert "holds no frequencies of a field 'contents'" in said


class Leaf:
    """A segment of two documents without terms, of which the second has no id."""

    def terms(self, field):
        return None

    def maxDoc(self):  # noqa: N802  (Lucene's name)
        return 2

    def getLiveDocs(self):  # noqa: N802
        return None

    def storedFields(self):  # noqa: N802
        return self

    def document(self, doc, wanted):
        return {"id": "first"} if doc == 0 else {}

    def of(self, *names):
        return set(names)

    def JClass(self, name):  # noqa: N802
        return self


def test_a_document_without_an_id_has_an_empty_one():
    ids, rows = _read_leaf(Leaf(), Leaf(), {})
    assert ids == ["first", ""]
    assert rows.shape == (2, 0)


def test_not_installed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jpype", None)
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[lucene\]"):
        read_lucene(tmp_path)
