"""What the adapters of RAG frameworks share."""

from __future__ import annotations

import pytest

from sparse_ir.errors import InvalidInputError
from sparse_ir.hits import Hit, Passage
from sparse_ir.integrations.asking import ask, metadata_of


class Plain:
    """A retriever that knows neither modes nor filters."""

    def search(self, queries, k=10):
        return [[Hit(query, 1.0)] for query in queries]


def test_a_retriever_is_not_asked_for_what_it_does_not_know():
    assert ask(Plain(), "fox", 1) == [Hit("fox", 1.0)]
    with pytest.raises(InvalidInputError, match=r"Plain.search: .*'filter'"):
        ask(Plain(), "fox", 1, filter="year > 1999")
    with pytest.raises(InvalidInputError, match=r"Plain.search: .*'mode'"):
        ask(Plain(), "fox", 1, mode="lexical")


def test_errors_of_a_retriever_pass_through():
    class Failing:
        def search(self, queries, k=10, *, filter=None):
            raise TypeError("its own")

    with pytest.raises(TypeError, match="its own"):
        ask(Failing(), "fox", 1, filter="year > 1999")


def test_ours_take_the_place_of_a_documents_own_fields():
    own = dict.fromkeys(("doc_id", "score", "title", "passage", "span", "year"), "own")
    hit = Hit("a", 2.0, "red fox", "Fox", own, Passage(1, 4, 7, "fox"))
    assert metadata_of(hit) == {
        "doc_id": "a",
        "score": 2.0,
        "title": "Fox",
        "passage": 1,
        "span": [4, 7],
        "year": "own",
    }
    assert metadata_of(Hit("a", 2.0, metadata=own)) == own | {"doc_id": "a", "score": 2.0}
