"""tune_recall: it measures, and keeps for queries that it never saw, what brute force counts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.index.params import Approximate, Exact
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.recall_tuning import measure, pseudo_queries, tune_recall
from sparse_ir.retrieval.retriever import SparseRetriever

N_DOCS, N_TERMS, K = 5000, 800, 10


def topical(n, size, *, seed):
    """Rows of terms that go together: each is about one of 40 topics of 60 terms."""
    rng = np.random.default_rng(seed)
    topics = np.random.default_rng(1).integers(0, N_TERMS, (40, 60))
    rows = []
    for topic in rng.integers(0, 40, n):
        terms = np.unique([*rng.choice(topics[topic], size), *rng.integers(0, N_TERMS, size // 4)])
        rows.append((terms, np.exp(rng.normal(0, 0.7, len(terms))).astype(np.float32)))
    indptr = np.cumsum([0, *(len(terms) for terms, _ in rows)])
    data, indices = (np.concatenate([row[i] for row in rows]) for i in (1, 0))
    return sp.csr_array((data, indices, indptr), shape=(n, N_TERMS))


@pytest.fixture
def path(tmp_path):
    with IndexWriter.create(tmp_path / "i", n_terms=N_TERMS) as writer:
        writer.add_vectors(topical(N_DOCS, 40, seed=2), [str(i) for i in range(N_DOCS)])
    return tmp_path / "i"


def recall_by_brute_force(index, queries, plan):
    stored = sp.vstack([vectors for _, vectors in index.stored_vectors(N_DOCS)])
    scores = (queries @ stored.T).toarray()
    least = -np.sort(-scores, axis=1)[:, K - 1 : K]
    docs = index.search(queries, K, plan=plan).docs
    return (np.take_along_axis(scores, docs, axis=1) >= least * (1 - 1e-6)).mean()


def test_measured_is_what_brute_force_counts(path):
    vectors = topical(N_DOCS, 40, seed=2)[:50]
    queries = pseudo_queries(vectors, vectors.data)[100:200]
    lengths = np.diff(queries.indptr)
    assert set(lengths) == {4, 8}
    with Index.open(path) as index:
        curves = measure(index, [queries], K)
        stored = sp.vstack([index.vector(str(i)) for i in range(N_DOCS)])
        scores = (queries @ stored.T).toarray()
        least = -np.sort(-scores, axis=1)[:, K - 1 : K]
        assert [(one.n_terms, one.n_queries) for one in curves] == [(4, 50), (8, 50)]
        for one in curves:
            own = lengths == one.n_terms
            assert one.points[0].recall == 1
            assert len(one.points) > 3
            for point in one.points[1:]:
                plan = Approximate(bound_share=point.bound_share)
                docs = index.search(queries[own], K, plan=plan).docs
                found = np.take_along_axis(scores[own], docs, axis=1) >= least[own] * (1 - 1e-6)
                assert point.recall == pytest.approx(found.mean(), abs=1e-6)
                assert point.at_least <= point.recall


def test_pseudo_queries_are_parts_of_documents():
    matrix = topical(30, 60, seed=2)
    weights = np.arange(len(matrix.data), dtype=np.float32) + 1
    queries = pseudo_queries(matrix, weights, seed=2)
    lengths = np.diff(queries.indptr)
    long_enough = (np.diff(matrix.indptr)[:, None] >= [1, 2, 4, 8, 16, 32, 64]).sum(axis=0)
    assert [int((lengths == 2**i).sum()) for i in range(7)] == long_enough.tolist()
    for query in range(queries.shape[0]):
        start, stop = queries.indptr[query : query + 2]
        places = queries.data[start:stop].astype(int) - 1  # in the documents' arrays
        assert (matrix.indices[places] == queries.indices[start:stop]).all()
        assert (np.diff(places) > 0).all()
        assert len(set(np.searchsorted(matrix.indptr, places, side="right"))) == 1


def test_held_out_queries_reach_the_recall(path):
    searches = []
    found = tune_recall(path, ks=(5, 20), n_documents=150, on_progress=searches.append)
    assert (found.n_docs, found.queries) == (N_DOCS, "sampled")
    assert sum(searches) > 10_000
    with Index.open(path) as index:
        assert index.recall_curves == found
        assert index.info()["settings"]["recall"]["n_docs"] == N_DOCS
        for size in (3, 12, 40):
            queries = topical(200, size, seed=size)
            for recall in (0.9, 0.97):
                plan = Approximate(recall=recall)
                assert recall_by_brute_force(index, queries, plan) >= recall
        long = topical(200, 40, seed=9)
        enough = [point for point in found.curves[-1].points if point.at_least >= 0.9]
        assert enough[-1].bound_share < 0.9  # much less than all may be read
        assert (
            index.search(long, K, plan=Approximate(recall=1.0)).docs
            == index.search(long, K, plan=Exact()).docs
        ).all()


def test_given_queries_are_what_counts(path):
    given = topical(300, 40, seed=3)
    found = tune_recall(path, given, ks=(K,))
    assert found.queries == "given"
    with Index.open(path) as index:
        held_out = topical(300, 40, seed=4)
        for recall in (0.9, 0.98):
            plan = Approximate(recall=recall)
            assert recall_by_brute_force(index, held_out, plan) >= recall
        short = topical(50, 3, seed=5)  # like none that was measured
        loose = Approximate(recall=0.5)
        assert recall_by_brute_force(index, short, loose) == 1.0


def test_an_index_of_text_is_tuned_in_every_mode(tmp_path, document_encoder):
    rng = np.random.default_rng(0)
    words = ["red", "fox", "dog", "sleeps", "runs", "fast", *(f"word{i}" for i in range(40))]
    texts = [" ".join(rng.choice(words, rng.integers(1, 30))) for _ in range(400)]
    ingest(tmp_path / "i", [Document(f"d{i}", t) for i, t in enumerate(texts)], model="words")
    found = tune_recall(tmp_path / "i", ks=(K,))
    assert found.curves[0].n_terms == 1
    with SparseRetriever.open(tmp_path / "i") as retriever:
        queries = [" ".join(rng.choice(words, 6)) for _ in range(200)]
        for mode in ("anchored", "learned", "lexical"):
            exact = retriever.search_arrays(queries, K, mode=mode).scores
            plan = Approximate(recall=0.9)
            scores = retriever.search_arrays(queries, K, mode=mode, plan=plan).scores
            least = np.where(exact > 0, exact, np.inf).min(axis=1, keepdims=True)
            assert (scores >= least).sum() >= 0.9 * (exact > 0).sum()
        hits = retriever.search("red fox", plan=Approximate(recall=0.9))
        assert hits[0].score == retriever.search("red fox")[0].score
    texts = [" ".join(rng.choice(words, 6)) for _ in range(60)]
    assert tune_recall(tmp_path / "i", texts, ks=(K,)).queries == "given"


def test_it_outlives_commits(path):
    found = tune_recall(path, ks=(K,), n_documents=50)
    with IndexWriter.open(path) as writer:
        writer.add_vectors(topical(10, 40, seed=8), [f"new{i}" for i in range(10)])
        writer.optimize()
    with Index.open(path) as index:
        assert index.recall_curves == found


def test_refuses(path):
    with pytest.raises(InvalidInputError, match="too few queries to tune by"):
        tune_recall(path, topical(20, 3, seed=1))
    with pytest.raises(InvalidInputError, match=r"ks is \[0\]"):
        tune_recall(path, ks=[0])
    with Index.open(path) as index:
        assert index.recall_curves is None
