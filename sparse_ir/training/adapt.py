"""Adaptation to a corpus without queries: its own texts ask, the teachers answer.

It checks itself: a part of the documents is held out, and of the model as it was, the adapted one
and their mean the one is kept that answers best what is asked about those; with its query table
fitted to the corpus, if that answers better still.

Source: pseudo-queries as in ``pseudo_queries``; distillation on them without labels as in Wang et
al. 2022, "GPL", arXiv:2112.07577, there with generated questions; the mean of the weights before
and after: Wortsman et al. 2022, "WiSE-FT", arXiv:2109.01903.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.checkpoint import load_document_encoder, model_settings, require_new
from sparse_ir.encoders.options import DEFAULT_DENSE_MODEL
from sparse_ir.errors import InvalidInputError
from sparse_ir.retrieval.passages import passages_of
from sparse_ir.training.checkpoints import mean_state, require_place
from sparse_ir.training.config import (
    BatchTable,
    DataTable,
    ModelTable,
    OptimizerTable,
    QueryFitTable,
    SelectionTable,
    SparsityTable,
    TeacherTable,
    TrainConfig,
)
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.held_out import MOST_SEARCHED, held_out
from sparse_ir.training.pseudo_queries import Kind, Split, beginning
from sparse_ir.training.run import StageProgress, train_model
from sparse_ir.training.student import require_head
from sparse_ir.training.trainer import FITTED, StudentTrainer, trainer_of

_WEIGHT = 4e-3  # to which training steers for 100 terms; few steps cannot go far from the start
_LEAST_DOCUMENTS = 32
_KINDS: tuple[Kind | Split, ...] = ("title", "sentence", "crop", "phrase", "keywords", "context")
_MAX_LENGTH = 160
_MEASURED_DOCUMENTS = 128  # whose terms are counted
TOLERANCE = 1.1  # times the terms that are asked for
_FIT_STEPS = 500  # a few seconds

Kept = Literal["adapted", "mean", "as it was", "fitted"]
_ORIGINS = {
    "adapted": "It was adapted to a corpus of its own by `sparse-ir adapt`.",
    "mean": "It is the mean of that and what `sparse-ir adapt` made of it for a corpus of its own.",
    "as it was": "It is that model: `sparse-ir adapt` made no better one for the corpus.",
}


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What adapting came to, on held-out questions.

    Args:
        measured: Of each candidate, as ``StudentTrainer.validate``; ``fitted`` is the best of the
            others with its query table fitted, and is there only if it is better.
        kept: The one that is in the output folder.
        questions: How many were asked.
    """

    measured: Mapping[Kept, Mapping[str, float]]
    kept: Kept
    questions: int


