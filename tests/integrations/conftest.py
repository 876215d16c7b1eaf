"""An index that every framework is asked about; async tests run where pytest-asyncio is."""

from __future__ import annotations

import os

import pytest

from sparse_ir.corpus import Document
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.retriever import SparseRetriever

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["DO_NOT_TRACK"] = "1"

FABLES = [
    Document("a", "a red fox runs fast", "Fox", {"year": 2020, "tags": ["red"]}),
    Document("b", "the dog sleeps", metadata={"year": 1999}),
    Document("c", "a fox and a dog", metadata={"year": 2021, "at": "2021-03-04"}),
    Document("d", "quick quick fox", metadata={"year": 2019}),
]


def pytest_configure(config):
    if hasattr(config.option, "asyncio_mode"):  # the frameworks' own tests want it so
        config.option.asyncio_mode = "auto"


@pytest.fixture
def fables(tmp_path, document_encoder):
    """The folder of the index."""
    ingest(tmp_path / "fables", FABLES, model="words")
    return tmp_path / "fables"


@pytest.fixture
def opened(fables):
    with SparseRetriever.open(fables) as retriever:
        yield retriever
