from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch

from sparse_ir.corpus import Document
from sparse_ir.encoders.checkpoint import model_settings
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.training.adapt import adapt_model, adapt_trainer
from sparse_ir.training.checkpoints import mean_state
from sparse_ir.training.student import Student
from sparse_ir.training.trainer import StudentTrainer
from sparse_ir.training.validation import DevResult

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
WORDS = ["red", "fox", "dog", "sleeps", "runs", "fast", "animal", "puppy", "water", "night"]


@pytest.fixture
def documents():
    draw = np.random.default_rng(0)
    return [Document(f"d{i}", " ".join(draw.choice(WORDS, 12)), "the dog") for i in range(40)]


@pytest.fixture
def trainer(model_folder, documents, tmp_path):
    body = str(model_folder.parent / "body")
    return adapt_trainer(
        documents, tmp_path / "out", model=str(model_folder), teacher=body, steps=3
    )


@pytest.mark.parametrize(
    ("as_it_was", "adapted", "mean", "kept"),
    [(0.5, 0.6, 0.55, "adapted"), (0.5, 0.4, 0.6, "mean"), (0.5, 0.5, 0.5, "as it was")],
)
def test_the_output_is_what_does_best_on_held_out_questions(
    trainer, model_folder, tmp_path, monkeypatch, as_it_was, adapted, mean, kept
):
    g = model_settings(str(model_folder)).anchor_weight
    before = {n: t.clone() for n, t in Student(str(model_folder)).state_dict().items()}
    seen = []

    def validate(self):
        seen.append({n: t.clone() for n, t in self.student.state_dict().items()})
        now = seen[-1]["dense.weight"]
        if torch.equal(now, before["dense.weight"]):
            value = as_it_was
        else:
            half = mean_state([before, seen[-2]])["dense.weight"]
            value = mean if len(seen) > 2 and torch.equal(now, half) else adapted
        return {"selection": value, "anchored": value, "anchor_weight": g}

    monkeypatch.setattr(StudentTrainer, "validate", validate)
    done = adapt_model(trainer)  # the fitted table is measured too, and no better
    assert done.kept == kept
    assert {name: row["anchored"] for name, row in done.measured.items()} == {
        "as it was": as_it_was, "adapted": adapted, "mean": mean,
    }  # fmt: skip
    assert done.questions == 10
    after = seen[1]
    states = {"as it was": before, "adapted": after, "mean": mean_state([before, after])}
    saved = Student(str(tmp_path / "out"))
    torch.testing.assert_close(
        saved.dense.weight.detach(), states[kept]["dense.weight"], rtol=1e-3, atol=1e-3
    )
    assert model_settings(str(tmp_path / "out")).anchor_weight == g


@pytest.mark.parametrize("gain", [0.1, 0.0])
def test_a_fitted_query_table_is_kept_if_it_is_better(trainer, model_folder, tmp_path, gain):
    before = Student(str(model_folder))

    def validate():
        now = trainer.student
        if not torch.equal(now.dense.weight, before.dense.weight):
            value = 0.4
        else:
            value = 0.5 if torch.allclose(now.query_logits, before.query_logits) else 0.5 + gain
        return {"selection": value, "anchored": value}

    trainer.validate = validate
    done = adapt_model(trainer)
    assert done.kept == ("fitted" if gain else "as it was")
    saved = Student(str(tmp_path / "out"))
    changed = np.abs(saved.lookup.weights - before.lookup.weights).max() > 1e-3
    assert changed == bool(gain)
    torch.testing.assert_close(saved.dense.weight, before.dense.weight, rtol=1e-3, atol=1e-3)
    card = (tmp_path / "out" / "README.md").read_text()
    assert ("no better one for the corpus. Its query table was fitted" in card) == bool(gain)


def test_it_goes_on_where_ctrl_c_came(trainer, documents, model_folder, tmp_path):
    def interrupt(_):
        os.kill(os.getpid(), signal.SIGINT)

    body = str(model_folder.parent / "body")
    same = {"model": str(model_folder), "teacher": body, "steps": 3}
    whole = adapt_trainer(documents, tmp_path / "whole", **same)
    expected = adapt_model(whole)
    assert adapt_model(trainer, on_step=interrupt) is None
    assert not (tmp_path / "out").exists()
    with pytest.raises(InvalidInputError, match="go on with --resume"):  # and no teacher reads
        adapt_trainer(documents, tmp_path / "out", **same)
    again = adapt_trainer(documents, tmp_path / "out", resume=True, **same)
    done = adapt_model(again, resume=True)
    assert done.measured["adapted"]["learned"] == pytest.approx(
        expected.measured["adapted"]["learned"], abs=0.05
    )
    assert (tmp_path / "out" / "model.json").is_file()
    assert not (tmp_path / "out.work").exists()


