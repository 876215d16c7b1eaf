"""What systems rank and what they cost, counted by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.systems import SYSTEMS, require_known

pytest.importorskip("tantivy", reason="tantivy is not installed")
DOCUMENTS = [
    Document("a", "a red fox runs fast"),
    Document("b", "the dog sleeps"),
    Document("c", "foxes and dogs"),
]
QUERIES = ["fox", "sleeping dog animal", "unheard"]


@pytest.fixture
def indexes(tmp_path, document_encoder, dense_encoder):
    with CachedIndexes(lambda: iter(DOCUMENTS), tmp_path, model="words") as made:
        yield made


@pytest.mark.parametrize("mode", ["anchored", "learned", "lexical"])
def test_cost_of_a_mode(indexes, mode):
    system = SYSTEMS[mode](indexes)
    cost = system.cost(QUERIES)
    index = indexes.sparse.index
    documents = np.vstack([index.vector(d.doc_id).toarray() for d in DOCUMENTS]) > 0
    is_word = np.arange(documents.shape[1]) >= index.n_terms
    documents &= {"anchored": True, "learned": ~is_word, "lexical": is_word}[mode]
    queries = indexes.sparse.query_vectors(QUERIES, mode).toarray() > 0
    queries = np.pad(queries, ((0, 0), (0, documents.shape[1] - queries.shape[1])))
    assert cost.terms_a_document == pytest.approx(documents.sum() / 3)
    assert cost.terms_a_query == pytest.approx(queries.sum() / 3)
    common = (queries[:, None, :] & documents[None, :, :]).sum(axis=2)
    assert cost.flops == pytest.approx(common.mean())
    assert cost.flops == pytest.approx((queries.mean(axis=0) * documents.mean(axis=0)).sum())
    assert cost.index_bytes > 0


def test_cost_of_tantivy(indexes):
    cost = SYSTEMS["bm25"](indexes).cost(["fox", "sleeping dog animal", "the"])
    assert cost.terms_a_document == pytest.approx((4 + 2 + 2) / 3)
    assert cost.terms_a_query == pytest.approx((1 + 3 + 0) / 3)
    assert cost.flops == pytest.approx((2 + (1 + 2 + 0)) / 3 / 3)


@pytest.mark.parametrize("name", SYSTEMS)
def test_rank_and_search_agree(indexes, name):
    system = SYSTEMS[name](indexes)
    ranked = system.rank(QUERIES, 10, threads=2)
    assert ranked == [{hit.doc_id: hit.score for hit in hits} for hits in system.search(QUERIES)]
    finds_all = "dense" in name or name == "hybrid"
    assert len(ranked[2]) == (3 if finds_all else 0)
    assert "a" in ranked[0]


@pytest.mark.parametrize("name", SYSTEMS)
def test_hits_wanted(indexes, name):
    system = SYSTEMS[name](indexes)
    assert system.rank(QUERIES, 10**14) == system.rank(QUERIES, 3)
    assert system.search(QUERIES, 10**14) == system.search(QUERIES, 3)
    for k in (0, 1.5):
        with pytest.raises(InvalidInputError, match=f"k is {k}; want an integer >= 1"):
            system.rank(QUERIES, k)


def test_cost_of_vectors(indexes):
    dense, sparse, both = (
        SYSTEMS[n](indexes).cost(QUERIES) for n in ("dense", "anchored", "hybrid")
    )
    assert (dense.terms_a_document, dense.terms_a_query, dense.flops) == (11, 11, 11)
    assert both.flops == sparse.flops + dense.flops
    assert both.index_bytes == sparse.index_bytes + dense.index_bytes


def test_names():
    require_known(["bm25", "learned"])
    with pytest.raises(InvalidInputError, match="retriever is 'bm52'; want anchored, learned"):
        require_known(["bm52"])
    for names in ([], ["bm25", "bm25"]):
        with pytest.raises(InvalidInputError, match="want each once"):
            require_known(names)