def adapt_trainer(
    documents: Sequence[Document],
    output: Path,
    *,
    model: str = "mini",
    steps: int = 200,
    max_documents: int = 2000,
    target_terms: float | None = None,
    teacher: str = DEFAULT_DENSE_MODEL,
    language: str = "english",
    seed: int = 0,
    resume: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> StudentTrainer:
    """A trainer that adapts a model to these documents, but for some that are held out.

    Args:
        documents: Of the corpus, at least 32. Those longer than the model reads are cut to that.
        output: Folder of the adapted model.
        model: What is adapted.
        steps: Of training.
        max_documents: Documents learned from, drawn at random.
        target_terms: Terms a document. What is chosen has a tenth more at most, though the model as
            it was answers better, unless nothing has so few. None steers to as many as the model
            gives these documents, and has no such limit.
        teacher: Dense model that says, with BM25, what a text should find.
        language: Of the documents, as ``index --language``.
        seed: Of all draws.
        resume: Whether to go on from the last checkpoint.
        on_progress: Told how many more texts the dense teacher has read.

    Raises:
        InvalidInputError: too few documents, an argument out of its range, or the output exists;
            or as ``require_head`` and ``require_place``.
    """
    if steps < 1 or max_documents < 1 or (target_terms is not None and target_terms <= 0):
        raise InvalidInputError(
            f"steps is {steps}, max_documents is {max_documents}, target_terms is {target_terms}; "
            "want integers >= 1, and terms > 0"
        )
    require_new(output)
    require_head(model)
    Analyzer(language)
    work = output.with_name(output.name + ".work")
    require_place(work, resume=resume)  # before the teachers read, which takes minutes
    if len(documents) < _LEAST_DOCUMENTS:
        raise InvalidInputError(
            f"{len(documents)} documents came; want at least {_LEAST_DOCUMENTS} to adapt to"
        )
    settings = model_settings(model)
    max_length = min(_MAX_LENGTH, settings.max_length)
    draw = np.random.default_rng(seed)
    some = np.sort(draw.permutation(len(documents))[: max_documents + MOST_SEARCHED])
    encoder = load_document_encoder(model)
    pieces, origins = _pieces([documents[row] for row in some], encoder)
    dev, rest = held_out(pieces, origins=origins, seed=seed)
    rows = np.sort(draw.permutation(len(rest))[:max_documents])
    examples = TrainingSet("corpus", [rest[row] for row in rows])
    config = TrainConfig(
        model=ModelTable(start=model, output=output, name=output.name),
        data=(DataTable(path=output, pseudo_queries=_KINDS, pseudo_per_document=3),),
        teachers=(TeacherTable(kind="dense", model=teacher), TeacherTable(kind="bm25")),
        sparsity=SparsityTable(
            target_terms=_steered(target_terms, encoder, examples.documents, max_length),
            weight=_WEIGHT,
            ramp=0.1,
        ),
        batch=BatchTable(
            tokens=4096,
            max_documents=32,
            max_length=max_length,
            neighbours=5,
            pseudo_queries=3,
        ),
        optimizer=OptimizerTable(
            steps=steps,
            body_rate=2e-5,
            head_rate=4e-5,
            query_rate=5e-4,
            save_every=steps,
            seed=seed,
        ),
        selection=SelectionTable(
            anchor_weights=(settings.anchor_weight,),
            max_terms=TOLERANCE * target_terms if target_terms else math.inf,
            max_flops=math.inf,
        ),
        query_fit=QueryFitTable(steps=_FIT_STEPS),
        language=language,
        work=work,
    )
    return trainer_of(config, [examples], [dev], validates=False, on_progress=on_progress)


def adapt_model(
    trainer: StudentTrainer,
    *,
    resume: bool = False,
    on_step: Callable[[int], None] | None = None,
    on_stage: StageProgress = lambda stage, n: None,
) -> Adaptation | None:
    """What was measured; the best of old, new and their mean is in the output folder.

    None if Ctrl-C came first; then there is no output, but a checkpoint.

    Args:
        trainer: From ``adapt_trainer``.
        resume: Whether to go on from the last checkpoint.
        on_step: Told after each step that one more is done.
        on_stage: Told of a later stage how much more of it is done.

    Raises:
        InvalidInputError: as ``require_place``.
    """
    before = _copy(trainer.student.state_dict())
    measured: dict[Kept, dict[str, float]] = {"as it was": trainer.validate()}
    if not train_model(trainer, resume=resume, finish=False, on_step=on_step):
        return None
    measured["adapted"] = trainer.validate()
    after = _copy(trainer.student.state_dict())
    states: dict[Kept, dict[str, Tensor]] = {
        "as it was": before,
        "adapted": after,
        "mean": mean_state([before, after]),
    }
    trainer.student.load_state_dict(states["mean"])
    measured["mean"] = trainer.validate()
    kept = max(measured, key=lambda name: measured[name]["selection"])  # the first if all are equal
    trainer.student.load_state_dict(states[kept])
    trainer.measured, origin = measured[kept], _ORIGINS[kept]
    if trainer.fit_queries(on_stage):
        kept, origin = "fitted", f"{origin} {FITTED}"
        measured[kept] = trainer.measured
    if trainer.args.process_index == 0:
        trainer.save_student(trainer.measured, origin)
        shutil.rmtree(trainer.config.work)
    return Adaptation(measured, kept, len(trainer.dev_sets[0].queries))


def _steered(
    target: float | None, encoder: Any, documents: Sequence[Document], max_length: int
) -> float:
    """The terms to which batches are steered, which read the beginnings of documents."""
    beginnings = mean_terms(encoder, documents, max_length)
    if target is None:
        return beginnings
    return target * beginnings / mean_terms(encoder, documents, encoder.max_length)


def mean_terms(encoder: Any, documents: Sequence[Document], max_length: int) -> float:
    """Learned terms that the model gives so many tokens of a document, in the mean."""
    some = documents[:_MEASURED_DOCUMENTS]
    texts = [beginning(one, encoder.tokenizer, max_length).content for one in some]
    return max(1.0, float(encoder.encode(texts).nnz / len(texts)))


def _pieces(documents: Sequence[Document], encoder: Any) -> tuple[list[Document], list[int]]:
    """(the documents in pieces that the model reads whole, numbered; the document of each).

    Those are as search has them, but that nothing is in two. (Held out in pieces as short as a
    batch reads, scifact kept a model for its questions that found .054 less for the real ones:
    bench/results/adapt.jsonl.)
    """
    pieces: list[Document] = []
    origins: list[int] = []
    for number, document in enumerate(documents):
        for (start, end), _ in passages_of(document, encoder, overlap=0):
            text = document.text[start:end]
            pieces.append(replace(document, doc_id=str(len(pieces)), text=text))
            origins.append(number)
    return pieces, origins


def _copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
