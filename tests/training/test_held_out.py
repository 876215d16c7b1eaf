from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.training.held_out import held_out, split_document

DOCUMENTS = [
    Document(f"d{i}", f"First of {i}. Second of {i}. Third of {i}.", f"Title {i}")
    for i in range(60)
]


def test_what_is_asked_about_is_neither_learned_from_nor_whole():
    dev, rest = held_out(DOCUMENTS, n_questions=10, max_documents=30, seed=0)
    asked = {doc_id for grades in dev.qrels.values() for doc_id in grades}
    assert len(dev.queries) == len(asked) == 10
    assert {d.doc_id for d in rest} == {d.doc_id for d in DOCUMENTS} - asked
    assert len(dev.documents) == 30
    left = {d.doc_id: d for d in dev.documents}
    for query, text in dev.queries.items():
        [doc_id] = dev.qrels[query]
        assert text not in left[doc_id].content
        assert text in DOCUMENTS[int(doc_id[1:])].content


def test_at_most_a_quarter_is_held_out():
    dev, rest = held_out(DOCUMENTS, n_questions=200, seed=0)
    assert len(dev.queries) == 15
    assert len(rest) == 45


def test_of_long_documents_one_piece_is_asked_about_and_none_is_learned_from():
    """Though there are more questions to be had than documents."""
    pieces = [replace(one, doc_id=f"d{i}") for i, one in enumerate(DOCUMENTS * 3)]
    origins = [row // 5 for row in range(180)]
    dev, rest = held_out(pieces, n_questions=200, origins=origins, seed=0)
    asked = [origins[int(doc_id[1:])] for grades in dev.qrels.values() for doc_id in grades]
    assert len(asked) == len(set(asked)) == 9
    learned = {origins[int(document.doc_id[1:])] for document in rest}
    assert learned == set(range(36)) - set(asked)
    assert len(rest) == 135
    assert len(dev.documents) == 180


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        (Document("d", "One only.", "Title"), ("Title", "One only.")),
        (Document("d", "a b c d e f g h i"), None),
        (Document("d", "too short"), "refused"),
    ],
)
def test_short_documents_give_what_they_have(document, parts):
    split = split_document(document, np.random.default_rng(0))
    if parts == "refused":
        assert split is None
    elif parts:
        assert (split[0], split[1].content) == parts
    else:
        assert len(split[0].split()) == 3
        assert sorted(f"{split[0]} {split[1].text}".split()) == sorted(document.text.split())


def test_a_corpus_that_cannot_be_asked_about_is_refused():
    with pytest.raises(InvalidInputError, match="0 of 40 documents can be asked about"):
        held_out([Document(f"d{i}", "too short") for i in range(40)], seed=0)
