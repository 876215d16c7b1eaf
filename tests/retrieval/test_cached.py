"""Indexes are built once for a model and a corpus, and anew for another."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from sparse_ir.corpus import Document
from sparse_ir.errors import MissingDependencyError
from sparse_ir.index.reader import Index
from sparse_ir.retrieval.cached import CachedIndexes, default_cache, indexed_documents
from sparse_ir.retrieval.ingest import ingest

DOCUMENTS = [Document(f"d{i}", f"fox dog word{i}", title="t") for i in range(7)]


def open_sparse(folder, documents=DOCUMENTS, **options):
    with CachedIndexes(lambda: iter(documents), folder, **{"model": "words"} | options) as indexes:
        return len(indexes.sparse.index)


def test_the_same_corpus_is_encoded_once(tmp_path, document_encoder):
    for _ in range(2):
        assert open_sparse(tmp_path) == 7
    assert len(document_encoder.encoded) == 7 + 1  # texts, and the title that they share
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("documents", "options"),
    [
        (DOCUMENTS[:-1], {}),
        ([*DOCUMENTS[:-1], Document("d6", "other", title="t")], {}),
        (DOCUMENTS, {"model": "others"}),
        (DOCUMENTS, {"language": "none"}),
    ],
)
def test_another_corpus_model_or_language(tmp_path, document_encoder, documents, options):
    open_sparse(tmp_path)
    open_sparse(tmp_path, documents, **options)
    assert len(list(tmp_path.iterdir())) == 2
    assert len(document_encoder.encoded) == 7 + 1 + len(documents) + 1


def test_an_interrupted_build_is_gone_on_with(tmp_path, document_encoder):
    def count(what, n):
        told.append((what, n))
        if len(told) == 1:
            raise KeyboardInterrupt

    told = []
    with pytest.raises(KeyboardInterrupt):
        open_sparse(tmp_path, on_progress=count)
    assert open_sparse(tmp_path, on_progress=count) == 7
    assert told == [("indexing", 7), ("indexing", 7)]


def test_a_build_without_neighbours_is_gone_on_with(tmp_path, document_encoder, monkeypatch):
    """All documents are committed, and the last step never came."""
    documents = [Document(f"d{i}", "dog fox" if i % 2 else "red dog") for i in range(2048)]

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(import_module("sparse_ir.retrieval.ingest"), "expand", interrupted)
        open_sparse(tmp_path / "stopped", documents)
    told = []
    for folder in ("stopped", "whole", "stopped"):
        open_sparse(tmp_path / folder, documents, on_progress=lambda what, n: told.append(what))
    assert told.count("looking at neighbours") == 2
    stopped, whole = (next((tmp_path / folder).iterdir()) for folder in ("stopped", "whole"))
    with Index.open(stopped) as one, Index.open(whole) as other:
        docs = [0, 1, 2047]
        assert (one.vectors(docs) != other.vectors(docs)).nnz == 0


def test_damaged_indexes_are_made_anew(tmp_path, document_encoder):
    pytest.importorskip("tantivy", reason="tantivy is not installed")
    for damaged in (None, "catalog.sqlite", "segment-*.sir", "meta.json"):
        for path in tmp_path.glob(f"*/{damaged}"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        with CachedIndexes(lambda: iter(DOCUMENTS), tmp_path, model="words") as indexes:
            assert len(indexes.sparse.index) == len(indexes.bm25) == 7
    assert len(document_encoder.encoded) == 3 * (7 + 1)


def test_tantivys_index_is_kept_too(tmp_path):
    pytest.importorskip("tantivy", reason="tantivy is not installed")
    told = []
    for _ in range(2):
        with CachedIndexes(
            lambda: iter(DOCUMENTS), tmp_path, on_progress=lambda what, n: told.append(what)
        ) as indexes:
            assert len(indexes.bm25) == 7
    assert told == ["indexing for BM25"] * 7


def test_of_an_index(tmp_path, document_encoder):
    pytest.importorskip("tantivy", reason="tantivy is not installed")
    ingest(tmp_path / "i", DOCUMENTS, model="words")
    with Index.open(tmp_path / "i") as index:
        assert list(indexed_documents(index, batch_size=3)) == DOCUMENTS
    with CachedIndexes.of_index(tmp_path / "i", tmp_path / "cache") as indexes:
        assert indexes.sparse.index.path == tmp_path / "i"
        assert indexes.bm25.search(["word3"])[0][0].doc_id == "d3"
    assert [path.name[:8] for path in (tmp_path / "cache").iterdir()] == ["tantivy-"]


def test_default_cache(monkeypatch, tmp_path):
    pytest.importorskip("platformdirs", reason="platformdirs is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert default_cache() == tmp_path / "sparse-ir"
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(MissingDependencyError, match="platformdirs"):
        default_cache()
