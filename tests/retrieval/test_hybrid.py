"""Hybrid search against brute force: both legs' scores of every document, fused."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from importlib import import_module

import numpy as np
import pytest
import scipy.sparse as sp
from test_passages import LimitedEncoder

from sparse_ir.corpus import Document
from sparse_ir.errors import IndexFormatError, InvalidInputError
from sparse_ir.index.dense_segment import DenseRows
from sparse_ir.index.params import DensePart
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval import hybrid
from sparse_ir.retrieval.dense_part import LazyDenseEncoder
from sparse_ir.retrieval.fusion import Fusion
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.retriever import SparseRetriever

TEXTS = [
    "a red fox runs",
    "the dog sleeps",
    "puppy runs fast and the fox sleeps",
    "quick animal",
    "red red dog",
    "an unheard of word",
    "fox fox fox",
]
DOCUMENTS = [Document(f"d{i}", text, metadata={"number": i}) for i, text in enumerate(TEXTS * 3)]
QUERIES = ["red fox", "puppy", "fast dog", "nothing of it"]


@pytest.fixture
def folder(tmp_path, document_encoder, dense_encoder):
    ingest(tmp_path / "index", DOCUMENTS, model="words", dense="counts", commit_every=5)
    return tmp_path / "index"


def brute_force(retriever, encoder, query, fusion, mode="anchored"):
    """{doc_id: (fused, sparse, dense)} of all documents, from the texts and stored weights."""
    vector = encoder.encode([query])[0]
    terms = retriever.sparse.query_vectors([query], mode).toarray()[0]
    rows = [retriever.index.vector(d.doc_id).toarray()[0] for d in DOCUMENTS]
    sparse = np.array([row @ terms for row in rows], float)
    dense = np.array([encoder.encode([d.content])[0] @ vector for d in DOCUMENTS], float)
    fused = fusion(sparse, dense)
    return {d.doc_id: (f, s, v) for d, f, s, v in zip(DOCUMENTS, fused, sparse, dense, strict=True)}


@pytest.mark.parametrize("method", ["rrf", "minmax", "theoretical", "zscore", "distribution"])
@pytest.mark.parametrize("mode", ["anchored", "learned", "lexical"])
def test_all_candidates_are_scored_exactly_by_both_legs(folder, dense_encoder, method, mode):
    fusion = Fusion(method, dense_weight=0.4, depth=30)
    with HybridRetriever.open(folder, fusion=fusion) as retriever:
        for query in QUERIES:
            expected = brute_force(retriever, dense_encoder, query, fusion, mode)
            hits = retriever.search(query, k=21, sparse_mode=mode)
            assert len(hits) == len(expected)
            for hit in hits:
                fused, sparse, dense = expected[hit.doc_id]
                assert hit.legs[mode].score == pytest.approx(sparse, abs=2e-3)
                assert hit.legs["dense"].score == pytest.approx(dense, abs=2e-3)
                assert hit.score == pytest.approx(fused, abs=5e-3)
            scores = [hit.score for hit in hits]
            assert scores == sorted(scores, reverse=True)
            by_dense = sorted(hits, key=lambda hit: hit.legs["dense"].rank)
            dense_scores = [hit.legs["dense"].score for hit in by_dense]
            assert dense_scores == sorted(dense_scores, reverse=True)


def test_what_one_leg_misses_is_scored_not_zeroed(folder, dense_encoder):
    fusion = Fusion("minmax", depth=2)  # neither leg sees all
    with HybridRetriever.open(folder, fusion=fusion) as retriever:
        fused = retriever.search_fused(["red fox"], 2)
        expected = brute_force(retriever, dense_encoder, "red fox", fusion)
        for rank, doc_id in enumerate(fused.hits.ids[0]):
            assert fused.leg_scores[:, 0, rank].tolist() == pytest.approx(
                expected[doc_id][1:], abs=2e-3
            )
        assert 2 <= fused.n_candidates[0] <= 4


def test_more_hits_do_not_reorder_the_first(folder):
    for method in ("minmax", "zscore", "theoretical"):
        with HybridRetriever.open(folder, fusion=Fusion(method, depth=6)) as retriever:
            few, many = retriever.search(QUERIES, k=6), retriever.search(QUERIES, k=21)
            for some, all_ in zip(few, many, strict=True):
                score_of = {hit.doc_id: hit.score for hit in all_}
                assert [score_of[hit.doc_id] for hit in some] == pytest.approx(
                    [hit.score for hit in some], abs=1e-6
                )


def test_candidates_of_the_sparse_leg_alone(folder):
    with HybridRetriever.open(folder, candidates="sparse") as retriever:
        fused = retriever.search_fused(QUERIES, 5)
        lexical = retriever.search_arrays(QUERIES, 21, mode="anchored")
        assert fused.n_candidates.tolist() == lexical.counts.tolist()
        dimension = retriever.index.dense.dimension
        assert fused.bytes_read.tolist() == (2 * dimension * fused.n_candidates).tolist()
        assert fused.hits.ids[3] == []
    with HybridRetriever.open(folder) as retriever:
        both = retriever.search_fused(QUERIES, 5)
        assert (both.bytes_read > fused.bytes_read).all()


def test_modes_and_filters(folder):
    with HybridRetriever.open(folder) as retriever, SparseRetriever.open(folder) as sparse:
        assert retriever.default_mode == "hybrid"
        for mode in ("anchored", "learned", "lexical"):
            assert retriever.search(QUERIES, mode=mode) == sparse.search(QUERIES, mode=mode)
        assert retriever.search("puppy", k=1, mode="dense")[0].text == TEXTS[1]
        hits = retriever.search(QUERIES, filter="number < 4")
        assert {hit.doc_id for one in hits for hit in one} <= {f"d{i}" for i in range(4)}
        assert retriever.search([]) == []
        assert [m.term for m in retriever.explain("red fox", "d0")] == [
            m.term for m in sparse.explain("red fox", "d0")
        ]
        assert retriever.explain("red fox", "d0", "dense") == []
        with pytest.raises(InvalidInputError, match="mode is 'fast'"):
            retriever.search("fox", mode="fast")
        for mode in ("hybrid", "dense", "anchored"):
            with pytest.raises(InvalidInputError, match="k is 0"):
                retriever.search("fox", k=0, mode=mode)


@pytest.mark.parametrize("k", [0, -1, 1.5, "3", None, True, math.nan])
def test_refuses_a_k_that_is_none(folder, k):
    with HybridRetriever.open(folder) as retriever:
        for mode in retriever.modes:
            with pytest.raises(InvalidInputError, match=f"k is {k!r}; want an integer >= 1"):
                retriever.search("fox", k, mode=mode)
        with pytest.raises(InvalidInputError, match="depth is 0"):
            retriever.find_candidates(["fox"], 0)


def test_more_hits_than_documents(folder):
    with HybridRetriever.open(folder) as retriever:
        for mode in retriever.modes:
            expected = retriever.search(QUERIES, len(DOCUMENTS), mode=mode)
            assert retriever.search(QUERIES, 10**14, mode=mode) == expected
        deep = HybridRetriever(retriever.sparse, fusion=Fusion(depth=10**14))
        assert deep.search(QUERIES, 5) == retriever.search(QUERIES, 5)


def test_refuses_halves_of_characters(folder):
    with HybridRetriever.open(folder) as retriever:
        for mode in retriever.modes:
            with pytest.raises(InvalidInputError, match="character 1 of a text is"):
                retriever.search("\udcff fox", mode=mode)


def test_asearch(folder):
    with HybridRetriever.open(folder) as retriever:
        for mode in retriever.modes:
            found = asyncio.run(retriever.asearch("puppy", 3, mode=mode, filter="number > 2"))
            assert found == retriever.search("puppy", 3, mode=mode, filter="number > 2")
            assert {hit.text for hit in found} & {TEXTS[1], TEXTS[2]}


def test_stream_is_of_the_sparse_modes(folder):
    with HybridRetriever.open(folder) as retriever:
        streamed = list(retriever.stream("dog", mode="lexical", filter="number < 7"))
        assert [hit.doc_id for hit in streamed] == ["d1", "d4"]
        for mode in (None, "hybrid", "dense"):
            with pytest.raises(InvalidInputError, match="want anchored, learned, lexical to str"):
                retriever.stream("dog", mode=mode)


def test_terms_and_highlights_are_of_the_sparse_leg(folder):
    with HybridRetriever.open(folder) as retriever:
        for mode in (None, "hybrid", "anchored"):
            terms = retriever.query_terms("red fox", mode)
            assert {(one.block, one.term) for one in terms} == {
                (block, word) for block in ("lexical", "learned") for word in ("red", "fox")
            }
        assert {one.block for one in retriever.query_terms("red fox", "lexical")} == {"lexical"}
        assert retriever.query_terms("red fox", "dense") == []
        for mode in (None, *retriever.modes):
            marked = retriever.highlights("red fox", "d0", mode)
            assert [TEXTS[0][one.start : one.end] for one in marked] == ["red", "fox"]
        # "the dog sleeps", to which the encoder of documents adds a puppy
        assert {one.term for one in retriever.document_terms("d1") if one.is_expansion} == {"puppy"}


def test_added_later_or_made_with_it(folder, tmp_path, dense_encoder):
    ingest(tmp_path / "later", DOCUMENTS, model="words")
    report = ingest(tmp_path / "later", DOCUMENTS, model="words", dense="counts")
    assert report.unchanged == len(DOCUMENTS)
    with HybridRetriever.open(folder) as one, HybridRetriever.open(tmp_path / "later") as other:
        assert one.search(QUERIES, k=30) == other.search(QUERIES, k=30)
        other.index.verify()
    n_encoded = len(dense_encoder.encoded)
    ingest(tmp_path / "later", [Document("new", "red puppy")], model="words")
    assert dense_encoder.encoded[n_encoded:] == ["red puppy"]
    with HybridRetriever.open(tmp_path / "later") as other:
        assert other.search("red puppy", k=1, mode="dense")[0].doc_id == "new"


def test_the_dense_model_is_loaded_once_or_not_at_all(tmp_path, document_encoder, dense_encoder):
    path, more = tmp_path / "index", [Document("new", "red puppy")]
    ingest(path, DOCUMENTS, model="words")
    ingest(path, [*DOCUMENTS, *more], model="words", dense="counts")  # the old ones and a new one
    assert dense_encoder.n_loads == 1
    ingest(path, more, model="words", dense="counts")
    assert dense_encoder.n_loads == 1
    kept = LazyDenseEncoder("counts")
    for text in ("fox", "dog", "animal"):
        ingest(path, [Document("new", text)], model="words", dense_encoder=kept)
    assert dense_encoder.n_loads == 2
    ingest(tmp_path / "sparse", more, model="words", dense_encoder=kept)  # has no use for it
    with Index.open(tmp_path / "sparse") as index:
        assert not index.has_dense


def test_another_dense_model_or_codes(folder):
    with pytest.raises(InvalidInputError, match="of model 'counts', not 'other'"):
        ingest(folder, DOCUMENTS, model="words", dense="other")
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    ingest(folder, DOCUMENTS, model="words", dense="counts", codes="hnsw")
    ingest(folder, DOCUMENTS, model="words", dense="counts")
    with Index.open(folder) as index:
        assert index.settings["dense"]["codes"] == "hnsw"
        index.verify()


def test_no_dense_part(tmp_path, document_encoder):
    ingest(tmp_path, DOCUMENTS, model="words")
    with HybridRetriever.open(tmp_path) as retriever:
        assert retriever.default_mode == "anchored"
        assert retriever.search("fox")
        for mode in ("hybrid", "dense"):
            with pytest.raises(InvalidInputError, match="has no dense part; add one with"):
                retriever.search("fox", mode=mode)
        with pytest.raises(InvalidInputError, match="candidates are 'all'"):
            HybridRetriever(retriever.sparse, candidates="all")


def test_vectors_without_text_get_no_dense_part_of_a_model(tmp_path, dense_encoder):
    from sparse_ir.retrieval.dense_part import add_dense

    with IndexWriter.create(tmp_path, n_terms=3) as writer:
        writer.add_vectors(sp.csr_array(np.eye(3, dtype=np.float32)), ["a", "b", "c"])
    with pytest.raises(InvalidInputError, match="vectors without text"):
        add_dense(tmp_path, DensePart("counts", dense_encoder.dimension), dense_encoder)


def test_vectors_of_unknown_origin_need_an_encoder(folder, dense_encoder):
    with IndexWriter.open(folder) as writer:
        writer.keep("dense", {**writer.settings["dense"], "model": ""})
    with HybridRetriever.open(folder) as retriever:
        with pytest.raises(InvalidInputError, match="give HybridRetriever the query encoder"):
            retriever.search("fox")
        assert HybridRetriever(retriever.sparse, dense_encoder).search("fox")


def test_the_fusion_that_the_index_keeps(folder):
    kept = {"method": "rrf", "dense_weight": 0.3, "k": 5.0, "depth": 7}
    with IndexWriter.open(folder) as writer:
        writer.keep("fusion", kept)
    with HybridRetriever.open(folder) as retriever:
        assert retriever.fusion == Fusion(**kept)
        json.dumps(dict(retriever.index.settings))
    with HybridRetriever.open(folder, fusion=Fusion()) as retriever:
        assert retriever.fusion == Fusion()


def test_a_fusion_of_an_unknown_version_is_refused(folder):
    with HybridRetriever.open(folder) as before:
        for kept in ({"method": "rrf", "newer": 1}, {"method": "newer"}, {"depth": "deep"}, "rrf"):
            with IndexWriter.open(folder) as writer:
                writer.keep("fusion", kept)
            for opens in (before.reopened, lambda: HybridRetriever.open(folder)):
                with pytest.raises(IndexFormatError, match="keeps a fusion that this release"):
                    opens()
    with HybridRetriever.open(folder, fusion=Fusion()) as retriever:
        assert retriever.reopened().search("red fox")


def test_a_reopened_retriever_keeps_the_dense_encoder_of_its_model(
    folder, dense_encoder, monkeypatch
):
    loaded = []

    def load(model, role):
        loaded.append(model)
        return dense_encoder

    monkeypatch.setattr(hybrid, "load_dense", load)
    with HybridRetriever.open(folder) as before:
        before.search("fox")
        with before.reopened() as again:
            assert again.search("fox")
        assert loaded == ["counts"]
        shutil.rmtree(folder)
        ingest(folder, DOCUMENTS, model="words", dense="others")
        with before.reopened() as again:
            assert again.search("fox")
        assert loaded == ["counts", "others"]


def test_a_long_document_scores_as_its_best_passage(
    tmp_path, monkeypatch, document_encoder, dense_encoder
):
    """Passages as the sparse side cuts them; the dense score is the greatest of their vectors."""
    module = import_module("sparse_ir.retrieval.ingest")
    load = module.load_encoder

    def load_limited(name, role="document", **options):
        return LimitedEncoder(document_encoder) if role == "document" else load(name, role)

    monkeypatch.setattr(module, "load_encoder", load_limited)
    long = Document("long", "red dog. quick animal runs. puppy puppy puppy sleeps. fast fox.")
    ingest(tmp_path, [long, Document("short", "red fox")], model="words", dense="counts")
    with HybridRetriever.open(tmp_path) as retriever:
        retriever.index.verify()
        doc = retriever.index.doc_number("long")
        passages = retriever.index.passages([doc])[doc]
        assert len(passages) > 1
        vector = dense_encoder.encode(["puppy"])[0]
        scores = [
            dense_encoder.encode([long.text[one.start : one.end]])[0] @ vector for one in passages
        ]
        (hit,) = [h for h in retriever.search("puppy", mode="dense") if h.doc_id == "long"]
        assert hit.score == pytest.approx(max(scores), abs=2e-3)
        assert hit.passage.number == int(np.argmax(scores))
        assert "puppy" in hit.passage.text
        (fused,) = [h for h in retriever.search("puppy") if h.doc_id == "long"]
        assert fused.passage == hit.passage
        (sparse,) = [h for h in retriever.search("puppy", mode="anchored") if h.doc_id == "long"]
        assert fused.legs["anchored"].score == pytest.approx(sparse.score, rel=1e-6)
        vectors = retriever.dense_query_vectors(["puppy"])
        everything = retriever.sparse.scores(
            retriever.sparse.query_arrays(["puppy"], "anchored"), 0, np.array([doc])
        )
        assert everything[0] == pytest.approx(sparse.score, rel=1e-5)
        assert len(vectors) == 1


def test_a_writers_own_index_is_hybrid_too(folder, dense_encoder):
    with IndexWriter.open(folder) as writer, SparseRetriever.open(folder) as opened:
        texts = ["puppy puppy puppy"]
        rows = DenseRows(dense_encoder.encode(texts), np.array([1]))
        vector = sp.csr_array(np.eye(1, 10, 4, dtype=np.float32))
        writer.add([Document("new", texts[0])], vector, [["puppi"] * 3], dense=rows)
        sparse = SparseRetriever(writer.index(), opened.encoder, opened._analyzer)
        assert HybridRetriever(sparse).search("puppy", k=1)[0].doc_id == "new"
    with Index.open(folder) as index:
        assert "new" in index


def test_one_model_gives_both_legs_in_one_pass(tmp_path, document_encoder, dense_encoder):
    """As PromptReps does: an encoder of terms that has vectors too."""
    passes = []

    def encode_both(texts, *, batch_size=32, on_progress=None):
        passes.append(list(texts))
        return document_encoder.encode(texts), 5 * dense_encoder.encode(texts)

    document_encoder.encode_both = encode_both
    ingest(tmp_path / "one", DOCUMENTS, model="words", dense="words")
    assert [text for one in passes for text in one] == [d.content for d in DOCUMENTS]
    ingest(tmp_path / "two", DOCUMENTS, model="words", dense="counts")
    with HybridRetriever.open(tmp_path / "two") as two:
        expected = two.search(QUERIES)
    with HybridRetriever.open(tmp_path / "one") as one:
        for found, hits in zip(one.search(QUERIES), expected, strict=True):
            assert [hit.score for hit in found] == pytest.approx([h.score for h in hits], abs=1e-2)
        n_passes = len(passes)
        sparse = SparseRetriever(one.index, document_encoder, one.sparse._analyzer)
        retriever = HybridRetriever(sparse)
        assert retriever.search("red fox", k=1)[0].doc_id == "d0"
        assert passes[n_passes:] == [["red fox"]]
        retriever.search("red fox", mode="dense")  # which loads the dense encoder
        with retriever.reopened() as again:
            assert again.search("puppy", k=1)
        assert passes[n_passes + 1 :] == [["puppy"]]
        by_table = HybridRetriever(sparse, dense_queries="table")
        with pytest.raises(InvalidInputError, match="no table of dense queries"):
            by_table.search("puppy")
