"""An index of ten words, live, and a client of the server over it."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="the extra server is not installed")

from fastapi.testclient import TestClient

from sparse_ir.corpus import Document
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.server import live_index
from sparse_ir.server.app import create_app
from sparse_ir.server.live_index import LiveIndex

DOCUMENTS = [
    Document("a", "The red fox runs. Foxes are fast.", title="Fox", metadata={"year": 1}),
    Document("b", "dog sleeps", metadata={"year": 2, "lang": "en"}),
    Document("notes/c.md", "a quick fox runs fast"),
]


@pytest.fixture
def index_folder(tmp_path, document_encoder, monkeypatch):
    monkeypatch.setattr(live_index, "load_encoder", lambda name: document_encoder)
    ingest(tmp_path / "index", DOCUMENTS, model="words")
    return tmp_path / "index"


@pytest.fixture
def live(index_folder):
    opened = LiveIndex(index_folder)
    yield opened
    opened.close()


@pytest.fixture
def hybrid_live(tmp_path, document_encoder, dense_encoder, monkeypatch):
    """An index with a dense part."""
    monkeypatch.setattr(live_index, "load_encoder", lambda name: document_encoder)
    ingest(tmp_path / "hybrid", DOCUMENTS, model="words", dense="counts")
    opened = LiveIndex(tmp_path / "hybrid")
    yield opened
    opened.close()


@pytest.fixture
def client(live):
    with TestClient(create_app(live, most_bytes=100_000), base_url="http://localhost") as one:
        yield one
