"""Stored weights as whole numbers: which terms, which numbers, which names."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.export.impacts import document_impacts, quantise, term_names
from sparse_ir.index.reader import Index
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.retriever import SparseRetriever

DOCUMENTS = [
    Document("a", "a red fox runs fast"),
    Document("b", "the dog sleeps"),
    Document("c", "nothing known"),
    Document("d", "fox fox dog"),
]


@pytest.fixture
def folder(tmp_path, document_encoder):
    ingest(tmp_path / "i", DOCUMENTS, model="words")
    return tmp_path / "i"


@pytest.mark.parametrize("block", ["anchored", "learned", "lexical"])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_stored_weight_rounded(folder, block, batch_size):
    with Index.open(folder) as index:
        batches = list(document_impacts(index, block, scale=10, batch_size=batch_size))
        assert [i for batch in batches for i in batch.ids] == ["a", "b", "c", "d"]
        found = sp.vstack([batch.matrix for batch in batches]).toarray()
        for row, document in enumerate(DOCUMENTS):
            stored = index.vector(document.doc_id).toarray()[0]
            if block != "anchored":
                is_word = np.arange(len(stored)) >= index.n_terms
                stored = np.where(is_word == (block == "lexical"), stored, 0)
            assert (found[row] == np.rint(stored.astype(np.float64) * 10)).all()
    assert found.any()


def test_deleted_documents_stay_here(folder):
    from sparse_ir.index.writer import IndexWriter

    with IndexWriter.open(folder) as writer:
        writer.delete(["b"])
    with Index.open(folder) as index:
        assert [batch.ids for batch in document_impacts(index)] == [["a", "c", "d"]]


def test_reads_no_texts(folder, monkeypatch):
    monkeypatch.delattr(Index, "documents")
    with Index.open(folder) as index:
        assert [batch.ids for batch in document_impacts(index)] == [["a", "b", "c", "d"]]


def test_scores_agree_up_to_rounding(folder):
    with SparseRetriever.open(folder) as retriever:
        texts = ["red fox", "dog animal"]
        (documents,) = document_impacts(retriever.index, scale=1000)
        queries = quantise(retriever.query_vectors(texts), 1000)
        theirs = (queries @ documents.matrix.T).toarray() / 1000**2
        for row, hits in zip(theirs, retriever.search(texts, k=4), strict=True):
            for hit in hits:
                assert row[documents.ids.index(hit.doc_id)] == pytest.approx(hit.score, abs=0.01)


def test_names(folder):
    with SparseRetriever.open(folder) as retriever:
        index, learned = retriever.index, retriever.vocabulary.terms
        word = index.word_numbers(["fox"])["fox"]
        both = np.array([2, word])
        assert term_names(index, "anchored", learned)(both) == {2: "fox", word: "w:fox"}
        assert term_names(index, "learned", learned)(both[:1]) == {2: "fox"}
        assert term_names(index, "lexical", learned)(both[1:]) == {word: "fox"}
        assert term_names(index, "learned", None)(both[:1]) == {2: "2"}
        with pytest.raises(InvalidInputError, match="holds white space"):
            term_names(index, "learned", ["a b"] * 3)(both[:1])


def test_quantise():
    weights = sp.csr_array(np.array([[0.004, 0.006, 1.234], [0, 0, 0]], np.float32))
    assert quantise(weights, 100).toarray().tolist() == [[0, 1, 123], [0, 0, 0]]
    assert quantise(weights, 100).nnz == 2
    assert weights.nnz == 3  # what came stays what it was
    for scale in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InvalidInputError, match="want a number > 0"):
            quantise(weights, scale)
    with pytest.raises(InvalidInputError, match="want a smaller one"):
        quantise(weights, 2**32)
