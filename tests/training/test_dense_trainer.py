"""The dense leg trained: which pairs repel, that it learns and resumes, and what is kept."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_model import make_tiny_model

from sparse_ir.corpus import Document
from sparse_ir.encoders.dense_encoder import load_dense_encoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.training.checkpoints import checkpoints
from sparse_ir.training.dense_trainer import (
    AS_IT_WAS,
    DenseBatches,
    DenseSettings,
    DenseStudent,
    DenseTrainer,
)
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.run import train_model
from sparse_ir.training.validation import DevSet

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def body(tmp_path):
    make_tiny_model(tmp_path)
    return tmp_path / "body"


@pytest.fixture
def run(body, tmp_path):
    return DenseSettings(
        str(body), tmp_path / "out", steps=30, queries=4, negatives=1, max_length=16, rate=3e-3
    )


@pytest.fixture
def dev(examples):
    qrels = {f"q{i}": {f"d{row}": 1 for row in rows} for i, rows in enumerate(examples.positives)}
    asked = {f"q{i}": query for i, query in enumerate(examples.queries)}
    return DevSet("tiny", examples.documents, asked, qrels)


def losses(trainer):
    batches = [trainer.train_dataset[number] for number in range(4)]
    with torch.inference_mode():
        return float(np.mean([float(trainer.compute_loss(trainer.student, b)) for b in batches]))


def test_no_answer_repels_whoever_asked_it(examples, run):
    student = DenseStudent(run.model, run.max_length)
    batch = DenseBatches(examples, student, run)[0]
    ids = batch["document_ids"].tolist()
    rows = {tuple(student.documents.tokenized([d.content])[0]): i
            for i, d in enumerate(examples.documents)}  # fmt: skip
    documents = [rows[tuple(token for token in one if token)] for one in ids]
    assert 3 in documents  # the mined negative of the second query, and the answer of the fourth
    draw = np.random.default_rng((run.seed, 0))
    for row, query in enumerate(draw.permutation(4)[:4].tolist()):
        expected = [document in examples.positives[query] for document in documents]
        assert batch["positives"][row].tolist() == expected
        assert any(expected)


def test_its_scores_are_the_cosines_of_search(examples, run):
    student = DenseStudent(run.model, run.max_length)
    batch = DenseBatches(examples, student, run)[1]
    with torch.inference_mode():
        scores = student(**batch).numpy()
    asked = [examples.queries[q] for q in np.random.default_rng((run.seed, 1)).permutation(4)]
    encoder = load_dense_encoder(run.model)
    of_all = encoder.encode(asked) @ encoder.encode([d.content for d in examples.documents]).T
    for row, among in zip(scores, of_all, strict=True):
        assert np.abs(row[:, None] - among).min(1).max() < 0.02  # each is some document's


def test_it_learns_and_others_can_load_it(examples, run, dev, tmp_path, capsys):
    trainer = DenseTrainer(run, examples, dev)
    before, steps = losses(trainer), []
    assert train_model(trainer, on_step=steps.append)
    assert len(steps) == run.steps
    assert capsys.readouterr().out == ""
    assert losses(trainer) < before / 2
    assert trainer.measured[trainer.kept] > trainer.measured[AS_IT_WAS]
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| {trainer.kept} (this model) | {trainer.measured[trainer.kept]:.4f} |" in card
    found = load_dense_encoder(str(run.output))
    texts = [document.content for document in examples.documents]
    np.testing.assert_allclose(
        found.encode(texts), trainer.student.documents.encode(texts), atol=0.02
    )
    theirs = pytest.importorskip("sentence_transformers").SentenceTransformer(str(run.output))
    ours = load_dense_encoder(str(run.output))
    expected = theirs.encode(texts, normalize_embeddings=True)
    assert (ours.encode(texts) * expected).sum(1).min() > 0.999


def test_resuming_gives_what_an_unbroken_run_gives(examples, run, tmp_path):
    run = replace(run, steps=8)
    whole = DenseTrainer(replace(run, output=tmp_path / "whole"), examples)
    train_model(whole)
    broken = DenseTrainer(run, examples)

    def interrupt(_):
        if broken.state.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    assert not train_model(broken, on_step=interrupt)
    assert not run.output.exists()
    assert checkpoints(run.work)[-1].name == "checkpoint-3"
    resumed = DenseTrainer(run, examples)
    assert train_model(resumed, resume=True)
    for name, tensor in whole.student.state_dict().items():
        torch.testing.assert_close(resumed.student.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_model_that_got_no_better_stays_as_it_was(examples, run, dev):
    easy = TrainingSet("easy", [Document("d0", "the red fox"), Document("d1", "dog sleeps")])
    easy.add_query("the red fox", (0,))
    easy.add_query("dog sleeps", (1,))
    found_already = DevSet("easy", easy.documents, {"q": "the red fox"}, {"q": {"d0": 1}})
    trainer = DenseTrainer(replace(run, steps=4), easy, found_already)
    assert train_model(trainer)
    assert trainer.kept == AS_IT_WAS
    texts = [document.content for document in easy.documents]
    np.testing.assert_array_equal(
        load_dense_encoder(str(run.output)).encode(texts),
        load_dense_encoder(run.model).encode(texts),
    )


def test_what_is_refused(examples, run, tmp_path):
    with pytest.raises(InvalidInputError, match="steps is 0"):
        replace(run, steps=0)
    lonely = TrainingSet("lonely", examples.documents)
    lonely.add_query("fox", (0,))
    with pytest.raises(InvalidInputError, match="has 1 queries; want 2 or more"):
        DenseTrainer(run, lonely)
    with pytest.raises(InvalidInputError, match="holds no checkpoint"):
        train_model(DenseTrainer(run, examples), resume=True)
    run.output.mkdir()
    (run.output / "notes.txt").touch()
    with pytest.raises(InvalidInputError, match="exists; want a folder that is to be made"):
        DenseTrainer(run, examples)


def test_pooling_and_prompts_come_along(examples, run, prompting_model):
    model = prompting_model
    trainer = DenseTrainer(replace(run, model=str(model), steps=2), examples)
    train_model(trainer)
    for role, prompt in (("query", "fox "), ("document", "dog ")):
        given = load_dense_encoder(str(run.output), role).encode(["red"])
        bare = load_dense_encoder(str(run.output / "."), role)
        bare._reader._prompt = ""
        np.testing.assert_allclose(given, bare.encode([f"{prompt}red"]), atol=1e-6)
    trained = load_dense_encoder(str(run.output), "query").encode(["red"])
    assert np.abs(trained - load_dense_encoder(str(model), "query").encode(["red"])).max() > 1e-3
