from __future__ import annotations

import json

import numpy as np
import pytest

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.hits import Hit
from sparse_ir.training.examples import read_training_set
from sparse_ir.training.negatives import Mining, mine_negatives, write_examples


class InOrder:
    """Ranks all documents by number."""

    def search(self, queries, k=10):
        return [[Hit(f"d{i}", 9.0 - i, "", "", {}) for i in range(6)][:k] for _ in queries]


class Judge:
    """Knows document 4 as an answer to everything."""

    is_cheap = True

    def scores(self, queries, documents):
        value = {4: 0.99}
        rows = [[value.get(int(d), 1.0 if int(d) < 2 else 0.5) for d in documents] for _ in queries]
        return np.array(rows, np.float32)


def test_negatives_are_hits_that_are_no_answers(examples):
    mine_negatives(examples, InOrder(), None, Mining(count=9, first=1, last=5))
    assert examples.negatives[0] == (1, 2, 3, 4)
    assert examples.negatives[1] == (3, 0, 2, 4)
    assert examples.negatives[2] == (0, 1, 3)


def test_the_judge_takes_out_what_scores_like_the_positive(examples):
    mine_negatives(examples, InOrder(), Judge(), Mining(count=9, first=2, last=6, margin=0.95))
    assert examples.negatives[0] == (2, 3, 5)


def test_logits_below_0_have_a_margin_too(examples):
    class Logits(Judge):
        def scores(self, queries, documents):
            value = {0: -2.0, 2: -1.95, 3: -2.05, 4: -2.15, 5: -9.0}
            return np.array([[value.get(int(d), -1.0) for d in documents] for _ in queries])

    mine_negatives(examples, InOrder(), Logits(), Mining(count=9, first=1, last=6, margin=0.95))
    assert examples.negatives[0] == (4, 5)  # the limit is -2.1


def test_hits_of_an_index_with_more_in_it_do_not_count(examples):
    class WithOthers(InOrder):
        def search(self, queries, k=10):
            other = Hit("of another file", 99.0, "", "", {})
            return [[other, *hits][:k] for hits in super().search(queries, k)]

    mine_negatives(examples, WithOthers(), None, Mining(count=9, first=2, last=5))
    assert examples.negatives[0] == (1, 2, 3)  # ranks 2 to 4 of its own


def test_no_more_than_count(examples):
    mine_negatives(examples, InOrder(), None, Mining(count=2, first=1, last=6))
    assert len(examples.negatives[0]) == 2


@pytest.fixture
def with_twins(examples):
    """Documents 2 and 5 say the same, document 4 nothing; queries 0 and 3 are the same."""
    examples.documents[4] = Document("d4", " ")
    examples.documents[5] = Document("d5", examples.documents[2].text)
    examples.positives[2] = (2,)
    examples.queries[3] = examples.queries[0]
    return examples


def test_no_text_and_no_text_of_an_answer_is_a_negative(with_twins):
    mine_negatives(with_twins, InOrder(), None, Mining(count=9, first=1, last=6))
    assert with_twins.negatives[0] == with_twins.negatives[3] == (1, 2, 5)
    assert with_twins.negatives[2] == (0, 1, 3)


def test_equal_queries_are_written_as_one_with_each_text_once(with_twins, tmp_path):
    class Unsteady(Judge):
        def scores(self, queries, documents):
            return super().scores(queries, documents) + np.array(queries)[:, None] / 1000

    mine_negatives(with_twins, InOrder(), None, Mining(count=9, first=1, last=6))
    written = write_examples(with_twins, tmp_path / "mined.jsonl", [Unsteady()])
    read = read_training_set(tmp_path / "mined.jsonl")
    assert written == (3, sum(map(len, read.negatives)))
    assert read.queries == ["fast red fox", "sleeping dog", "quick puppy"]
    texts = [[read.documents[row].content for row in rows] for rows in read.negatives]
    assert texts[0] == [with_twins.documents[row].content for row in (1, 2)]
    assert [*read.scores[0].values()] == [1.0, 0.5, 1.0, 0.5]  # documents 0, 3; 1, 2


def test_what_is_written_is_read_back(examples, tmp_path):
    mine_negatives(examples, InOrder(), None, Mining(count=2, first=1, last=6))
    write_examples(examples, tmp_path / "mined.jsonl", [Judge()])
    read = read_training_set(tmp_path / "mined.jsonl")
    texts = [d.content for d in read.documents]
    for query in range(4):
        assert [texts[i] for i in read.negatives[query]] == [
            examples.documents[i].content for i in examples.negatives[query]
        ]
    first = json.loads((tmp_path / "mined.jsonl").read_text().splitlines()[0])
    assert first["scores"][0] == 1.0


def test_impossible_ranks_are_refused():
    with pytest.raises(InvalidInputError, match="ranks are 5 to 2"):
        Mining(first=5, last=2)
