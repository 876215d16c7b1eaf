"""The dense part against brute force, through growth, deletion, merging, damage and misuse."""

from __future__ import annotations

import gc
import shutil
import weakref

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir.corpus import Document
from sparse_ir.errors import IndexFormatError, InvalidInputError, MissingDependencyError
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.dense_segment import DenseRows
from sparse_ir.index.faiss_codes import Codes
from sparse_ir.index.params import BuildParams, DensePart
from sparse_ir.index.passages import StoredPassage
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter

DIMENSION = 8
RANDOM = np.random.default_rng(3)
QUERIES = RANDOM.normal(size=(5, DIMENSION)).astype(np.float32)


class Collection:
    """Documents with one to three vectors each, kept beside the index to compare with."""

    def __init__(self):
        self.vectors = {}

    def batch(self, first, n):
        counts = RANDOM.integers(1, 4, n)
        vectors = RANDOM.normal(size=(counts.sum(), DIMENSION)).astype(np.float32)
        parts = np.split(vectors, np.cumsum(counts)[:-1])
        self.vectors |= {f"d{first + i}": part for i, part in enumerate(parts)}
        ids = [f"d{first + i}" for i in range(n)]
        terms = sp.csr_array(np.eye(10, dtype=np.float32)[np.arange(first, first + n) % 10])
        metadata = [{"number": first + i} for i in range(n)]
        return {"vectors": terms, "ids": ids, "metadata": metadata}, DenseRows(vectors, counts)

    def top(self, query, k, wanted=lambda doc_id: True):
        """[(doc_id, score, passage)], computed in float16 as it is stored."""
        query = query / np.linalg.norm(query)
        found = []
        for doc_id, vectors in self.vectors.items():
            if wanted(doc_id):
                stored = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
                scores = stored.astype(np.float16).astype(np.float32) @ query
                best = int(scores.argmax()) if len(vectors) > 1 else -1
                found.append((doc_id, scores.max(), best))
        return sorted(found, key=lambda one: (-one[1], int(one[0][1:])))[:k]


def require_same(hits, collection, k, wanted=lambda doc_id: True):
    for row, query in enumerate(QUERIES):
        expected = collection.top(query, k, wanted)
        assert hits.ids[row] == [doc_id for doc_id, _, _ in expected]
        n = len(expected)
        of_expected = [score for _, score, _ in expected]
        np.testing.assert_allclose(hits.scores[row, :n], of_expected, rtol=1e-5, atol=1e-6)
        assert hits.passages[row, :n].tolist() == [number for _, _, number in expected]


@pytest.fixture
def grown(tmp_path):
    """(path, what is in it): many commits, deletions and replacements."""
    path, collection = tmp_path / "index", Collection()
    part = DensePart("none", DIMENSION)
    with IndexWriter.create(path, n_terms=10, dense=part) as writer:
        for first in range(0, 200, 10):
            rows, dense = collection.batch(first, 10)
            writer.add_vectors(**rows, dense=dense)
            if first % 30 == 0:
                require_same(writer.index().dense.search(QUERIES, 7), collection, 7)
            writer.commit()
        rows, dense = collection.batch(50, 10)  # replaces ten
        writer.add_vectors(**rows, dense=dense)
        index = writer.index()
        writer.delete(["d3", "d77", "d150"])
        for doc_id in ("d3", "d77", "d150"):
            del collection.vectors[doc_id]
        require_same(index.dense.search(QUERIES, 20), collection, 20)
    return path, collection


def test_flat_search_is_brute_force(grown):
    path, collection = grown
    with Index.open(path) as index:
        index.verify()
        for k in (1, 10, 500):
            require_same(index.dense.search(QUERIES, k), collection, k)
        hits = index.dense.search(QUERIES, 10, filter="number < 40")
        require_same(hits, collection, 10, lambda doc_id: int(doc_id[1:]) < 40)
        hits = index.dense.search(QUERIES, 10, filter="number < 0")
        assert hits.counts.tolist() == [0] * 5
        assert len(index.info()["segments"]) > 1


