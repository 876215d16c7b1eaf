from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.training.batches import Batches, hard_neighbours
from sparse_ir.training.config import BatchTable, DistillationTable
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.mixture import TaughtSet
from sparse_ir.training.pseudo_queries import add_pseudo_queries
from sparse_ir.training.teachers import BM25Teacher, CallableTeacher, FileTeacher


@pytest.fixture
def taught(examples):
    add_pseudo_queries(examples, ["sentence"], per_document=1)
    scorers = [BM25Teacher().read(examples), FileTeacher().read(examples)]
    near = hard_neighbours(examples, scorers, per_teacher=2)
    return TaughtSet(examples, scorers, (1.0, 0.0), BM25Teacher().read(examples), 1.0, near)


@pytest.fixture
def tokenizer(model_folder):
    return AutoTokenizer.from_pretrained(model_folder.parent / "body")


def batches_of(taught, tokenizer, **changed):
    shape = BatchTable(
        **{"tokens": 45, "max_documents": 5, "max_length": 16, "neighbours": 1, **changed}
    )
    return Batches([taught], tokenizer, shape, DistillationTable(), n_batches=8, seed=3)


def test_a_batch_is_decided_by_seed_and_number(taught, tokenizer):
    one, other = (batches_of(taught, tokenizer)[2] for _ in range(2))
    assert all(
        torch.equal(one[name], other[name]) for name in one if isinstance(one[name], torch.Tensor)
    )


def test_a_batch_holds_each_document_once_and_a_neighbour_of_each_seed(taught, tokenizer):
    texts = [document.content for document in taught.examples.documents]
    row_of = {tuple(ids): row for row, ids in enumerate(tokenizer(texts)["input_ids"])}
    batches, beside = batches_of(taught, tokenizer, neighbours=3), []
    for number in range(len(batches)):
        padded = batches[number]["input_ids"].tolist()
        rows = [row_of[tuple(term for term in ids if term)] for ids in padded]
        assert len(rows) > 1
        assert len(set(rows)) == len(rows)
        beside.append(rows[1] in taught.near[rows[0]])
    assert all(beside)


def test_queries_are_counted_and_every_pair_is_scored(taught, tokenizer):
    batches = batches_of(taught, tokenizer, hide_source=0.0)
    for number in range(len(batches)):
        batch = batches[number]
        queries = [taught.examples.queries[q] for q in batch["query_numbers"]]
        texts = tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)
        shape = (len(queries), len(texts))
        assert batch["teacher"].shape == batch["positives"].shape == batch["lexical"].shape == shape
        for row, query in enumerate(queries):
            ids = tokenizer(query, add_special_tokens=False)["input_ids"]
            counts = dict(zip(*np.unique(ids, return_counts=True), strict=True))
            got = {
                term: n
                for term, n in zip(
                    batch["columns"].tolist(), batch["query_counts"][row].tolist(), strict=True
                )
                if n
            }
            assert got == counts
        assert batch["positives"].any()
        assert batch["teacher"].max() == pytest.approx(30, rel=1e-4)


def test_hidden_sources_are_out_of_teacher_and_positives(taught, tokenizer):
    batch = batches_of(taught, tokenizer, hide_source=1.0, labelled_queries=0)[0]
    hidden = torch.isinf(batch["teacher"])
    assert (hidden.sum(1) == 1).all()
    assert not batch["positives"].any()


def test_neighbours_are_what_the_teacher_ranks_high_and_mined_ones_come_first(examples):
    by_number = CallableTeacher(
        lambda queries, documents: np.array([[-len(d) for d in documents] for _ in queries])
    ).read(examples)
    by_number.is_cheap = True
    near = hard_neighbours(examples, [by_number], per_teacher=2)
    shortest = set(np.argsort([len(d.content) for d in examples.documents])[:2])
    assert set(near[0]) == shortest
    assert near[1][0] == 3
    assert set(near[5]) == {5}


def test_negatives_of_all_queries_are_neighbours(examples):
    """However little the teachers know of other pairs."""
    examples.add_query("dog under water", (1,), negatives=(0, 3, 5))
    near = hard_neighbours(examples, [FileTeacher().read(examples)])
    assert near[1].tolist() == [3, 0, 5]
    assert near[5].tolist() == [5]
    by_bm25 = hard_neighbours(examples, [BM25Teacher().read(examples)], per_teacher=4)
    assert by_bm25[1].tolist()[:3] == [3, 0, 5]
    assert len(by_bm25[1]) == 4


def test_something_is_asked_in_every_batch(tokenizer):
    documents = [Document(f"d{i}", text) for i, text in enumerate(["red fox", "dog"] * 20)]
    rare = TrainingSet("rare", documents)
    rare.add_query("fox", (7,), negatives=tuple(range(8, 40)))
    rare.n_labelled = 1
    scorers = [BM25Teacher().read(rare)]
    near = hard_neighbours(rare, scorers)
    taught = TaughtSet(rare, scorers, (1.0,), scorers[0], 1.0, near)
    batches = batches_of(taught, tokenizer)
    assert all(len(batches[number]["query_numbers"]) == 1 for number in range(len(batches)))
    with pytest.raises(InvalidInputError, match="nothing is asked about the documents of rare"):
        batches_of(taught, tokenizer, labelled_queries=0)


def test_a_source_that_is_all_there_is_is_not_hidden(tokenizer):
    alone = TrainingSet("alone", [Document("d", "red fox")])
    alone.add_query("fox", (0,))
    scorers = [BM25Teacher().read(alone)]
    taught = TaughtSet(alone, scorers, (1.0,), scorers[0], 1.0, hard_neighbours(alone, scorers))
    assert torch.isfinite(batches_of(taught, tokenizer, hide_source=1.0)[0]["teacher"]).all()


def test_network_queries_bring_their_tokens(taught, tokenizer):
    batches = Batches(
        [taught], tokenizer, BatchTable(), DistillationTable(), n_batches=1, network_queries=True
    )
    batch = batches[0]
    assert len(batch["query_ids"]) == len(batch["query_counts"])


def test_the_agreement_is_that_of_each_two_teachers(examples, tokenizer):
    def ranking(order):
        return CallableTeacher(lambda qs, ds: np.tile(order[: len(ds)], (len(qs), 1))).read(
            examples
        )

    same, other = ([9.0, 5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 9.0, 2.0, 3.0, 4.0, 5.0])
    for orders, expected in (([same], 1), ([same, other], 0), ([same, other, same], 1 / 3)):
        scorers = [ranking(order) for order in orders]
        near = hard_neighbours(examples, [])
        lexical = BM25Teacher().read(examples)
        taught = TaughtSet(examples, scorers, [1.0] * len(scorers), lexical, 1.0, near)
        assert batches_of(taught, tokenizer)[0]["agreement"] == pytest.approx(expected)


def test_no_training_set_is_an_error(tokenizer):
    with pytest.raises(InvalidInputError, match="no training set"):
        Batches([], tokenizer, BatchTable(), DistillationTable(), n_batches=1)
