"""Haystack's own tests of document stores, and pipelines of our components."""

from __future__ import annotations

import sys
import threading

import pytest

from sparse_ir import corpus
from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.index.reader import Index

haystack = pytest.importorskip("haystack", reason="haystack-ai is not installed")
pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")

from haystack import Document, Pipeline  # noqa: E402
from haystack.components.writers import DocumentWriter  # noqa: E402
from haystack.dataclasses import ByteStream, SparseEmbedding  # noqa: E402
from haystack.document_stores.errors import DuplicateDocumentError  # noqa: E402
from haystack.document_stores.types import DuplicatePolicy  # noqa: E402
from haystack.errors import FilterError  # noqa: E402
from haystack.testing import document_store as published  # noqa: E402
from haystack.testing import document_store_async as published_async  # noqa: E402

from sparse_ir.integrations import haystack as ours  # noqa: E402
from sparse_ir.integrations.haystack import document_store as store_module  # noqa: E402
from sparse_ir.integrations.haystack import embedders  # noqa: E402
from sparse_ir.retrieval.ingest import ingest  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def models(document_encoder, make_lookup, monkeypatch):
    queries = make_lookup([0, *[i / 4 for i in range(1, 10)]])

    def load(model, role):
        assert model == "words"
        return document_encoder if role == "document" else queries

    for module in (store_module, embedders):
        monkeypatch.setattr(module, "load_encoder", load)
    return document_encoder


@pytest.fixture
def document_store(tmp_path, models):
    return ours.SparseIRDocumentStore(str(tmp_path / "index"), model="words")


class TestTheirOwn(
    published.DocumentStoreBaseExtendedTests,
    published.CountDocumentsByFilterTest,
    published.CountUniqueMetadataByFilterTest,
    published.GetMetadataFieldsInfoTest,
    published.GetMetadataFieldMinMaxTest,
    published.GetMetadataFieldUniqueValuesTest,
):
    @pytest.fixture
    def document_store(self, tmp_path, models):
        return ours.SparseIRDocumentStore(str(tmp_path / "index"), model="words")

    def test_write_documents(self, document_store):
        document = Document(content="red fox")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])
        self.assert_documents_are_equal(document_store.filter_documents(), [document])


class TestTheirOwnAsync(
    published_async.CountDocumentsAsyncTest,
    published_async.CountDocumentsByFilterAsyncTest,
    published_async.CountUniqueMetadataByFilterAsyncTest,
    published_async.DeleteAllAsyncTest,
    published_async.DeleteByFilterAsyncTest,
    published_async.DeleteDocumentsAsyncTest,
    published_async.FilterDocumentsAsyncTest,
    published_async.GetMetadataFieldMinMaxAsyncTest,
    published_async.GetMetadataFieldUniqueValuesAsyncTest,
    published_async.GetMetadataFieldsInfoAsyncTest,
    published_async.UpdateByFilterAsyncTest,
    published_async.WriteDocumentsAsyncTest,
):
    @pytest.fixture
    def document_store(self, tmp_path, models):
        return ours.SparseIRDocumentStore(str(tmp_path / "index"), model="words")

    @pytest.mark.asyncio
    async def test_write_documents_async(self, document_store):
        document = Document(content="red fox")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])


def test_every_published_test_class_is_used():
    for module, used in ((published, TestTheirOwn), (published_async, TestTheirOwnAsync)):
        classes = {
            value
            for name, value in vars(module).items()
            if isinstance(value, type)
            and name.endswith("Test")
            and value.__module__.endswith(module.__name__.rpartition(".")[2])
        }
        assert classes <= set(used.__mro__)


DOCUMENTS = [
    Document(id="a", content="a red fox runs fast", meta={"year": 2020}, embedding=[1.0, 0.0]),
    Document(id="b", content="the dog sleeps", meta={"year": 1999}, embedding=[0.0, 1.0]),
    Document(id="c", content="a fox and a dog", meta={"year": 2021}, embedding=[0.6, 0.8]),
]


