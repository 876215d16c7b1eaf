"""Adapters that take a retriever take a hybrid one too, and give what it finds."""

from __future__ import annotations

from importlib import import_module

import pytest

from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.ingest import ingest

QUERY = "puppy at night"


def by_langchain(module, retriever):
    found = module.SparseIRRetriever(retriever=retriever, k=3).invoke(QUERY)
    return [one.metadata["doc_id"] for one in found]


def by_llama_index(module, retriever):
    found = module.SparseIRRetriever(retriever, similarity_top_k=3).retrieve(QUERY)
    return [one.node.metadata["doc_id"] for one in found]


def by_dspy(module, retriever):
    return [one.doc_id for one in module.SparseIRRM(retriever)(QUERY, k=3)]


@pytest.mark.parametrize(
    ("name", "package", "ask"),
    [
        ("langchain", "langchain_core", by_langchain),
        ("llama_index", "llama_index.core", by_llama_index),
        ("dspy", "dspy", by_dspy),
    ],
)
def test_hits_of_both_legs(fables, dense_encoder, name, package, ask):
    pytest.importorskip(package, reason=f"{package} is not installed")
    ingest(fables, [], model="words", dense="counts")
    with HybridRetriever.open(fables) as retriever:
        expected = retriever.search(QUERY, 3)
        assert [*expected[0].legs] == ["anchored", "dense"]
        found = ask(import_module(f"sparse_ir.integrations.{name}"), retriever)
    assert found == [hit.doc_id for hit in expected]
