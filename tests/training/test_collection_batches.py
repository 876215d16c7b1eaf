"""Batches against whole collections: scores, errors and the pull, written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.special import softmax
from toy_set import POSITIVES, QUERIES, TEXTS, Scores, toy_set

from sparse_ir.corpus import Document
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.training.batches import TaughtSet
from sparse_ir.training.collection_batches import CollectionBatches
from sparse_ir.training.config import TrainConfig
from sparse_ir.training.encoded_set import EncodedSet
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.student import Student
from sparse_ir.training.trainer import StudentTrainer

SCALE = 30


@pytest.fixture
def student(model_folder):
    return Student(str(model_folder))


@pytest.fixture
def taught():
    draw = np.random.default_rng(5)
    examples = toy_set(n_labelled=3)
    teacher, lexical = (Scores(draw.uniform(0, 4, (len(QUERIES), len(TEXTS)))) for _ in range(2))
    return TaughtSet(examples, [teacher], (1.0,), lexical, 1.0, [])


@pytest.fixture
def make(student, taught, model_folder, tmp_path):
    """(batches, what they are made of) under changed settings."""

    def made(*, hide=0.0, n_batches=20, **collection):
        compared = {"queries": 5, "nearest": 6, "others": 0, **collection}
        config = TrainConfig.model_validate(
            {
                "data": [{"path": "x"}],
                "collection": compared,
                "loss": {"residual": 0.3},
                "batch": {"tokens": 16, "max_length": 16, "hide_source": hide},
                "optimizer": {"steps": n_batches, "bfloat16": False},
                "work": tmp_path / "work",
            }
        )
        queries = student.lookup_encoder()
        vectors = load_encoder(str(model_folder)).encode(TEXTS)
        encoded = EncodedSet.of(taught, vectors, queries, anchor_weight=0.6, collection_idf=True)
        batches = CollectionBatches(
            [encoded], queries, student.tokenizer, config, n_batches=n_batches
        )
        return batches, encoded, config

    return made


def test_scores_are_of_all_documents_and_those_of_the_batch_are_new(make, student, taught):
    batches, encoded, _ = make()
    with torch.no_grad():
        student.bias += 0.5  # what is encoded now is not what was
    batch = batches[0]
    with torch.no_grad():
        scored = student(**batch)
        new = student.term_weights(batch["input_ids"], batch["attention_mask"]).numpy()
    documents = encoded.documents.toarray()
    (places,) = (batch["places"].numpy(),)
    assert 0 < len(places) < len(TEXTS)
    assert np.abs(new - documents[places]).max() > 0.1
    documents[places] = new
    rows = batch["query_numbers"].numpy()
    counts = encoded.asked.toarray()[rows]
    learned = (counts * encoded.weights.numpy()) @ documents.T
    scale = float(student.log_learned_scale.detach().exp())
    np.testing.assert_allclose(scored.learned.numpy(), scale * learned, rtol=1e-4)
    anchored = taught.lexical.values[rows] + student.anchor_weight * learned
    np.testing.assert_allclose(
        scored.anchored.numpy(), float(student.log_scale.detach().exp()) * anchored, rtol=1e-4
    )
    np.testing.assert_array_equal(
        batch["positives"].numpy(), [[d in POSITIVES[row] for d in range(6)] for row in rows]
    )


def test_documents_are_drawn_by_the_root_of_their_error(make, taught, student):
    batches, encoded, _ = make(n_batches=3000)
    documents = encoded.documents.toarray()
    learned = (encoded.asked.toarray() * encoded.weights.numpy()) @ documents.T
    anchored = taught.lexical.values + encoded.anchor_weight * learned

    def ranked(scores):
        low, high = scores.min(1, keepdims=True), scores.max(1, keepdims=True)
        return softmax(SCALE * (scores - low) / (high - low), axis=1)

    wanted = ranked(taught.scorers[0].values)
    errors = 0.3 * np.abs(ranked(anchored) - wanted) + 0.7 * np.abs(ranked(learned) - wanted)
    root = np.sqrt(errors.sum(0))
    # With room for the tokens of one document, it is drawn in proportion.
    alone = batches._config.batch.model_copy(update={"tokens": 1})
    batches._config = batches._config.model_copy(update={"batch": alone})
    drawn = [batches[number] for number in range(3000)]
    assert all(len(batch["places"]) == 1 for batch in drawn)
    frequencies = np.bincount([int(batch["places"][0]) for batch in drawn], minlength=6) / 3000
    np.testing.assert_allclose(frequencies, root / root.sum(), atol=0.04)
    for batch in drawn[:20]:
        place = int(batch["places"][0])
        assert batch["share"] == pytest.approx(errors.sum(0)[place] / errors.sum(), rel=1e-3)
        np.testing.assert_array_equal(batch["before"][0].numpy(), documents[place])
        ids = student.tokenizer(TEXTS[place])["input_ids"]
        assert batch["input_ids"][0].tolist() == ids


def test_a_batch_is_decided_by_its_number(make):
    one, other = make()[0], make()[0]
    for number in (3, 0):
        for name, value in one[number].items():
            again = other[number][name]
            assert (
                value == pytest.approx(again) if np.isscalar(value) else torch.equal(value, again)
            )
    assert not torch.equal(one[0]["query_numbers"], one[1]["query_numbers"])


def test_only_the_first_and_some_others_are_compared(make, taught):
    taught.scorers[0].values[:, 5] = taught.lexical.values[:, 5] = -9
    _, encoded, _ = make()
    few = make(nearest=1)[0][0]
    assert (torch.isfinite(few["teacher"]).sum(1) <= 3).all()
    documents = encoded.documents.toarray()
    rows = few["query_numbers"].numpy()
    learned = ((encoded.asked.toarray() * encoded.weights.numpy()) @ documents.T)[rows]
    anchored = taught.lexical.values[rows] + encoded.anchor_weight * learned
    first = {
        int(best)
        for scores in (taught.scorers[0].values[rows], learned, anchored)
        for best in scores.argmax(1)
    }
    assert few["teacher"].shape[1] == len(first)
    assert make(nearest=1, others=60)[0][0]["teacher"].shape[1] == len(TEXTS)


def test_the_source_of_a_pseudo_query_is_hidden(make):
    batch = make(hide=1.0)[0][0]
    for i, row in enumerate(batch["query_numbers"].tolist()):
        is_seen = torch.isfinite(batch["teacher"][i])
        (source,) = POSITIVES[row]
        assert bool(is_seen[source]) == (row < 3)
        assert bool(batch["positives"][i].any()) == (row < 3)


def test_what_presses_is_weighed_by_the_share_and_documents_are_pulled(make, student):
    batches, _, config = make()
    batch = batches[0]
    batch["before"] = (batch["before"] > 0) * 0.25

    def loss(pull, share):
        changed = config.collection.model_copy(update={"pull": pull})
        asked = config.model_copy(update={"collection": changed})
        trainer = StudentTrainer(student, batches, asked, [])
        with torch.no_grad():
            return float(trainer.compute_loss(student, {**batch, "share": share}))

    with torch.no_grad():
        weights = student.term_weights(batch["input_ids"], batch["attention_mask"])
    distance = sum(
        float(((row - 0.25)[before > 0] ** 2).sum())
        for row, before in zip(weights, batch["before"], strict=True)
    ) / len(weights)
    assert loss(2.0, 0.5) - loss(0.0, 0.5) == pytest.approx(2 * 0.5 * distance, rel=1e-3)
    assert loss(0.0, 1.0) >= loss(0.0, 0.5) >= loss(0.0, 0.0)


def test_an_only_document_is_compared_with_itself(student, model_folder):
    few = TrainingSet("one", [Document("d", TEXTS[0])], QUERIES[:1], [(0,)], n_labelled=0)
    scorer = Scores(np.ones((1, 1)))
    taught = TaughtSet(few, [scorer], (1.0,), scorer, 1.0, [])
    queries = student.lookup_encoder()
    vectors = sp.csr_array(load_encoder(str(model_folder)).encode(TEXTS[:1]))
    encoded = EncodedSet.of(taught, vectors, queries, anchor_weight=0.6, collection_idf=True)
    config = TrainConfig.model_validate({"data": [{"path": "x"}], "collection": {"queries": 4}})
    batch = CollectionBatches([encoded], queries, student.tokenizer, config, n_batches=1)[0]
    assert batch["places"].tolist() == [0]
    assert torch.isfinite(student(**batch).anchored).all()


def test_where_nothing_is_wrong_what_is_drawn_is_compared(make, taught):
    """All agree on the best document, and a query is compared with that alone."""
    batches, encoded, _ = make(nearest=1, queries=1)
    agreed = (encoded.asked.toarray() * encoded.weights.numpy()) @ encoded.documents.toarray().T
    taught.scorers[0].values = taught.lexical.values = agreed
    for number in range(20):
        batch = batches[number]
        assert batch["teacher"].shape == (1, 1)
        assert batch["places"].tolist() == [0]
        best = agreed[batch["query_numbers"].numpy()].argmax(1)
        np.testing.assert_array_equal(batch["before"], encoded.documents[best].toarray())