def test_documents_come_back_whole_from_another_store(document_store):
    documents = [
        Document(id="x", content=None, blob=ByteStream(b"\0\xff", {"a": 1}, "image/png")),
        Document(id="y", content="", embedding=[0.1, -1e300], meta={"deep": {"er": [1, None]}}),
        Document(id="z", content="fox", sparse_embedding=SparseEmbedding([2, 7], [0.5, 0.25])),
    ]
    assert document_store.write_documents(documents) == 3
    again = ours.SparseIRDocumentStore.from_dict(document_store.to_dict())
    assert again.filter_documents() == documents
    overwritten = [Document(id=one.id, content=one.content) for one in documents[1:]]
    document_store.write_documents(overwritten, DuplicatePolicy.OVERWRITE)
    fresh = ours.SparseIRDocumentStore.from_dict(document_store.to_dict())
    assert {one.id: one for one in fresh.filter_documents()} == {
        one.id: one for one in [documents[0], *overwritten]
    }


def test_nothing_is_written_if_anything_is_refused(document_store):
    document_store.write_documents(DOCUMENTS[:1])
    with pytest.raises(DuplicateDocumentError, match="'a' is known"):
        document_store.write_documents(list(reversed(DOCUMENTS)))
    with pytest.raises(DuplicateDocumentError, match="'b' is known"):
        document_store.write_documents([DOCUMENTS[1], DOCUMENTS[1]])
    with pytest.raises(InvalidInputError, match="not JSON"):
        document_store.write_documents([Document(id="n", content="x", meta={"a": {1}})])
    with pytest.raises(InvalidInputError, match="has the index 99"):
        embedding = SparseEmbedding([99], [1.0])
        document_store.write_documents([Document(content="x", sparse_embedding=embedding)])
    assert document_store.filter_documents() == DOCUMENTS[:1]


@pytest.mark.parametrize(
    "filters",
    [
        {"operator": "XOR", "conditions": []},
        {"operator": "AND", "conditions": ["year"]},
        {"field": "meta.year", "operator": "~", "value": 1},
        {"field": "content", "operator": "==", "value": "x"},
        {"field": "meta.year", "operator": "<", "value": {"a": 1}},
    ],
)
def test_refuses_what_is_no_filter(document_store, filters):
    with pytest.raises(FilterError):
        document_store.filter_documents(filters)


def test_filters_agree_with_theirs(document_store):
    from haystack.utils.filters import document_matches_filter

    values = [1, 2.5, "x", "2024-01-01", "2024-01-01T01:00:00+01:00", None, True, {"b": 3}, [1]]
    documents = [Document(id=f"{i}", content="fox", meta={"a": v}) for i, v in enumerate(values)]
    documents.append(Document(id="none", content="fox"))
    document_store.write_documents(documents)
    for operator in ("==", "!=", "in", "not in"):
        for value in [2.5, "x", "2024-01-01T00:00:00Z", "2024-01-01", None, {"b": 3}, [1]]:
            for field in ("meta.a", "a", "meta.a.b"):
                wanted = [value] if "in" in operator else value
                if isinstance(value, list | dict) and "in" in operator:
                    continue  # theirs compares lists with members
                filters = {"field": field, "operator": operator, "value": wanted}
                expected = [d.id for d in documents if document_matches_filter(filters, d)]
                assert [d.id for d in document_store.filter_documents(filters)] == expected
    by_id = {"field": "id", "operator": "in", "value": ["1", "none"]}
    assert [d.id for d in document_store.filter_documents(by_id)] == ["1", "none"]


def test_a_pipeline_that_writes_and_one_that_finds(document_store, models):
    indexing = Pipeline()
    indexing.add_component("embedder", ours.SparseIRDocumentEmbedder("words"))
    indexing.add_component("writer", DocumentWriter(document_store))
    indexing.connect("embedder", "writer")
    indexing.run({"embedder": {"documents": DOCUMENTS}})
    assert len(models.encoded) == len(DOCUMENTS)  # the store does not encode again
    finding = Pipeline()
    finding.add_component("embedder", ours.SparseIRTextEmbedder("words"))
    finding.add_component("retriever", ours.SparseIREmbeddingRetriever(document_store, top_k=2))
    finding.connect("embedder.sparse_embedding", "retriever.query_sparse_embedding")
    finding = Pipeline.from_dict(finding.to_dict(), allowed_modules=["sparse_ir.*"])
    found = finding.run({"embedder": {"text": "puppy dog"}})["retriever"]["documents"]
    # puppy weighs 4/4 and dog 3/4; documents hold dog with 1 and its expansion puppy with 0.5
    assert [(one.id, one.score) for one in found] == [("b", 1.25), ("c", 1.25)]
    assert all(one.sparse_embedding is not None for one in found)