def test_a_filter_is_asked_once_for_both_halves(grown, monkeypatch):
    path, collection = grown
    asked, matching = [], Catalog.matching

    def counted(self, *condition):
        asked.append(condition)
        return matching(self, *condition)

    with Index.open(path) as index:
        monkeypatch.setattr(Catalog, "matching", counted)
        hits = index.search(sp.csr_array(np.ones((1, 10), np.float32)), 50, filter="number < 40")
        assert all(int(doc_id[1:]) < 40 for doc_id in hits.ids[0])
        assert hits.counts[0] == sum(int(doc_id[1:]) < 40 for doc_id in collection.vectors)
        hits = index.dense.search(QUERIES, 10, filter="number < 40")
        require_same(hits, collection, 10, lambda doc_id: int(doc_id[1:]) < 40)
    assert len(asked) == 1


def test_optimized_and_compacted(grown):
    path, collection = grown
    with IndexWriter.open(path) as writer:
        writer.optimize()
    with Index.open(path) as index:
        index.verify()
        require_same(index.dense.search(QUERIES, 30), collection, 30)
        assert index.dense.n_vectors == sum(map(len, collection.vectors.values()))
    assert len(list(path.glob("segment-*.vec"))) == len(list(path.glob("segment-*.sir"))) == 1


def test_scores_of_given_documents(grown):
    path, collection = grown
    with Index.open(path) as index:
        docs = np.sort([index.doc_number(doc_id) for doc_id in ("d1", "d55", "d199")])
        names = index.doc_ids(docs.tolist())
        scored = index.dense.scores(QUERIES[0], docs)
        everything = {one[0]: one for one in collection.top(QUERIES[0], 1000)}
        assert scored.docs.tolist() == docs.tolist()
        for doc, score, passage in zip(scored.docs, scored.scores, scored.passages, strict=True):
            _, expected, number = everything[names[int(doc)]]
            assert score == pytest.approx(expected, rel=1e-5)
            assert passage == number
        assert scored.n_vectors == sum(len(collection.vectors[names[int(d)]]) for d in docs)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (DenseRows(np.ones((2, 5), np.float32), np.array([1, 1])), "wants 8 dimensions"),
        (DenseRows(np.ones((1, 8), np.float32), np.array([1])), "1 vectors came for 2 documents"),
        (DenseRows(np.full((2, 8), np.nan, np.float32), np.array([1, 1])), "vector 0 holds NaN"),
        (None, "has a dense part, and none came"),
    ],
)
def test_vectors_that_do_not_fit(tmp_path, rows, message):
    with IndexWriter.create(tmp_path, n_terms=10, dense=DensePart("", DIMENSION)) as writer:
        terms = sp.csr_array(np.eye(2, 10, dtype=np.float32))
        with pytest.raises(InvalidInputError, match=message):
            writer.add_vectors(terms, ["a", "b"], dense=rows)
        assert len(writer) == 0


def test_as_many_vectors_as_passages(tmp_path):
    none = np.empty(0)
    passages = [[StoredPassage(0, 1, none, none), StoredPassage(1, 2, none, none)], []]
    with IndexWriter.create(tmp_path, n_terms=10, dense=DensePart("", DIMENSION)) as writer:
        terms = sp.csr_array(np.eye(2, 10, dtype=np.float32))
        documents = [Document("a", "xy"), Document("b", "z")]
        for counts, message in (([1, 1], "1 vectors came for 2 passages of 'a'"), ([2, 2], "'b'")):
            rows = DenseRows(np.ones((sum(counts), DIMENSION), np.float32), np.array(counts))
            with pytest.raises(InvalidInputError, match=message):
                writer.add(documents, terms, [[], []], passages=passages, dense=rows)
            assert len(writer) == 0
        rows = DenseRows(np.ones((3, DIMENSION), np.float32), np.array([2, 1]))
        writer.add(documents, terms, [[], []], passages=passages, dense=rows)
    with Index.open(tmp_path) as index:
        index.verify()


