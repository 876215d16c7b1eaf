"""Haystack's own tests of document stores, and pipelines of our components."""

from __future__ import annotations

import re
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
from sparse_ir.retrieval.retriever import SparseRetriever  # noqa: E402

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


NAN = float("nan")


@pytest.mark.parametrize(
    "refused",
    [
        Document(id="z", content="fox", sparse_embedding=SparseEmbedding([99], [1.0])),
        Document(id="z", content="fox", sparse_embedding=SparseEmbedding([2], [-1.0])),
        Document(id="z", content="fox", meta={"a": {1}}),
        Document(id="z", content="fox \ud800"),
        Document(id="z", content="fox", embedding=[NAN, 1.0]),
        Document(id="z", content="fox", embedding=["one"]),
    ],
)
def test_nothing_is_written_of_many_if_one_is_refused(document_store, refused):
    document_store.write_documents(DOCUMENTS)
    changed = Document(id="a", content="a red fox runs fast", embedding=[0.0, 9.0])
    embedded = Document(id="e", content="dog", sparse_embedding=SparseEmbedding([3], [1.0]))
    with pytest.raises(InvalidInputError):
        document_store.write_documents([changed, embedded, refused], DuplicatePolicy.OVERWRITE)
    for store in (document_store, ours.SparseIRDocumentStore.from_dict(document_store.to_dict())):
        assert store.filter_documents() == DOCUMENTS