def test_nothing_is_learned_from_what_is_held_out(trainer, documents):
    [taught] = trainer.train_dataset.sets
    [dev] = trainer.dev_sets
    asked = {doc_id for grades in dev.qrels.values() for doc_id in grades}
    learned = {document.doc_id for document in taught.examples.documents}
    assert len(asked) == 10
    assert asked | learned == {str(row) for row in range(len(documents))}
    assert not asked & learned


def test_the_aim_is_as_many_terms_as_the_model_gives(trainer, documents, model_folder):
    held = {doc_id for grades in trainer.dev_sets[0].qrels.values() for doc_id in grades}
    texts = [d.content for row, d in enumerate(documents) if str(row) not in held]
    expected = load_encoder(str(model_folder)).encode(texts).nnz / len(texts)
    assert trainer.config.sparsity.target_terms == pytest.approx(expected)


def test_long_documents_are_asked_about_what_is_read(model_folder, tmp_path):
    """In pieces, of which none overlaps another: the same sentence would be in both."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS, 200)) for _ in range(40)]
    long = [Document(f"d{i}", text, "the dog") for i, text in enumerate(texts)]
    body = str(model_folder.parent / "body")
    trainer = adapt_trainer(long, tmp_path / "out", model=str(model_folder), teacher=body, steps=1)
    [taught] = trainer.train_dataset.sets
    encoder = load_encoder(str(model_folder))
    pieces = [document.content for document in taught.examples.documents]
    assert len(pieces) > 2 * 30  # of the 30 documents about which nothing is asked
    assert max(len(encoder.token_spans(piece)) for piece in pieces) <= encoder.room
    words = sum(len(piece.split()) - 2 for piece in pieces)  # two are the title's
    assert words == 30 * 200


def test_what_answers_best_is_kept_however_many_terms_it_has(trainer, monkeypatch):
    many = DevResult(0.5, 0.6, {trainer.config.selection.anchor_weights[0]: 0.7}, 900.0, 50.0)
    monkeypatch.setattr("sparse_ir.training.trainer.search_dev_set", lambda *_, **__: many)
    assert trainer.validate()["selection"] == pytest.approx((0.6 + 0.7) / 2)


def test_the_terms_asked_for_are_those_of_texts_as_they_are_indexed(
    model_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("sparse_ir.training.adapt._MAX_LENGTH", 8)  # tokens that a batch reads
    draw = np.random.default_rng(0)
    documents = [Document(f"d{i}", " ".join(draw.choice(WORDS, 20))) for i in range(40)]
    body = str(model_folder.parent / "body")
    options = {"model": str(model_folder), "teacher": body, "steps": 1}
    trainer = adapt_trainer(documents, tmp_path / "out", target_terms=4.0, **options)
    [taught] = trainer.train_dataset.sets
    texts = [one.content for one in taught.examples.documents]
    short, whole = (
        load_encoder(str(model_folder), max_length=length).encode(texts).nnz for length in (8, 32)
    )
    assert short < whole
    assert trainer.config.sparsity.target_terms == pytest.approx(4.0 * short / whole)


def test_what_has_more_terms_than_are_asked_for_is_kept_only_if_all_do(
    documents, model_folder, tmp_path, monkeypatch
):
    body = str(model_folder.parent / "body")
    options = {"model": str(model_folder), "teacher": body, "steps": 1, "target_terms": 5.0}
    trainer = adapt_trainer(documents, tmp_path / "out", **options)
    g = trainer.config.selection.anchor_weights[0]
    found = [(0.9, 5.6), (0.5, 5.4), (0.4, 9.0), (0.3, 5.0)]  # as it was, adapted, mean, fitted
    results = iter([DevResult(0.1, value, {g: value}, terms, 1.0) for value, terms in found])
    monkeypatch.setattr("sparse_ir.training.trainer.search_dev_set", lambda *_, **__: next(results))
    assert adapt_model(trainer).kept == "adapted"


def test_an_unknown_language_is_refused_before_anything_is_read(documents, model_folder, tmp_path):
    with pytest.raises(InvalidInputError, match="'klingon'"):
        adapt_trainer(
            documents, tmp_path / "out", model=str(model_folder), teacher="no", language="klingon"
        )


@pytest.mark.parametrize("bad", [{"steps": 0}, {"max_documents": 0}, {"target_terms": 0}])
def test_arguments_out_of_range_are_refused(documents, model_folder, tmp_path, bad):
    with pytest.raises(InvalidInputError, match="want integers >= 1, and terms > 0"):
        adapt_trainer(documents, tmp_path / "out", model=str(model_folder), **bad)


@pytest.mark.parametrize("terms", [None, 5.0])
def test_a_model_of_others_is_refused_before_anything_is_read(model_folder, tmp_path, terms):
    body = str(model_folder.parent / "body")
    with pytest.raises(InvalidInputError, match="body has no head of ours; want a model folder"):
        adapt_trainer([], tmp_path / "out", model=body, teacher="nowhere", target_terms=terms)