def test_an_index_without_a_dense_part(tmp_path):
    with IndexWriter.create(tmp_path, n_terms=10) as writer:
        terms = sp.csr_array(np.eye(1, 10, dtype=np.float32))
        rows = DenseRows(np.ones((1, 8), np.float32), np.array([1]))
        with pytest.raises(InvalidInputError, match="has no dense part, and some came"):
            writer.add_vectors(terms, ["a"], dense=rows)
    with Index.open(tmp_path) as index, pytest.raises(InvalidInputError, match="index --dense"):
        index.dense  # noqa: B018


def test_queries_that_do_not_fit(grown):
    with Index.open(grown[0]) as index:
        with pytest.raises(InvalidInputError, match="wants 8 dimensions"):
            index.dense.search(QUERIES[:, :5], 10)
        with pytest.raises(InvalidInputError, match="NaN"):
            index.dense.search(np.full((1, 8), np.nan, np.float32), 10)


@pytest.mark.parametrize("damage", ["cut", "flip", "magic", "gone", "dimension"])
def test_damaged_vectors(grown, damage):
    path, _ = grown
    file = sorted(path.glob("segment-*.vec"))[0]
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-3] ^= 64
    elif damage == "magic":
        content[0] ^= 1
    elif damage == "dimension":
        content[16] ^= 1
    file.write_bytes(content[:-1] if damage == "cut" else content)
    if damage == "gone":
        file.unlink()
    with pytest.raises(IndexFormatError, match=r"segment-\d+\.vec"):
        with Index.open(path) as index:
            index.verify()


def test_a_dense_part_added_later_goes_on_after_a_stop(tmp_path):
    collection, part = Collection(), DensePart("m", DIMENSION)
    with IndexWriter.create(tmp_path, n_terms=10) as writer:
        rows, _ = collection.batch(0, 40)
        writer.add_vectors(**rows)
        writer.delete(["d7"])
    del collection.vectors["d7"]
    collection.vectors = {doc_id: one[:1] for doc_id, one in collection.vectors.items()}
    asked = []

    def encode(docs):
        asked.append(docs)
        if len(asked) == 1:
            raise KeyboardInterrupt
        with Index.open(tmp_path) as index:
            names = index.doc_ids(docs)
        vectors = np.concatenate([collection.vectors[names[doc]] for doc in docs])
        return DenseRows(vectors, np.ones(len(docs), np.int64))

    for _ in range(2):
        with IndexWriter.open(tmp_path) as writer:
            try:
                writer.add_dense(part, encode)
            except KeyboardInterrupt:
                assert not writer.settings.get("dense")
    with Index.open(tmp_path) as index:
        index.verify()
        require_same(index.dense.search(QUERIES, 10), collection, 10)
    with IndexWriter.open(tmp_path) as writer:
        with pytest.raises(InvalidInputError, match="already"):
            writer.add_dense(part, encode)


def test_a_dense_part_begun_for_another_model_is_not_taken(tmp_path):
    """A is stopped after two of three segments, B after one, and then B is done."""
    part = {name: DensePart(name, DIMENSION, fingerprint=name) for name in "AB"}
    calls = []

    def encode(docs):
        calls.append(docs)
        if len(calls) in (3, 5):
            raise KeyboardInterrupt
        axis = len(calls) > 3  # what B gives
        return DenseRows(np.eye(DIMENSION)[[int(axis)] * len(docs)], np.ones(len(docs), np.int64))

    with IndexWriter.create(tmp_path, n_terms=10, params=BuildParams(memory_mb=1)) as writer:
        for first in range(0, 30_000, 10_000):
            terms = np.eye(10, dtype=np.float32)[np.arange(10_000) % 10]
            writer.add_vectors(sp.csr_array(terms), [f"d{first + i}" for i in range(10_000)])
            writer.flush()
    for name in "ABB":
        with IndexWriter.open(tmp_path) as writer:
            try:
                writer.add_dense(part[name], encode)
            except KeyboardInterrupt:
                assert writer.dense is None
    with Index.open(tmp_path) as index:
        index.verify()
        assert len(index.info()["segments"]) == 3
        hits = index.dense.search(np.eye(1, DIMENSION, 1, dtype=np.float32), 30_000)
        assert (hits.scores == 1).all()
    assert len(calls) == 7  # 2 and a half, 1 and a half, 2


# what a closed or changed index does


