"""Expansions are what a network adds to the words of a text, whatever encodes the queries."""

from __future__ import annotations

import pytest

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.index.reader import Index
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.retriever import SparseRetriever

DOCUMENT = Document("a", "dog sleeps", title="red")
WORDS = {"dog", "sleeps", "red"}


class TableOnly:
    """An encoder that has no more than the protocol ``Encoder`` wants."""

    def __init__(self, encoder) -> None:
        self.encode, self.vocabulary = encoder.encode, encoder.vocabulary


@pytest.mark.parametrize("kind", ["network", "table", "table only"])
def test_expansions_are_terms_that_the_text_does_not_contain(
    tmp_path, document_encoder, make_lookup, kind
):
    ingest(tmp_path, [DOCUMENT], model="words")
    table = make_lookup([0, *[1] * (len(document_encoder.vocabulary) - 1)])
    encoder = {"network": document_encoder, "table": table, "table only": TableOnly(table)}[kind]
    with SparseRetriever(Index.open(tmp_path), encoder, Analyzer("english")) as retriever:
        terms = [t for t in retriever.document_terms("a") if t.block == "learned"]
        of_document = {t.term: t.is_expansion for t in terms}
        assert of_document == {**dict.fromkeys(WORDS, False), "puppy": True}
        matches = {m.term: m.is_expansion for m in retriever.explain("puppy dog", "a", "learned")}
        assert matches == {"dog": False, "puppy": True}
        of_query = {t.term: t.is_expansion for t in retriever.query_terms("dog", "learned")}
        assert of_query == {"dog": False} | ({"puppy": True} if kind == "network" else {})
