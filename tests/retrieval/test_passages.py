"""Passages: the cut by its properties, the ranking against brute force over every passage."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.corpus import Document
from sparse_ir.errors import IndexFormatError, InvalidInputError
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.passages import cut, passages_of
from sparse_ir.retrieval.retriever import SparseRetriever


def tokens_of(text):
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def cut_text(text, room, overlap=0):
    return [text[a:b] for a, b in cut(text, tokens_of(text), room=room, overlap=overlap)]


def test_ends_where_sentences_end():
    text = "One two three. Four five six. Seven eight nine ten. Eleven."
    assert cut_text(text, 9) == [
        "One two three. Four five six.",
        "Seven eight nine ten. Eleven.",
    ]
    assert cut_text(text, 100) == [text]


def test_neighbours_share_whole_sentences():
    text = "One two three. Four five. Six seven eight. Nine ten eleven. Twelve."
    assert cut_text(text, 8, overlap=4) == [
        "One two three. Four five.",
        "Four five. Six seven eight.",
        "Six seven eight. Nine ten eleven.",
        "Nine ten eleven. Twelve.",
    ]


def test_long_sentences_end_behind_a_word_and_long_words_anywhere():
    assert cut_text("a b c d e", 2) == ["a b", "c d", "e"]
    spans = [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    assert cut("abcdefghij", spans, room=2, overlap=0) == [(0, 4), (4, 8), (8, 10)]


TEXTS = st.lists(st.sampled_from(["fox", "dog", ". ", " ", "! ", "\n", "runs", ", "]), max_size=60)


@given(TEXTS.map("".join), st.integers(1, 12), st.integers(0, 8))
def test_every_token_is_in_a_piece_that_is_not_too_long(text, room, overlap):
    tokens = tokens_of(text)
    pieces = cut(text, tokens, room=room, overlap=overlap)
    inside = [[t for t in tokens if a <= t[0] and t[1] <= b] for a, b in pieces]
    assert {t for one in inside for t in one} == set(tokens)
    assert all(len(one) <= room for one in inside)
    assert (pieces[0][0], pieces[-1][1]) == (0, len(text))
    assert all(a < c for (a, _), (c, _) in pairwise(pieces))
    for one, after in pairwise(inside):
        assert len(set(one) & set(after)) <= overlap


class LimitedEncoder:
    """As ``ExpandingEncoder``, but it reads six words of a text and no more."""

    room = 6

    def __init__(self, inner):
        self._inner = inner
        self.vocabulary = inner.vocabulary

    def token_spans(self, text):
        return tokens_of(text)

    def encode(self, texts, **kwargs):
        return self._inner.encode([" ".join(text.split()[:6]) for text in texts], **kwargs)


@pytest.fixture
def limited(document_encoder, monkeypatch):
    from importlib import import_module

    encoder = LimitedEncoder(document_encoder)
    module = import_module("sparse_ir.retrieval.ingest")
    load = module.load_encoder

    def load_limited(name, role="document", **options):
        return encoder if role == "document" else load(name, role)

    monkeypatch.setattr(module, "load_encoder", load_limited)
    return encoder


def test_a_long_title_gives_way_to_the_text(limited):
    def texts(title, text):
        return [text for _, text in passages_of(Document("d", text, title), limited)]

    assert texts("red fox runs", "dog sleeps fast") == ["red fox runs dog sleeps fast"]
    assert texts("red fox runs fast", "dog sleeps fast") == ["red dog sleeps fast"]
    assert texts("red fox runs fast", "dog sleeps " * 3) == [
        "red dog sleeps dog sleeps dog",
        "red sleeps dog sleeps",
    ]


WORDS = ("red", "fox", "dog", "puppy", "sleeps", "runs", "animal", "fast", "quick")
DRAW = np.random.default_rng(3)
DOCUMENTS = [
    Document(f"d{i}", " ".join(DRAW.choice(WORDS, n)), title="red" if i % 2 else "")
    for i, n in enumerate(DRAW.integers(1, 40, 60))
]
QUERIES = ["fox", "dog runs", "quick red animal", "puppy sleeps fast fox", "nothing"]


@pytest.mark.parametrize("mode", ["learned", "anchored"])
@pytest.mark.parametrize("k", [1, 3, 100])
def test_a_document_scores_as_its_best_passage(tmp_path, limited, mode, k):
    ingest(tmp_path / "i", DOCUMENTS, model="words")
    parts = {d.doc_id: passages_of(d, limited) for d in DOCUMENTS}
    titles = {d.doc_id: limited.encode([d.title]).toarray() for d in DOCUMENTS}
    assert max(map(len, parts.values())) > 3
    with SparseRetriever.open(tmp_path / "i") as retriever:
        queries = retriever.query_vectors(QUERIES, mode).toarray()
        learned, words = np.split(queries, [retriever.index.n_terms], axis=1)
        ((_, stored),) = retriever.index.stored_vectors()
        lexical_scores = words @ stored.toarray()[:, retriever.index.n_terms :].T
        found = retriever.search(QUERIES, k, mode=mode)
        for query, hits, lexical in zip(learned, found, lexical_scores, strict=True):
            scores, best = {}, {}
            for (doc_id, own), base in zip(parts.items(), lexical, strict=True):
                read = limited.encode([text for _, text in own]).toarray()
                each = (np.maximum(read, titles[doc_id]) + 0.1 * titles[doc_id]) @ query
                best[doc_id] = {i for i in range(len(own)) if each[i] >= each.max() - 1e-5}
                scores[doc_id] = base + each.max()
            expected = sorted((s for s in scores.values() if s > 0), reverse=True)[:k]
            assert [hit.score for hit in hits] == pytest.approx(expected, rel=1e-4)
            for hit in hits:
                assert hit.score == pytest.approx(scores[hit.doc_id], rel=1e-4)
                assert (hit.passage is None) == (len(parts[hit.doc_id]) == 1)
                if hit.passage:
                    assert hit.passage.number in best[hit.doc_id]
                    (start, end), _ = parts[hit.doc_id][hit.passage.number]
                    assert hit.passage.text == hit.text[start:end]


def test_words_know_nothing_of_passages(tmp_path, limited):
    ingest(tmp_path / "with", DOCUMENTS, model="words")
    ingest(tmp_path / "without", DOCUMENTS, model="words", passages=False)
    with (
        SparseRetriever.open(tmp_path / "with") as one,
        SparseRetriever.open(tmp_path / "without") as other,
    ):
        assert not other.index.has_passages
        assert one.search(QUERIES, 100, mode="lexical") == other.search(
            QUERIES, 100, mode="lexical"
        )


def test_an_explanation_adds_up_to_the_score(tmp_path, limited):
    ingest(tmp_path / "i", DOCUMENTS, model="words")
    with SparseRetriever.open(tmp_path / "i") as retriever:
        for hit in retriever.search(QUERIES[3], 20):
            matches = retriever.explain(QUERIES[3], hit.doc_id)
            assert sum(m.product for m in matches) == pytest.approx(hit.score, rel=1e-4)


def test_changed_and_deleted_documents_take_their_passages_along(tmp_path, limited):
    ingest(tmp_path / "i", DOCUMENTS, model="words")
    ingest(tmp_path / "i", [Document(d.doc_id, "fox") for d in DOCUMENTS], model="words")
    with Index.open(tmp_path / "i") as index:
        assert not index.has_passages


def test_an_index_is_of_one_kind(tmp_path, limited):
    ingest(tmp_path / "i", DOCUMENTS, model="words")
    with pytest.raises(InvalidInputError, match="with passages True, not False"):
        ingest(tmp_path / "i", DOCUMENTS, model="words", passages=False)


def test_no_part_of_a_long_document_is_lost(tmp_path, limited):
    text = " ".join(["sleeps"] * 30) + " fox"
    ingest(tmp_path / "i", [Document("a", text)], model="words")
    with SparseRetriever.open(tmp_path / "i") as retriever:
        (hit,) = retriever.search("fox", mode="learned")
        assert hit.passage.text.endswith("fox")
        assert hit.passage.end == len(text)


TOO_FEW = "more or fewer terms than they say"


@pytest.mark.parametrize(
    ("column", "damage", "message"),
    [
        ("terms", lambda blob: blob[4:], TOO_FEW),
        ("weights", lambda blob: blob[1:], TOO_FEW),
        ("places", lambda blob: b"", TOO_FEW),
        ("weights", lambda blob: b"\0\0\xc0\x7f" * (len(blob) // 4), "a weight is no number"),
    ],
)
def test_damaged_passages_are_no_hits_but_an_error(tmp_path, limited, column, damage, message):
    ingest(tmp_path / "i", [Document("a", " ".join(["fox runs"] * 30))], model="words")
    with closing(sqlite3.connect(tmp_path / "i" / "catalog.sqlite")) as catalog, catalog:
        ((blob,),) = catalog.execute(f"SELECT {column} FROM passages").fetchall()
        catalog.execute(f"UPDATE passages SET {column} = ?", [damage(blob)])
    with (
        SparseRetriever.open(tmp_path / "i") as retriever,
        pytest.raises(IndexFormatError, match=message),
    ):
        retriever.search("fox", mode="learned")


def test_many_queries_one_query_and_few_hits_agree(tmp_path, limited):
    ingest(tmp_path / "i", DOCUMENTS, model="words")
    with SparseRetriever.open(tmp_path / "i") as retriever:
        together = retriever.search(QUERIES, 60)
        for query, hits in zip(QUERIES, together, strict=True):
            for k in (1, 2, 7, 59):
                assert retriever.search(query, k) == hits[:k]


def test_a_writers_own_index_finds_the_same(tmp_path, limited):
    """Where a query needs a second search, and where a hit is deleted before it is shown."""
    ingest(tmp_path / "i", DOCUMENTS, model="words")
    with SparseRetriever.open(tmp_path / "i") as opened, IndexWriter.open(tmp_path / "i") as writer:
        live = SparseRetriever(writer.index(), opened.encoder, opened._analyzer)
        for k in (1, 2, 7):
            expected, found = opened.search_arrays(QUERIES, k), live.search_arrays(QUERIES, k)
            assert found.ids == expected.ids
        found = live.search_arrays(["fox"], 3)
        gone = found.ids[0][1]
        writer.delete([gone])
        assert [hit.doc_id for hit in live.hits(found)[0]] == [
            doc_id for doc_id in found.ids[0] if doc_id != gone
        ]


@pytest.mark.parametrize("k", [0, -1, 1.5, "3", None, True])
def test_refuses_a_k_that_is_none(tmp_path, limited, k):
    ingest(tmp_path / "i", DOCUMENTS, model="words")
    with SparseRetriever.open(tmp_path / "i") as retriever:
        with pytest.raises(InvalidInputError, match=f"k is {k!r}; want an integer >= 1"):
            retriever.search("fox", k)


def test_more_hits_than_documents(tmp_path, limited):
    ingest(tmp_path / "i", DOCUMENTS, model="words")
    with SparseRetriever.open(tmp_path / "i") as retriever:
        assert retriever.search(QUERIES, 10**14) == retriever.search(QUERIES, len(DOCUMENTS))