def test_a_closed_index_is_searched_no_more(grown):
    index = Index.open(grown[0])
    index.dense.search(QUERIES, 3, filter="number < 40")
    index.close()
    for filter in (None, "number < 40"):
        with pytest.raises(InvalidInputError, match="is closed; open the index again"):
            index.dense.search(QUERIES, 3, filter=filter)
    with pytest.raises(InvalidInputError, match="is closed; open the index again"):
        index.dense.scores(QUERIES[0], np.array([1]))


def test_a_closed_index_needs_no_garbage_collector(grown):
    index = Index.open(grown[0])
    index.dense.search(QUERIES, 3, filter="number < 40")
    index.close()
    gone = weakref.ref(index.dense)
    gc.disable()
    try:
        del index
        assert gone() is None
    finally:
        gc.enable()


def test_a_hit_that_is_deleted_later_keeps_its_name(grown):
    path, collection = grown
    with IndexWriter.open(path) as writer:
        hits = writer.index().dense.search(QUERIES, 3)
        expected = [[one[0] for one in collection.top(query, 3)] for query in QUERIES]
        writer.delete({doc_id for one in expected for doc_id in one})
        assert hits.ids == expected


# codes


def test_codes_are_made_up_for_after_a_stop(tmp_path, monkeypatch):
    """The vectors were written, their codes were not."""
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    vectors = RANDOM.normal(size=(5000, 16)).astype(np.float32)
    terms = sp.csr_array(np.eye(10, dtype=np.float32)[np.arange(5000) % 10])
    with IndexWriter.create(tmp_path, n_terms=10) as writer:
        writer.add_vectors(terms, [f"d{i}" for i in range(5000)])
    asked = []

    def encode(docs):
        asked.append(len(docs))
        return DenseRows(vectors[docs], np.ones(len(docs), np.int64))

    def stopped(*arguments):
        raise KeyboardInterrupt

    part = DensePart("m", 16, "ivf-sq8")
    with monkeypatch.context() as patch, IndexWriter.open(tmp_path) as writer:
        patch.setattr("sparse_ir.index.dense_files.write_codes", stopped)
        with pytest.raises(KeyboardInterrupt):
            writer.add_dense(part, encode)
    with IndexWriter.open(tmp_path) as writer:
        writer.add_dense(part, encode)
    assert asked == [5000]
    with Index.open(tmp_path) as index:
        index.verify()
        assert index.dense.memory_bytes > 0
        assert index.dense.search(vectors[:5], 1).ids == [[f"d{i}"] for i in range(5)]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Clustered vectors, enough for codes: {codes: path} and the vectors."""
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    draw = np.random.default_rng(5)
    centres = draw.normal(size=(100, 32))
    vectors = centres[draw.integers(0, 100, 6000)] + 0.5 * draw.normal(size=(6000, 32))
    vectors = vectors.astype(np.float32)
    paths = {}
    for codes in ("none", "hnsw", "ivf-sq8", "ivf-rabitq"):
        paths[codes] = tmp_path_factory.mktemp(codes)
        part = DensePart("", 32, codes)
        with IndexWriter.create(paths[codes], n_terms=10, dense=part) as writer:
            terms = sp.csr_array(np.eye(10, dtype=np.float32)[np.arange(6000) % 10])
            writer.add_vectors(
                terms,
                [f"d{i}" for i in range(6000)],
                metadata=[{"number": i} for i in range(6000)],
                dense=DenseRows(vectors, np.ones(6000, np.int64)),
            )
            writer.delete([f"d{i}" for i in range(0, 6000, 7)])
    return paths, vectors


@pytest.mark.parametrize("codes", ["hnsw", "ivf-sq8", "ivf-rabitq"])
@pytest.mark.parametrize("filter", [None, "number < 5500"])
def test_codes_find_what_flat_search_finds(many, codes, filter):
    paths, vectors = many
    queries = vectors[:50] + 0.1
    with Index.open(paths["none"]) as flat, Index.open(paths[codes]) as coded:
        coded.verify()
        exact = flat.dense.search(queries, 10, filter=filter)
        found = coded.dense.search(queries, 10, filter=filter)
        by_id = [dict(zip(i, s, strict=True)) for i, s in zip(exact.ids, exact.scores, strict=True)]
        shared = 0
        for row, (ids, scores) in enumerate(zip(found.ids, found.scores.tolist(), strict=True)):
            assert not any(int(doc_id[1:]) % 7 == 0 for doc_id in ids)
            assert filter is None or all(int(doc_id[1:]) < 5500 for doc_id in ids)
            for doc_id, score in zip(ids, scores, strict=True):
                if doc_id in by_id[row]:
                    shared += 1
                    assert score == pytest.approx(by_id[row][doc_id], rel=1e-6)  # verified
        assert shared >= 0.95 * 500
        assert (found.n_vectors < 1000).all()
        numbers = np.arange(6000 if filter is None else 5500)
        assert (exact.n_vectors == (numbers % 7 != 0).sum()).all()
        assert 0 < coded.dense.memory_bytes < coded.dense.n_bytes * (4 if codes == "hnsw" else 2)


@pytest.mark.parametrize("codes", ["hnsw", "ivf-sq8", "ivf-rabitq"])
def test_a_filter_that_few_documents_pass_finds_all_of_them(many, codes):
    paths, vectors = many
    queries = np.random.default_rng(9).normal(size=(20, 32)).astype(np.float32)
    wanted = np.arange(1, 6000, 1250)  # none of them was deleted
    stored = vectors[wanted] / np.linalg.norm(vectors[wanted], axis=1, keepdims=True)
    stored = stored.astype(np.float16).astype(np.float32)
    with Index.open(paths[codes]) as index:
        hits = index.dense.search(queries, 5, filter={"number": wanted.tolist()})
        for row, query in enumerate(queries):
            scores = stored @ (query / np.linalg.norm(query))
            order = np.argsort(-scores)
            assert hits.ids[row] == [f"d{wanted[i]}" for i in order]
            np.testing.assert_allclose(hits.scores[row], scores[order], rtol=1e-5)
        none = index.dense.search(queries, 5, filter="number < 0")
        assert none.counts.tolist() == [0] * 20


LEAST_SHARED = {"hnsw": 0.95, "ivf-sq8": 0.95, "ivf-rabitq": 0.8}  # a bit a dimension is coarse
KINDS = list(LEAST_SHARED)


def stored_as(vectors):
    """Unit vectors as float16 keeps them."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units.astype(np.float16).astype(np.float32)


