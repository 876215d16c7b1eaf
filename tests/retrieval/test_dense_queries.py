"""Dense queries by table: made from the index's own texts, used, and refused where they misfit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sparse_ir.corpus import Document
from sparse_ir.encoders.dense_table import DenseTable
from sparse_ir.errors import IndexFormatError, InvalidInputError
from sparse_ir.files import folder_digest
from sparse_ir.retrieval.dense_queries import FOLDER, distil_queries
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.ingest import ingest

pytest.importorskip("transformers", reason="the extra models is not installed")
from tiny_model import WORDS, make_tiny_model

DRAW = np.random.default_rng(4)
DOCUMENTS = [
    Document(f"d{i}", " ".join(DRAW.choice(WORDS, 12)) + ". " + " ".join(DRAW.choice(WORDS, 9)))
    for i in range(60)
]


@pytest.fixture
def folder(tmp_path, document_encoder):
    make_tiny_model(tmp_path)
    ingest(tmp_path / "index", DOCUMENTS, model="words", dense=str(tmp_path / "body"))
    return tmp_path / "index"


def test_the_table_stands_for_the_network(folder):
    query = "red fox sleeps"
    with HybridRetriever.open(folder) as retriever:
        by_network = retriever.dense_query_vectors([query])
    told = []
    report = distil_queries(folder, n_texts=100, on_progress=told.append)
    assert 20 <= report.n_texts <= 100
    assert sum(told) == report.n_texts + len(WORDS) + 5
    assert report.cosine >= report.cosine_of_tokens
    assert 0.3 < report.overlap <= 1  # of 60 documents chance finds a sixth
    with HybridRetriever.open(folder) as retriever:
        by_table = retriever.dense_query_vectors([query])
        assert isinstance(retriever._encoder, DenseTable)
        assert float((by_table * by_network).sum()) > 0.5
        assert retriever.search(query, k=3)
    with HybridRetriever.open(folder, dense_queries="network") as retriever:
        np.testing.assert_allclose(retriever.dense_query_vectors([query]), by_network, atol=1e-6)
    (folder / FOLDER / "config.json").write_text(json.dumps({"fingerprint": "another"}))
    with HybridRetriever.open(folder) as retriever:
        with pytest.raises(IndexFormatError, match="distilled from another dense model"):
            retriever.search(query)


def test_a_stop_leaves_the_table_that_was_there(folder, monkeypatch):
    distil_queries(folder, n_texts=100)
    kept = folder_digest(folder / FOLDER)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sparse_ir.encoders.dense_table.save_tensors", interrupted)
        distil_queries(folder, n_texts=60, seed=1)
    assert folder_digest(folder / FOLDER) == kept
    distil_queries(folder, n_texts=60, seed=1)
    assert folder_digest(folder / FOLDER) != kept
    assert not list(folder.glob(f"{FOLDER}.*"))


def test_a_reopened_retriever_takes_the_newest_table(folder):
    with HybridRetriever.open(folder) as before:
        before.dense_query_vectors(["fox"])
        distil_queries(folder, n_texts=100)
        with before.reopened() as again:
            again.dense_query_vectors(["fox"])
            assert isinstance(again._encoder, DenseTable)
            distil_queries(folder, n_texts=60, seed=1)
            with again.reopened() as last, HybridRetriever.open(folder) as opened:
                expected = opened.dense_query_vectors(["fox"])
                np.testing.assert_array_equal(last.dense_query_vectors(["fox"]), expected)
                assert (again.dense_query_vectors(["fox"]) != expected).any()


def test_what_is_refused(folder, tmp_path, document_encoder):
    with HybridRetriever.open(folder, dense_queries="table") as retriever:
        with pytest.raises(InvalidInputError, match="make one with: sparse-ir distil-queries"):
            retriever.search("fox")
    with pytest.raises(InvalidInputError, match="dense_queries are 'guess'"):
        HybridRetriever.open(folder, dense_queries="guess")
    with pytest.raises(InvalidInputError, match="5 texts came; want 20"):
        distil_queries(folder, n_texts=5)
    ingest(tmp_path / "sparse", DOCUMENTS, model="words")
    with pytest.raises(InvalidInputError, match="has no dense part made by a model"):
        distil_queries(tmp_path / "sparse")