def test_what_was_committed_before_a_failure_is_seen(document_store, models, monkeypatch):
    assert document_store.count_documents() == 0
    embedded = Document(id="e", content="dog", sparse_embedding=SparseEmbedding([3], [1.0]))
    monkeypatch.setattr(type(models), "encode", lambda *_, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        document_store.write_documents([embedded, Document(id="f", content="fox")])
    assert document_store.filter_documents() == [embedded]


@pytest.fixture
def short_sighted(models):
    """The document encoder reads five words at once."""
    models.room = 5
    models.token_spans = lambda text: [match.span() for match in re.finditer(r"[\w.]+", text)]
    return models


LONG = "The dog sleeps. The dog sleeps. A quick red fox. The dog sleeps. The dog sleeps."


def test_searches_give_titles_and_the_passage_that_matched(tmp_path, short_sighted):
    path = tmp_path / "index"
    short = corpus.Document("short", "a red dog", "Puppy", {"year": 1999})
    ingest(path, [corpus.Document("long", LONG), short], model="words")
    store = ours.SparseIRDocumentStore(str(path), model="words")
    long = Document(id="long", content=LONG, embedding=[1.0, 0.0], meta={"title": "Animals"})
    store.write_documents([long], DuplicatePolicy.OVERWRITE)
    with SparseRetriever.open(path) as retriever:
        hits = {hit.doc_id: hit for hit in retriever.search("red fox")}
    passage = hits["long"].passage
    assert passage.text == "A quick red fox." == LONG[passage.start : passage.end]
    found = {one.id: one for one in store.search("red fox")}
    place = {"passage": passage.number, "span": [passage.start, passage.end]}
    assert found["long"].content == passage.text
    assert found["long"].meta == {"title": "Animals", **place}
    assert found["long"].score == hits["long"].score
    assert found["long"].embedding == [1.0, 0.0]
    assert found["short"].content == "a red dog"
    assert found["short"].meta == {"title": "Puppy", "year": 1999}
    query = SparseEmbedding([1, 2], [1.0, 1.0])
    by_terms = {one.id: one for one in store.search_sparse(query)}
    assert by_terms["long"].content == passage.text
    assert by_terms["long"].score == 2.0  # red and fox, of one passage
    hybrid = ours.SparseIRHybridRetriever(store).run("red fox", [1.0, 0.0])["documents"]
    assert {one.id: one.content for one in hybrid}["long"] == passage.text
    (dense,) = store.search_dense([1.0, 0.0])
    assert (dense.content, dense.meta) == (LONG, {"title": "Animals"})


def test_what_is_read_and_written_back_stays_as_it_was(tmp_path, short_sighted):
    path = tmp_path / "index"
    documents = [
        corpus.Document("long", LONG, "Fox", {"year": 1999}),
        corpus.Document("titled", "", "Puppy"),
    ]
    ingest(path, documents, model="words")
    store = ours.SparseIRDocumentStore(str(path), model="words")
    read = store.filter_documents()
    assert [(one.content, one.meta["title"]) for one in read] == [(LONG, "Fox"), ("", "Puppy")]
    n_encoded = len(short_sighted.encoded)
    store.write_documents(read, DuplicatePolicy.OVERWRITE)
    assert len(short_sighted.encoded) == n_encoded
    assert store.filter_documents() == read
    with Index.open(path) as index:
        for one in documents:
            assert index.document(one.doc_id).content == one.content
    assert [one.content for one in store.search("puppy", top_k=1)] == ["Puppy"]


def test_a_title_is_read_with_the_content(document_store, models):
    titled = Document(id="t", content="runs", meta={"title": "Dog"})
    numbered = Document(id="n", content="runs", meta={"title": 7})
    document_store.write_documents([titled, numbered])
    assert models.encoded == ["Dog runs", "runs", "Dog"]  # and once by itself
    ours.SparseIRDocumentEmbedder("words").run([titled])
    assert models.encoded[3:] == ["Dog runs"]
    assert [one.id for one in document_store.search("dog", mode="lexical")] == ["t"]
    assert document_store.filter_documents() == [titled, numbered]
    document_store.update_by_filter({}, {"title": "Fox"})
    assert {one.meta["title"] for one in document_store.filter_documents()} == {"Fox"}


def test_refuses_an_index_of_another_language(tmp_path, models):
    path = tmp_path / "index"
    ingest(path, [corpus.Document("x", "Hunde schlafen")], model="words", language="german")
    store = ours.SparseIRDocumentStore(str(path), model="words")
    plain = Document(id="p", content="dog")
    embedded = Document(id="e", content="dog", sparse_embedding=SparseEmbedding([3], [1.0]))
    for one in (plain, embedded):
        with pytest.raises(InvalidInputError, match="built with language 'german'"):
            store.write_documents([one])
    store = ours.SparseIRDocumentStore(str(path), model="words", language="german")
    assert store.write_documents([plain, embedded]) == 2


def test_an_index_without_passages_stays_so(tmp_path, short_sighted):
    path = tmp_path / "index"
    ingest(path, [corpus.Document("x", "dog")], model="words", passages=False)
    store = ours.SparseIRDocumentStore(str(path), model="words")
    store.write_documents([Document(id="long", content=LONG)])
    with Index.open(path) as index:
        assert not index.has_passages
    assert [one.content for one in store.search("fox")] == [LONG]


def test_embedded_documents_get_the_vectors_of_an_index_with_a_dense_part(
    tmp_path, models, dense_encoder
):
    path = tmp_path / "index"
    ingest(path, [corpus.Document("x", "red fox")], model="words", dense="counts")
    store = ours.SparseIRDocumentStore(str(path), model="words")
    embedding = SparseEmbedding([3], [1.0])
    meta = {"title": "Puppy"}
    store.write_documents([Document(id="e", content="dog", meta=meta, sparse_embedding=embedding)])
    assert dense_encoder.encoded[-1] == "Puppy dog"
    with Index.open(path) as index:
        (hits,) = index.dense.search(dense_encoder.encode(["Puppy dog"]), 1).ids
        assert hits == ["e"]


def test_one_snapshot_is_searched_by_embedding(document_store, monkeypatch):
    document_store.write_documents(DOCUMENTS)
    compare = store_module.cosine

    def deleting(doc_id, *embeddings):
        thread = threading.Thread(target=document_store.delete_documents, args=(["b"],))
        thread.start()
        thread.join()
        return compare(doc_id, *embeddings)

    monkeypatch.setattr(store_module, "cosine", deleting)
    assert [one.id for one in document_store.search_dense([0.0, 1.0], top_k=2)] == ["b", "c"]
    assert document_store.count_documents() == 2


def test_stores_see_what_others_wrote_when_they_change_it(document_store):
    other = ours.SparseIRDocumentStore.from_dict(document_store.to_dict())
    document_store.write_documents([Document(id="0", content="fox")])
    assert other.count_documents() == 1
    document_store.update_by_filter({}, {"x": 1})
    assert other.update_by_filter({}, {"y": 2}) == 1
    again = ours.SparseIRDocumentStore.from_dict(document_store.to_dict())
    assert [one.meta for one in again.filter_documents()] == [{"x": 1, "y": 2}]
    document_store.write_documents([Document(id="1", content="dog")])
    assert other.delete_by_filter({}) == 2


def test_refuses_searches_by_embedding(document_store):
    document_store.write_documents(DOCUMENTS)
    for top_k in (0, -1):
        with pytest.raises(InvalidInputError, match=f"top_k is {top_k}"):
            document_store.search_dense([1.0, 0.0], top_k=top_k)
    with pytest.raises(InvalidInputError, match="the query's embedding is no list of finite"):
        document_store.search_dense([NAN, 0.0])


@pytest.mark.parametrize(
    "filters",
    [
        {"operator": "XOR", "conditions": []},
        {"operator": "AND", "conditions": ["year"]},
        {"field": "meta.year", "operator": "~", "value": 1},
        {"field": "content", "operator": "==", "value": "x"},
        {"field": "meta.year", "operator": "<", "value": {"a": 1}},
        {"operator": "AND", "conditions": None},
        {"field": 5, "operator": "==", "value": 1},
        {"field": 'meta.a"b', "operator": "==", "value": 1},
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