def nearest(vectors, query, k):
    """[(score, row)] of the k rows with the greatest products, by brute force."""
    scores = stored_as(vectors) @ (query / np.linalg.norm(query))
    return [(scores[row], row) for row in np.argsort(-scores, kind="stable")[:k]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.1, 0.02, 0.01])
def test_codes_look_further_where_few_rows_are_allowed(kind, share):
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    draw = np.random.default_rng(4)
    vectors = stored_as(draw.normal(size=(12_000, 8)))
    allowed = draw.random(12_000) < share
    queries = stored_as(draw.normal(size=(20, 8)))
    found = Codes.build(kind, vectors.astype(np.float16)).search(queries, 300, allowed)
    rows = np.flatnonzero(allowed)
    shared = n_wanted = 0
    for query, own in zip(queries, found, strict=True):
        assert allowed[own].all()
        assert len(own) == min(300, len(rows))
        wanted = rows[[row for _, row in nearest(vectors[rows], query, 100)]]
        shared += np.isin(wanted, own).sum()
        n_wanted += len(wanted)
    assert shared >= LEAST_SHARED[kind] * n_wanted


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_far_from_the_query(tmp_path, kind):
    """The documents wanted are of other topics than those nearest to the query."""
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    draw = np.random.default_rng(6)
    n, n_topics = 30_000, 60
    topics = draw.integers(0, n_topics, n)
    centres = draw.normal(size=(n_topics, 16))
    vectors = (centres[topics] + 0.5 * draw.normal(size=(n, 16))).astype(np.float32)
    with IndexWriter.create(tmp_path, n_terms=10, dense=DensePart("", 16, kind)) as writer:
        writer.add_vectors(
            sp.csr_array(np.eye(10, dtype=np.float32)[np.arange(n) % 10]),
            [f"d{i}" for i in range(n)],
            metadata=[{"topic": topic} for topic in topics.tolist()],
            dense=DenseRows(vectors, np.ones(n, np.int64)),
        )
    queries = vectors[topics == n_topics - 1][:20]
    with Index.open(tmp_path) as index:
        for n_allowed in (10, 30):  # of the topics; of 10 hnsw has all vectors read, not of 30
            rows = np.flatnonzero(topics < n_allowed)
            shared = 0
            hits = index.dense.search(queries, 10, filter=f"topic < {n_allowed}")
            for query, ids in zip(queries, hits.ids, strict=True):
                wanted = {f"d{rows[row]}" for _, row in nearest(vectors[rows], query, 10)}
                shared += len(wanted & set(ids))
            assert (hits.counts == 10).all()
            assert shared >= LEAST_SHARED[kind] * 200
            if kind != "hnsw" or n_allowed == 30:
                assert (hits.n_vectors < 1000).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_near", [150, 400])
