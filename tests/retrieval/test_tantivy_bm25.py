"""BM25 by tantivy: against the formula, and against our own lexical mode."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sparse_ir.corpus import Document
from sparse_ir.errors import IndexFormatError, InvalidInputError, MissingDependencyError
from sparse_ir.evaluation.collection import read_collection
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.experiment import compare_systems
from sparse_ir.retrieval.systems import SYSTEMS
from sparse_ir.retrieval.tantivy_bm25 import TantivyBM25

pytest.importorskip("tantivy", reason="tantivy is not installed")
DATA = Path(__file__).parents[3] / "shared" / "data"
DOCUMENTS = [
    Document("a", "The red fox runs and the fox jumps", "Foxes"),
    Document("b", "a sleeping dog"),
    Document("c", "dogs, dogs and dogs"),
    Document("empty", ""),
]


@pytest.fixture
def folder(tmp_path):
    TantivyBM25.build(tmp_path / "t", DOCUMENTS)
    return tmp_path / "t"


def test_scores_are_bm25s(folder):
    retriever = TantivyBM25.open(folder)
    (hits,) = retriever.search(["dog"])
    assert [hit.doc_id for hit in hits] == ["c", "b"]
    lengths = [6, 2, 3, 0]  # Foxes red fox runs fox jumps; sleeping dog; dogs dogs dogs
    average = sum(lengths) / 4
    idf = math.log(1 + (4 - 2 + 0.5) / (2 + 0.5))
    for hit, tf, length in zip(hits, (3, 1), (3, 2), strict=True):
        expected = idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length / average))
        assert hit.score == pytest.approx(expected, rel=1e-5)


def test_words_count_as_often_as_they_are_asked_for(folder):
    retriever = TantivyBM25.open(folder)
    once, twice = retriever.search(["dog", "dog dogs"])
    assert twice[0].score == pytest.approx(2 * once[0].score)
    assert retriever.search(["", "the", "unknown", "-"]) == [[], [], [], []]
    assert len(retriever.search(["dog"], k=1)[0]) == 1
    with pytest.raises(InvalidInputError, match="k is 0"):
        retriever.search(["dog"], k=0)


def test_facts(folder):
    retriever = TantivyBM25.open(folder)
    assert len(retriever) == 4
    assert retriever.words("The Foxes' dog, s_t x 7 éa") == ["fox", "dog", "s_t", "éa"]
    assert retriever.document_frequency("fox") == 1
    assert retriever.terms_a_document == pytest.approx((4 + 2 + 1 + 0) / 4)
    assert retriever.n_bytes() > 0


def test_languages(tmp_path):
    german = TantivyBM25.build(tmp_path / "de", [Document("x", "die Häuser")], language="german")
    assert german.search(["Haus"])[0][0].doc_id == "x"
    plain = TantivyBM25.build(tmp_path / "none", [Document("x", "the foxes")], language="none")
    assert plain.words("The foxes") == ["the", "foxes"]
    turkish = TantivyBM25.build(tmp_path / "tr", [Document("x", "evler")], language="turkish")
    assert turkish.search(["ev"])[0][0].doc_id == "x"  # stems, though without stop words
    with pytest.raises(InvalidInputError, match="klingon"):
        TantivyBM25.build(tmp_path / "k", [], language="klingon")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["de", "none", "tr"]


def test_a_build_that_stops_leaves_nothing_to_open(tmp_path):
    def broken():
        yield DOCUMENTS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TantivyBM25.build(tmp_path / "t", broken())
    assert not (tmp_path / "t").exists()
    assert len(TantivyBM25.build(tmp_path / "t", DOCUMENTS)) == 4


def test_damage(folder, tmp_path):
    with pytest.raises(FileNotFoundError):
        TantivyBM25.open(tmp_path / "nowhere")
    (folder / "meta.json").write_text("{")
    with pytest.raises(IndexFormatError, match="no whole tantivy index"):
        TantivyBM25.open(folder)


def test_not_installed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tantivy", None)
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[eval\]"):
        TantivyBM25.build(tmp_path / "t", [])


def ndcg(collection, folder):
    def documents():
        """Titles are text, as Lucene's numbers have them."""
        for one in collection.documents():
            yield replace(one, title="", text=one.content)

    with CachedIndexes(documents, folder, model="words", batch_size=512) as indexes:
        systems = {name: SYSTEMS[name](indexes) for name in ("lexical", "bm25")}
        report = compare_systems(collection, systems, measures=["nDCG@10"], k=100)
    return {name: one.evaluation.means["nDCG@10"] for name, one in report.outcomes.items()}


@pytest.mark.parametrize("name", ["scifact", "cisi", "cranfield"])
def test_agrees_with_our_own_lexical_mode_and_with_lucene(tmp_path, document_encoder, name):
    """Anserini's BM25 (Lucene) has nDCG@10 .679 on scifact, title and text in one field."""
    if not (DATA / name).is_dir():
        pytest.skip(f"needs shared/data/{name}")
    scores = ndcg(read_collection(str(DATA / name)), tmp_path)
    assert scores["lexical"] == pytest.approx(scores["bm25"], abs=0.005)
    if name == "scifact":
        assert scores["bm25"] == pytest.approx(0.679, abs=0.01)
