"""LangChain's own tests of a retriever, and a chain."""

from __future__ import annotations

import sys

import pytest

from sparse_ir.errors import InvalidInputError, MissingDependencyError

pytest.importorskip("langchain_core", reason="langchain-core is not installed")
tests = pytest.importorskip(
    "langchain_tests.integration_tests", reason="langchain-tests is not installed"
)

from sparse_ir.integrations.langchain import SparseIRRetriever  # noqa: E402


class TestLangChainsOwn(tests.RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _opened(self, opened):
        self.opened = opened

    @property
    def retriever_constructor(self):
        return SparseIRRetriever

    @property
    def retriever_constructor_params(self):
        return {"retriever": self.opened}

    @property
    def retriever_query_example(self):
        return "fox"


def test_hits_are_documents(opened):
    found = SparseIRRetriever(retriever=opened, k=2).invoke("red fox")
    hits = opened.search("red fox", 2)
    assert [document.id for document in found] == [hit.doc_id for hit in hits]
    assert [document.page_content for document in found] == [hit.text for hit in hits]
    assert found[0].metadata == {
        "year": 2020,
        "tags": ["red"],
        "doc_id": "a",
        "title": "Fox",
        "score": hits[0].score,
    }
    assert "title" not in found[1].metadata


async def test_filters_and_modes_sync_and_async(opened):
    lexical = SparseIRRetriever(retriever=opened, mode="lexical", filter="year >= 2020")
    for found in (lexical.invoke("dog"), await lexical.ainvoke("dog")):
        hits = opened.search("dog", mode="lexical", filter="year >= 2020")
        assert [document.id for document in found] == [hit.doc_id for hit in hits] == ["c"]
    older = {"k": 1, "filter": {"year": [1999, 2019]}}
    assert [document.id for document in lexical.invoke("dog", **older)] == ["b"]
    assert [document.id for document in await lexical.ainvoke("dog", **older)] == ["b"]


def test_any_retriever_will_do(opened):
    class Plain:
        def search(self, queries, k=10):
            return opened.search(queries, k)

    assert [d.id for d in SparseIRRetriever(retriever=Plain()).invoke("dog")] == ["b", "c"]


def test_passages_of_long_documents(opened):
    from sparse_ir.hits import Hit, Passage

    class Long:
        def search(self, queries, k=10):
            return [[Hit("x", 1.5, "one two three", passage=Passage(1, 4, 7, "two"))]]

    (found,) = SparseIRRetriever(retriever=Long()).invoke("two")
    assert found.page_content == "two"
    assert found.metadata == {"doc_id": "x", "score": 1.5, "passage": 1, "span": [4, 7]}


def test_bad_input(opened):
    asked = SparseIRRetriever(retriever=opened)
    with pytest.raises(InvalidInputError, match="k is 0"):
        asked.invoke("fox", k=0)
    with pytest.raises(InvalidInputError, match="unknown field 'colour'"):
        asked.invoke("fox", filter="colour = 1")
    with pytest.raises(InvalidInputError, match="mode is 'other'"):
        SparseIRRetriever(retriever=opened, mode="other").invoke("fox")


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain_core.callbacks", None)
    monkeypatch.delitem(sys.modules, "sparse_ir.integrations.langchain", raising=False)
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[langchain\]"):
        import sparse_ir.integrations.langchain  # noqa: F401