def test_many_near_passages_of_one_document_hide_no_other(tmp_path, kind, n_near):
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    draw = np.random.default_rng(7)
    query = draw.normal(size=16).astype(np.float32)
    counts = np.ones(4601, np.int64)
    counts[1000] = n_near
    vectors = draw.normal(size=(counts.sum(), 16)).astype(np.float32)
    vectors[1000 : 1000 + n_near] = query + 0.1 * draw.normal(size=(n_near, 16))
    with IndexWriter.create(tmp_path, n_terms=10, dense=DensePart("", 16, kind)) as writer:
        terms = sp.csr_array(np.eye(10, dtype=np.float32)[np.arange(4601) % 10])
        ids = [f"d{i}" for i in range(4601)]
        writer.add_vectors(terms, ids, dense=DenseRows(vectors, counts))
    best = {}
    docs = np.repeat(np.arange(4601), counts)
    for score, row in nearest(vectors, query, len(vectors)):
        best.setdefault(docs[row], (score, row))
    expected = list(best.items())[:10]
    with Index.open(tmp_path) as index:
        hits = index.dense.search(query[None], 10)
    assert hits.counts.tolist() == [10]
    assert len({doc for doc, _ in expected} & set(hits.docs[0].tolist())) >= 8
    assert hits.docs[0, 0] == 1000
    assert hits.scores[0, 0] == pytest.approx(expected[0][1][0], rel=1e-5)
    assert hits.passages[0].tolist() == [expected[0][1][1] - 1000] + [-1] * 9


