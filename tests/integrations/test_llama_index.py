"""LlamaIndex's query engine on our retriever, with its mock model; filters against its own."""

from __future__ import annotations

import sys

import pytest

from sparse_ir.errors import InvalidInputError, MissingDependencyError

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")
pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")

from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from sparse_ir.integrations import llama_index as adapter

pytestmark = pytest.mark.filterwarnings("ignore")  # its own


def filters(*conditions, condition=FilterCondition.AND):
    return MetadataFilters(
        filters=[MetadataFilter(key=k, operator=o, value=v) for k, o, v in conditions],
        condition=condition,
    )


async def test_a_query_engine(opened):
    newer = filters(("year", ">=", 2020))
    retriever = adapter.SparseIRRetriever(opened, similarity_top_k=2, filters=newer)
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    hits = opened.search("red fox", 2, filter="year >= 2020")
    for response in (engine.query("red fox"), await engine.aquery("red fox")):
        found = response.source_nodes
        assert [(one.node_id, one.score, one.text) for one in found] == [
            (hit.doc_id, hit.score, hit.text) for hit in hits
        ]
        prompt = str(response)  # the mock model repeats what it is asked
        assert "a red fox runs fast" in prompt
        assert "title: Fox" in prompt
        assert "the dog sleeps" not in prompt
        assert "score" not in prompt
    assert found[0].node.ref_doc_id == "a"
    assert found[0].metadata == {
        "year": 2020,
        "tags": ["red"],
        "doc_id": "a",
        "title": "Fox",
        "score": hits[0].score,
    }


def test_our_own_filters_and_modes(opened):
    retriever = adapter.SparseIRRetriever(opened, mode="lexical", filters="year < 2000")
    assert [one.node_id for one in retriever.retrieve("dog")] == ["b"]
    with pytest.raises(InvalidInputError, match="k is 0"):
        adapter.SparseIRRetriever(opened, similarity_top_k=0).retrieve("dog")


def test_passages_know_where_they_were():
    from sparse_ir.hits import Hit, Passage

    class Long:
        def search(self, queries, k=10):
            return [[Hit("x", 1.5, "one two three", passage=Passage(1, 4, 7, "two"))]]

    (found,) = adapter.SparseIRRetriever(Long()).retrieve("two")
    assert (found.text, found.node.start_char_idx, found.node.end_char_idx) == ("two", 4, 7)


METADATA = {
    "a": {"n": 1, "s": "red fox", "tags": ["x", "y"]},
    "b": {"n": 2.5, "s": "dog", "tags": ["y"]},
    "c": {"n": 3, "s": "", "tags": []},
    "d": {},
}


@pytest.mark.parametrize("condition", list(FilterCondition))
@pytest.mark.parametrize(
    "conditions",
    [
        [("n", "==", 1)],
        [("n", "!=", 1), ("n", "!=", 3)],
        [("n", ">", 1), ("s", "==", "dog")],
        [("n", ">=", 2.5), ("n", "<", 1)],
        [("n", "<=", 2), ("s", "in", ["dog", "cat"])],
        [("s", "nin", ["dog", "cat"]), ("n", "in", [1, 2])],
        [("tags", "any", ["x", "z"]), ("tags", "all", ["y"])],
        [("tags", "contains", "y"), ("s", "text_match", "fox")],
        [("tags", "is_empty", None), ("s", "is_empty", None)],
    ],
)
def test_filters_agree_with_theirs(tmp_path, condition, conditions):
    from sparse_ir.index.writer import IndexWriter

    asked = filters(*conditions, condition=condition)
    theirs = build_metadata_filter_fn(METADATA.get, asked)
    with IndexWriter.create(tmp_path / "i", n_terms=1) as writer:
        writer.add_vectors([{0: 1.0}] * 4, list(METADATA), metadata=list(METADATA.values()))
        index = writer.index()
        docs = index.matching(adapter.condition_of(asked)).tolist()
        found = set(index.doc_ids(docs).values())
    assert found == {doc_id for doc_id in METADATA if theirs(doc_id)}


def test_nested_filters_and_dates(opened):
    nested = MetadataFilters(
        filters=[
            filters(("at", "<", "2022-01-01T00:00:00Z"), ("year", "==", 1999), condition="or"),
            MetadataFilter(key="year", operator=FilterOperator.NE, value=2000),
        ]
    )
    docs = opened.index.matching(adapter.condition_of(nested)).tolist()
    assert sorted(opened.index.doc_ids(docs).values()) == ["b", "c"]
    with pytest.raises(InvalidInputError, match="operator is 'text_match_insensitive'; want"):
        adapter.condition_of(filters(("a", "text_match_insensitive", "x")))


async def test_sparse_embeddings(document_encoder, make_lookup, monkeypatch):
    queries = make_lookup([0, *[i / 4 for i in range(1, 10)]])
    monkeypatch.setattr(
        adapter, "load_encoder", lambda m, role: document_encoder if role == "document" else queries
    )
    embedding = adapter.SparseIREmbedding("words")
    # 2 fox, 3 dog, 4 puppy, 7 animal: expansions weigh half
    assert embedding.get_text_embedding("fox dog") == {2: 1.0, 3: 1.0, 4: 0.5, 7: 0.5}
    assert await embedding.aget_text_embedding_batch(["fox", "no such word"]) == [
        {2: 1.0, 7: 0.5},
        {},
    ]
    assert embedding.get_query_embedding("fox") == {2: 0.5}
    assert await embedding.aget_query_embedding("fox") == {2: 0.5}
    assert embedding.model_dump()["class_name"] == "SparseIREmbedding"


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_index.core.callbacks", None)
    monkeypatch.delitem(sys.modules, "sparse_ir.integrations.llama_index")
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[llama-index\]"):
        import sparse_ir.integrations.llama_index  # noqa: F401
