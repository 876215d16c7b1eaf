from __future__ import annotations

import numpy as np
import pytest

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.pseudo_queries import MAKERS, add_pseudo_queries, split_context

TEXT = (
    "The fox ran over the hill to the river. There it met a dog that slept in the warm sun. "
    "They talked about the weather for a long while! Then both of them went home again."
)
DOCUMENT = Document("d", TEXT, "A fox and a dog")


@pytest.mark.parametrize("kind", MAKERS)
def test_queries_are_made_of_the_documents_own_words(kind):
    draw = np.random.default_rng(0)
    made = [MAKERS[kind](DOCUMENT, draw) for _ in range(20)]
    assert any(made)
    own = {word.strip(".!") for word in DOCUMENT.content.split()}
    assert {word.strip(".!") for query in made for word in query.split()} <= own


def test_a_crop_is_between_a_twentieth_and_half():
    draw = np.random.default_rng(0)
    sizes = [len(MAKERS["crop"](DOCUMENT, draw).split()) for _ in range(50)]
    n = len(TEXT.split())
    assert max(sizes) <= n / 2
    assert all(size == 0 or size >= 3 for size in sizes)


def test_each_query_belongs_to_its_document_and_is_not_labelled():
    examples = TrainingSet("s", [DOCUMENT, Document("e", "short")])
    add_pseudo_queries(examples, ["sentence", "title"], per_document=2)
    assert examples.n_labelled == 0
    assert examples.positives == [(0,)] * len(examples.queries)
    assert "A fox and a dog" in examples.queries
    again = TrainingSet("s", [DOCUMENT, Document("e", "short")])
    add_pseudo_queries(again, ["sentence", "title"], per_document=2)
    assert again.queries == examples.queries


def test_context_prediction_takes_the_sentence_out():
    sentence, rest = split_context(DOCUMENT, np.random.default_rng(0))
    assert sentence in TEXT
    assert sentence not in rest.text
    assert split_context(Document("e", "One. Two."), np.random.default_rng(0)) is None


def test_context_queries_leave_their_document():
    examples = TrainingSet("s", [DOCUMENT, Document("e", "One. Two.")])
    add_pseudo_queries(examples, ["context", "title"], per_document=1)
    assert examples.positives == [(0,), (0,)]
    sentence = examples.queries[0]
    left = examples.documents[0]
    assert sentence in TEXT
    assert sorted(f"{left.text} {sentence}".split()) == sorted(TEXT.split())
    assert (left.doc_id, left.title) == ("d", "A fox and a dog")
    assert examples.documents[1].text == "One. Two."


def test_unknown_kinds_are_refused():
    with pytest.raises(InvalidInputError, match="'poem' came"):
        add_pseudo_queries(TrainingSet("s", [DOCUMENT]), ["poem"], per_document=1)