@pytest.mark.parametrize("k", [10**12, 2**62])
def test_a_huge_k_finds_all_documents(grown, k):
    path, collection = grown
    terms = sp.csr_array(np.eye(10, dtype=np.float32)[:4])
    with Index.open(path) as index:
        n_docs = len(collection.vectors)
        n_held = sum(one["documents"] for one in index.info()["segments"])
        by_terms = index.search(terms, k)
        by_arrays = index.search_terms(terms.indptr, terms.indices, terms.data, k)
        for hits in (by_terms, by_arrays):
            wanted = index.search(terms, n_docs)
            assert hits.ids == wanted.ids
            assert hits.counts.sum() == sum(
                int(doc_id[1:]) % 10 < 4 for doc_id in collection.vectors
            )
            np.testing.assert_array_equal(hits.scores[:, :n_docs], wanted.scores)
            assert hits.docs.shape == hits.scores.shape == (4, n_held)
        hits = index.dense.search(QUERIES, k)
        assert hits.ids == index.dense.search(QUERIES, n_docs).ids
        assert hits.counts.tolist() == [n_docs] * 5
        assert hits.docs.shape == hits.scores.shape == hits.passages.shape == (5, n_held)
        for row, query in enumerate(QUERIES):
            scores = [score for _, score, _ in collection.top(query, n_docs)]
            np.testing.assert_allclose(hits.scores[row, :n_docs], scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("codes", KINDS)
def test_a_huge_k_of_codes(many, codes):
    paths, vectors = many
    living = np.flatnonzero(np.arange(6000) % 7 != 0)
    with Index.open(paths[codes]) as index:
        hits = index.dense.search(vectors[:2], 2**62)
        for row in range(2):
            wanted = np.array([score for score, _ in nearest(vectors[living], vectors[row], 6000)])
            assert sorted(hits.ids[row]) == sorted(f"d{i}" for i in living)
            np.testing.assert_allclose(hits.scores[row, : len(living)], wanted, atol=1e-6)


def test_an_index_of_nothing_has_one_column(tmp_path):
    with IndexWriter.create(tmp_path, n_terms=10, dense=DensePart("", DIMENSION)) as writer:
        writer.commit()
    with Index.open(tmp_path) as index:
        by_terms = index.search(sp.csr_array(np.ones((2, 10), np.float32)), 2**62)
        for hits in (by_terms, index.dense.search(QUERIES[:2], 2**62)):
            assert hits.docs.tolist() == [[-1], [-1]]
            assert hits.ids == [[], []]


def test_codes_of_another_kind(many, tmp_path):
    paths, vectors = many
    shutil.copytree(paths["none"], tmp_path / "index")
    with IndexWriter.open(tmp_path / "index") as writer:
        writer.recode("ivf-rabitq")
        with pytest.raises(InvalidInputError, match="codes are 'pq'"):
            writer.recode("pq")
    with Index.open(tmp_path / "index") as index:
        index.verify()
        assert 0 < index.dense.memory_bytes < index.dense.n_bytes
        found = index.dense.search(vectors[1:6], 1)
        assert found.ids == [[f"d{i}"] for i in range(1, 6)]


@pytest.mark.parametrize("has_links", [True, False])
def test_rewritten_postings_keep_their_vectors_and_codes(tmp_path, monkeypatch, has_links):
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    vectors = RANDOM.normal(size=(5000, 16)).astype(np.float32)
    rows = DenseRows(vectors, np.ones(5000, np.int64))
    terms = sp.csr_array(np.eye(10, dtype=np.float32)[np.arange(5000) % 10])
    ids = [f"d{i}" for i in range(5000)]
    with IndexWriter.create(tmp_path, n_terms=10, dense=DensePart("", 16, "ivf-sq8")) as writer:
        writer.add_vectors(terms, ids, dense=rows)
        writer.commit()

    def refuse(*arguments):
        raise OSError("no such thing here")

    monkeypatch.setattr("sparse_ir.index.faiss_codes.Codes.build", refuse)
    if not has_links:
        monkeypatch.setattr("os.link", refuse)
    with IndexWriter.open(tmp_path) as writer:
        writer.rewrite(4000, lambda rows, passages: ((*rows[:3], rows[3] * 2), passages))
    with Index.open(tmp_path) as index:
        index.verify()
        assert index.dense.search(vectors[:5], 1).ids == [[f"d{i}"] for i in range(5)]
        weights = sp.vstack([matrix for _, matrix in index.stored_vectors()]).data
        assert np.array_equal(weights, np.repeat([1, 2], [4000, 1000]))
    assert len(list(tmp_path.glob("segment-*"))) == 3


def test_damaged_codes(many, tmp_path):
    paths, _ = many
    shutil.copytree(paths["ivf-sq8"], tmp_path / "index")
    (file,) = (tmp_path / "index").glob("*.faiss")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(IndexFormatError, match=r"segment-\d+\.faiss"):
        Index.open(tmp_path / "index")


def test_codes_need_faiss(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "faiss", None)
    vectors = DenseRows(np.ones((5000, 4), np.float32), np.ones(5000, np.int64))
    writer = IndexWriter.create(tmp_path, n_terms=10, dense=DensePart("", 4, "hnsw"))
    terms = sp.csr_array(np.eye(10, dtype=np.float32)[np.arange(5000) % 10])
    writer.add_vectors(terms, [str(i) for i in range(5000)], dense=vectors)
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[hybrid\]"):
        writer.commit()
    writer.close()


def test_unknown_codes():
    with pytest.raises(InvalidInputError, match="codes are 'pq'; want one of none, hnsw"):
        DensePart("", 8, "pq")
