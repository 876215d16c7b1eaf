"""What a title adds to a document's learned terms, against dictionaries."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from tiny_model import make_tiny_model

from sparse_ir.corpus import Document
from sparse_ir.encoders.options import EncoderOptions
from sparse_ir.encoders.pruning import prune
from sparse_ir.index.reader import Index
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.titles import add_titles

TITLES = {"a": {1: 2.0, 3: 0.5}, "c": {0: 1.0}}


class TitleEncoder:
    """Knows two titles."""

    def __init__(self):
        self.read = []

    def encode(self, texts, *, batch_size=32):
        self.read += texts
        rows = np.zeros((len(texts), 5), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for term, weight in TITLES[text].items():
                row[term] = weight
        return sp.csr_array(rows)


def test_each_passage_gets_what_its_title_says():
    documents = [
        Document("0", "text", "a"),  # of two passages
        Document("1", "text"),
        Document("2", "text", "c"),
        Document("3", "", "a"),  # which is all of its text
        Document("4", "more text", "a"),
    ]
    passages = [{1: 1.0, 2: 3.0}, {3: 1.0}, {1: 1.0}, {0: 4.0}, {1: 5.0}, {1: 3.0, 4: 1.0}]
    dense = np.zeros((6, 5), np.float32)
    for row, one in zip(dense, passages, strict=True):
        row[list(one)] = list(one.values())
    encoder = TitleEncoder()
    got = add_titles(sp.csr_array(dense), documents, [2, 1, 1, 1, 1], encoder)
    assert encoder.read == ["a", "c"]
    expected = [
        {1: 2.2, 2: 3.0, 3: 0.55},
        {1: 2.2, 3: 1.05},
        {1: 1.0},
        {0: 4.1},
        {1: 5.0},
        {1: 3.2, 3: 0.55, 4: 1.0},
    ]
    for row, one in zip(got.toarray(), expected, strict=True):
        assert {t: w for t, w in enumerate(row.tolist()) if w} == pytest.approx(one)


def test_without_titles_nothing_is_read():
    weights = sp.csr_array(np.eye(2, dtype=np.float32))
    assert add_titles(weights, [Document("0", "x"), Document("1", "y")], [1, 1], None) is weights


def learned(path, doc_id):
    with Index.open(path) as index:
        row = index.vector(doc_id)
        return {t: w for t, w in zip(row.indices, row.data, strict=True) if t < index.n_terms}


def test_an_index_in_which_titles_count_once_reads_none_alone(tmp_path, document_encoder):
    document = Document("a", "red fox", "old dog")
    ingest(tmp_path / "once", [document], model="words", title_weight=1)
    assert document_encoder.encoded == ["old dog red fox"]
    encoded = document_encoder.encode([document.content])
    expected = dict(zip(encoded.indices, encoded.data, strict=True))
    assert learned(tmp_path / "once", "a") == pytest.approx(expected)


@pytest.mark.parametrize("whose", ["option", "model"])
@pytest.mark.parametrize("n", [1, 120])
def test_the_most_terms_of_a_document_hold_with_its_title(
    tmp_path, document_encoder, monkeypatch, whose, n
):
    """Also where neighbours have others."""
    words = ["red", "fox", "runs", "dog", "sleeps", "fast"]
    documents = [
        Document(f"{i}", " ".join(words[i % 6 :] + words[: i % 6]), "old dog sleeps")
        for i in range(n)
    ]
    options = EncoderOptions(top_terms=2 if whose == "option" else None)
    if whose == "model":
        monkeypatch.setattr(document_encoder, "top_terms", 2, raising=False)
        encode = document_encoder.encode
        monkeypatch.setattr(
            document_encoder, "encode", lambda *a, **o: prune(encode(*a, **o), top_terms=2)
        )
    ingest(tmp_path / "i", documents, model="words", options=options)
    assert len(learned(tmp_path / "i", "0")) == 2


def test_a_title_longer_than_is_read_is_no_text_of_which_a_part_is_lost(tmp_path):
    make_tiny_model(tmp_path)
    document = Document("a", "red fox", "dog sleeps " * 40)
    report = ingest(tmp_path / "i", [document], model=str(tmp_path / "tiny"))
    assert report.added == 1
    assert report.cut == 0
