"""Neighbour expansion, against the formula written out in dense numpy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sparse_ir.corpus import Document
from sparse_ir.encoders.checkpoint import ModelSettings
from sparse_ir.encoders.options import EncoderOptions
from sparse_ir.errors import InvalidInputError
from sparse_ir.index.params import BuildParams
from sparse_ir.index.passages import StoredPassage
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.neighbours import expand
from sparse_ir.retrieval.retriever import SparseRetriever

N_TERMS, WEIGHT = 50, 0.8
WORDS = [f"w{i}" for i in range(30)]


@pytest.fixture(autouse=True)
def few_are_enough(request, monkeypatch):
    if "waits" not in request.node.name:
        monkeypatch.setattr("sparse_ir.retrieval.neighbours._LEAST_DOCUMENTS", 0)


def create(path, weight=WEIGHT, prunes=False):
    return IndexWriter.create(
        path,
        n_terms=N_TERMS,
        params=BuildParams(precision="float32"),
        settings={"neighbour_weight": weight, "prunes": prunes},
    )


def drawn(n, seed, density=0.3):
    """n documents: (n, 50) weights without ties, and some words each."""
    draw = np.random.default_rng(seed)
    dense = draw.uniform(0.1, 3, (n, N_TERMS)) * (draw.random((n, N_TERMS)) < density)
    words = [list(draw.choice(WORDS, draw.integers(0, 9))) for _ in range(n)]
    return sp.csr_array(dense.astype(np.float32)), words


def add(writer, vectors, words, passages=None):
    first = writer.settings["next_doc"]
    documents = [Document(f"d{first + i}", "") for i in range(len(words))]
    writer.add(documents, vectors, words, passages=passages)


def stored(path):
    """(n,) doc numbers, (n, terms) weights in both blocks."""
    with Index.open(path) as index:
        index.verify()
        parts = list(index.stored_vectors())
        width = index.n_terms + index.n_words
    rows = np.concatenate([np.zeros((0, width)), *(matrix.toarray() for _, matrix in parts)])
    return [doc for docs, _ in parts for doc in docs], rows


def similarities(before):
    """(n,) each, of every document to all."""
    n = len(before)
    df = (before > 0).sum(0)
    idf = np.log(1 + (n - df + 0.5) / (df + 0.5))
    for row in before:
        query = row * idf
        query[np.argsort(-query, kind="stable")[20:]] = 0
        yield before @ query


def is_tied(before):
    """Whether float32 cannot tell which of two documents is the nearer to a third."""
    gaps = [np.diff(np.sort(one)) / one.max(initial=1) for one in similarities(before)]
    return any(((gap > 0) & (gap < 1e-6)).any() for gap in gaps)


def lent(before):
    """(n, 50) what its neighbours lend each document."""
    n = len(before)
    result = np.zeros((n, N_TERMS))
    for i, similarity in enumerate(similarities(before)):
        is_near = similarity >= 0.1 * similarity[i]
        is_near &= (similarity > 0) & (np.arange(n) != i)
        best = [j for j in np.argsort(-similarity, kind="stable") if is_near[j]][:3]
        result[i] = WEIGHT * before[best, :N_TERMS].sum(0) / 3
    return result


def expanded(before, chosen=None, may_drop=False):
    """What the rows should become: those of ``chosen``, or all."""
    after = before.copy()
    learned = np.maximum(before[:, :N_TERMS], lent(before))
    for row, own in zip(learned, before[:, :N_TERMS], strict=True):
        kept = (row >= 0.2 * row.max()).sum() if row.any() else 0
        kept = kept if may_drop else max(kept, (own > 0).sum())
        row[np.argsort(-row, kind="stable")[kept:]] = 0
    chosen = range(len(before)) if chosen is None else chosen
    after[chosen, :N_TERMS] = learned[chosen]
    return after


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 40), st.sampled_from([0.05, 0.3, 0.8]), st.booleans())
def test_documents_take_over_what_the_formula_says(tmp_path_factory, seed, n, density, may_drop):
    path = tmp_path_factory.mktemp("neighbours") / "index"
    with create(path, prunes=may_drop) as writer:
        for size in (n // 3, n - n // 3):
            add(writer, *drawn(size, seed + size, density))
            writer.commit()
    _, before = stored(path)
    assume(not is_tied(before))
    with IndexWriter.open(path) as writer:
        expand(writer)
    _, after = stored(path)
    assert after == pytest.approx(expanded(before, None, may_drop), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("top_terms", "most"), [(None, 150), (40, 40), (200, 150)])
def test_no_document_loses_terms_or_gets_more_than_are_wanted(tmp_path, top_terms, most):
    """Whatever the model gives: other people's give a document more, some of small weight.

    Of those that have more terms than a text may have, which are several passages, 150 are wanted.
    """
    draw, counts = np.random.default_rng(0), np.array([10, 30, 120, 149, 150, 151, 300, 400])
    dense = draw.uniform(0.1, 2, (8, 400)) * (np.arange(400) < counts[:, None])
    with IndexWriter.create(
        tmp_path / "i", n_terms=400, settings={"neighbour_weight": 2.0, "prunes": False}
    ) as writer:
        vectors = sp.csr_array(dense.astype(np.float32))
        writer.add([Document(str(i), "") for i in range(8)], vectors, [[]] * 8)
        if top_terms:
            writer.keep("top_terms", top_terms)
        expand(writer)
    with Index.open(tmp_path / "i") as index:
        [(_, rows)] = index.stored_vectors()
    after = np.diff(rows.indptr)
    assert (after >= counts).all()
    assert (after <= np.where(counts > most, np.maximum(counts, 150), most)).all()
    assert (after > counts).sum() >= 3


@pytest.mark.parametrize(
    ("own", "asked", "cut"),
    [
        (0.0, None, False),
        (0.1, None, True),
        (0.1, 0.0, False),
        (0.0, 0.01, False),
        (0.1, 0.1, True),
    ],
)
def test_only_the_documents_of_a_model_that_prunes_are_pruned_again(
    tmp_path, document_encoder, monkeypatch, own, asked, cut
):
    def settings(name):
        return ModelSettings(
            name, "none", 256, "log1p_relu", 0.5, fingerprint=name, prune_ratio=own
        )

    monkeypatch.setattr("sparse_ir.retrieval.text_index.model_settings", settings)
    least = np.float32(0.15)  # of the greatest weight
    encode = document_encoder.encode

    def with_a_small_weight(*texts, **options):
        found = encode(*texts, **options)
        found.data[found.indices == 8] = least * found.max()  # "fast"
        return found

    monkeypatch.setattr(document_encoder, "encode", with_a_small_weight)
    documents = [Document(str(i), f"red fox fast {'runs' if i % 2 else 'dog'}") for i in range(9)]
    options = EncoderOptions(prune_ratio=asked)
    ingest(tmp_path / "i", documents, model="words", options=options)
    with Index.open(tmp_path / "i") as index:
        terms = [index.vector(str(i)).indices.tolist() for i in range(9)]
    assert {8 in one for one in terms} == {not cut}


def test_each_document_is_expanded_once(tmp_path):
    path = tmp_path / "index"
    with create(path) as writer:
        add(writer, *drawn(30, 1))
        expand(writer)
    _, first = stored(path)
    with IndexWriter.open(path) as writer:
        expand(writer)
        add(writer, *drawn(2, 2))
        writer.commit()
    _, before = stored(path)
    assert np.array_equal(before[:30, : first.shape[1]], first)
    told = []
    with IndexWriter.open(path) as writer:
        expand(writer, told.append)
    _, after = stored(path)
    assert sum(told) == 2
    assert after == pytest.approx(expanded(before, [30, 31]), rel=1e-4, abs=1e-5)


def test_a_small_index_waits(tmp_path):
    path = tmp_path / "index"
    with create(path) as writer:
        add(writer, *drawn(99, 1))
        expand(writer)
        writer.commit()
        assert "expanded" not in writer.settings
        add(writer, *drawn(1, 2))
        writer.commit()
    _, before = stored(path)
    with IndexWriter.open(path) as writer:
        expand(writer)
    assert stored(path)[1] == pytest.approx(expanded(before), rel=1e-4, abs=1e-5)


def test_segments_without_new_documents_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("sparse_ir.index.segment_files._QUICK", 0)
    path = tmp_path / "index"
    with create(path) as writer:
        add(writer, *drawn(300, 1))
        expand(writer)
    files = set(path.glob("segment-*.sir"))
    with IndexWriter.open(path) as writer:
        add(writer, *drawn(2, 2))
        expand(writer)
        writer.commit()
    assert len(files) == 1
    assert files < set(path.glob("segment-*.sir"))


def test_the_deleted_lend_nothing(tmp_path):
    vectors, words = drawn(12, 3)
    with create(tmp_path / "some") as writer:
        add(writer, vectors, words)
        writer.commit()
        writer.delete(["d4", "d7"])
        expand(writer)
    with create(tmp_path / "none") as writer:
        add(writer, vectors, words)
        writer.commit()
        writer.delete(["d4", "d7"])
        writer.optimize()
    docs, after = stored(tmp_path / "some")
    assert docs == [i for i in range(12) if i not in (4, 7)]
    assert after == pytest.approx(expanded(stored(tmp_path / "none")[1]), rel=1e-4, abs=1e-5)


def test_passages_take_over_what_their_document_does(tmp_path):
    vectors, words = drawn(9, 5)
    second = drawn(9, 6)[0].toarray()
    parts = [[row, other] for row, other in zip(vectors.toarray(), second, strict=True)]
    greatest = sp.csr_array(np.maximum(vectors.toarray(), second))
    passages = [[passage(i, row) for i, row in enumerate(own)] for own in parts]
    passages[3] = []
    with create(tmp_path / "i") as writer:
        add(writer, greatest, words, passages)
        writer.commit()
    _, before = stored(tmp_path / "i")
    with IndexWriter.open(tmp_path / "i") as writer:
        expand(writer)
    docs, after = stored(tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        found = index.passages(docs)
        assert sorted(found) == [0, 1, 2, 4, 5, 6, 7, 8]
    for doc, own in found.items():
        row = after[doc, :N_TERMS]
        dense = np.array([laid_out(one) for one in own])
        expected = np.where(row > 0, np.maximum(parts[doc], lent(before)[doc]), 0)
        assert dense == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert np.array_equal(dense.max(0), row)
        assert [(one.start, one.end) for one in own] == [(0, 5), (5, 10)]


def passage(i, row):
    terms = np.flatnonzero(row).astype(np.uint32)
    return StoredPassage(5 * i, 5 * i + 5, terms, row[terms].astype(np.float32))


def laid_out(one):
    row = np.zeros(N_TERMS)
    row[one.terms] = one.weights
    return row


def test_a_stop_leaves_all_as_it_was(tmp_path):
    def stop(n):
        raise KeyboardInterrupt

    path = tmp_path / "i"
    with create(path) as writer:
        add(writer, *drawn(20, 7))
    _, before = stored(path)
    with pytest.raises(KeyboardInterrupt), IndexWriter.open(path) as writer:
        expand(writer, stop)
    assert np.array_equal(stored(path)[1], before)
    with IndexWriter.open(path) as writer:
        expand(writer)
    assert stored(path)[1] == pytest.approx(expanded(before), rel=1e-4, abs=1e-5)


# the way of text

DOCUMENTS = [
    Document("a", "red fox red dog runs"),
    Document("b", "red fox red dog sleeps"),
    Document("c", "red dog fox quick puppy"),
    Document("d", "fast quick"),
]


def run(path, documents=DOCUMENTS, **how):
    return ingest(path, documents, model="words", **how)


def test_text_is_found_by_what_its_neighbours_say(tmp_path, document_encoder):
    # of three neighbours one sleeps, with weight 1: a third of .7 is worth keeping, of .5 it is not
    for weight, kept, expected in ((0, 0, "b"), (None, 0.7, "bac"), (0.5, 0.5, "b")):
        run(tmp_path / str(weight), neighbour_weight=weight)
        with SparseRetriever.open(tmp_path / str(weight)) as retriever:
            assert retriever.index.settings["neighbour_weight"] == kept
            found = retriever.search("sleeps", mode="learned")
            assert (found[0].doc_id, {hit.doc_id for hit in found}) == ("b", set(expected))
            lexical = retriever.search("red dog sleeps", mode="lexical")
            assert [hit.doc_id for hit in lexical] == ["b", "a", "c"]


def test_an_index_stays_with_its_weight(tmp_path, document_encoder):
    run(tmp_path / "i", DOCUMENTS[:2], neighbour_weight=0.5)
    with pytest.raises(InvalidInputError, match=r"built with neighbour_weight 0\.5, not 0\.2"):
        run(tmp_path / "i", DOCUMENTS[2:], neighbour_weight=0.2)
    run(tmp_path / "i", DOCUMENTS[2:])
    with Index.open(tmp_path / "i") as index:
        assert (index.settings["neighbour_weight"], index.settings["expanded"]) == (0.5, 4)
    with IndexWriter.open(tmp_path / "i") as writer:  # as releases before this one left it
        writer.keep("neighbour_weight", None)
    run(tmp_path / "i", [Document("e", "red fox runs")])
    with Index.open(tmp_path / "i") as index:
        assert index.settings["expanded"] == 4


@pytest.mark.parametrize("weight", [-0.1, 2.1, float("nan")])
def test_bad_weights(tmp_path, document_encoder, weight):
    with pytest.raises(InvalidInputError, match=r"neighbour weight is .* want 0\.\.2"):
        run(tmp_path / "i", neighbour_weight=weight)
    assert not (tmp_path / "i").exists()