async def test_text_retriever(document_store):
    document_store.write_documents(DOCUMENTS)
    newer = {"field": "meta.year", "operator": ">", "value": 2000}
    retriever = ours.SparseIRRetriever(document_store, filters=newer, mode="lexical")
    retriever = ours.SparseIRRetriever.from_dict(retriever.to_dict())
    assert [one.id for one in retriever.run("dog")["documents"]] == ["c"]
    older = {"field": "meta.year", "operator": "<", "value": 2000}
    assert [d.id for d in retriever.run("dog", filters=older)["documents"]] == ["b"]
    found = await retriever.run_async("fox", top_k=1)
    assert found == {"documents": document_store.search("fox", top_k=1, mode="lexical")}
    assert found["documents"][0].score > 0
    with pytest.raises(InvalidInputError, match="top_k is 0"):
        retriever.run("dog", top_k=0)
    with pytest.raises(InvalidInputError, match="want a SparseIRDocumentStore"):
        ours.SparseIRRetriever("index")


async def test_hybrid_retriever(document_store):
    document_store.write_documents([*DOCUMENTS, Document(id="d", content="sleeps")])
    dense = document_store.search_dense([0.0, 2.0], top_k=2)
    assert [one.id for one in dense] == ["b", "c"]
    assert [one.score for one in dense] == pytest.approx([1.0, 0.8])
    retriever = ours.SparseIRHybridRetriever(document_store, dense_weight=0.5, depth=10)
    found = retriever.run("red fox", [0.0, 1.0], top_k=3)["documents"]
    # By text a, c; by embedding b, c, a: second twice beats first and third.
    assert [one.id for one in found] == ["a", "c", "b"]
    only_dense = ours.SparseIRHybridRetriever(document_store, dense_weight=1.0)
    only_dense = ours.SparseIRHybridRetriever.from_dict(only_dense.to_dict())
    found = (await only_dense.run_async("red fox", [0.0, 1.0]))["documents"]
    assert [one.id for one in found] == ["b", "c", "a"]
    with pytest.raises(InvalidInputError, match="has 3 numbers, that of 'a' 2"):
        document_store.search_dense([1.0, 0.0, 0.0])
    with pytest.raises(InvalidInputError, match="dense_weight is 2"):
        ours.SparseIRHybridRetriever(document_store, dense_weight=2)


def test_searches_while_documents_are_written(document_store):
    document_store.write_documents(DOCUMENTS)
    problems, stop = [], threading.Event()

    def search():
        while not stop.is_set():
            found = {one.id for one in document_store.search("fox")}
            if not found >= {"a", "c"}:
                problems.append(found)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(5):
        document_store.write_documents([Document(id=f"new{i}", content="quick fox")])
        document_store.delete_documents([f"new{i - 1}"])
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert [one.id for one in document_store.search("quick", top_k=1)] == ["new4"]


def test_the_dense_model_of_an_index_stays_loaded(tmp_path, models, dense_encoder):
    path = tmp_path / "index"
    ingest(path, [corpus.Document("a", "red fox")], model="words", dense="counts")
    store = ours.SparseIRDocumentStore(str(path), model="words")
    before = dense_encoder.n_loads
    for text in ("dog", "puppy"):
        store.write_documents([Document(id=text, content=text)])
    assert dense_encoder.n_loads == before + 1
    with Index.open(path) as index:
        assert index.dense.n_vectors == 3


def test_embedders_refuse_one_anothers_input(models):
    with pytest.raises(InvalidInputError, match="want a string"):
        ours.SparseIRTextEmbedder("words").run(DOCUMENTS)
    with pytest.raises(InvalidInputError, match="want a list of Documents"):
        ours.SparseIRDocumentEmbedder("words").run("fox")


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "haystack", None)
    monkeypatch.delitem(sys.modules, "sparse_ir.integrations.haystack")
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[haystack\]"):
        import sparse_ir.integrations.haystack  # noqa: F401
