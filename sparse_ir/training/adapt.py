"""Adaptation to a corpus without queries: its own texts ask, the teachers answer.

Source: pseudo-queries as in ``pseudo_queries``; distillation on them without labels as in Wang et
al. 2022, "GPL", arXiv:2112.07577, there with generated questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.training.config import (
    BatchTable,
    DataTable,
    ModelTable,
    OptimizerTable,
    SparsityTable,
    TrainConfig,
)
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.trainer import StudentTrainer, trainer_of

_LEAST_DOCUMENTS = 32
_KINDS = ("title", "sentence", "crop", "phrase", "keywords")


def adapt_trainer(
    documents: Sequence[Document],
    output: Path,
    *,
    model: str = "mini",
    steps: int = 200,
    max_documents: int = 2000,
    target_terms: float = 120.0,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> StudentTrainer:
    """A trainer that adapts a model to these documents.

    Args:
        documents: Of the corpus, at least 32.
        output: Folder of the adapted model.
        model: What is adapted.
        steps: Of training.
        max_documents: Documents learned from, drawn at random.
        target_terms: Terms a document.
        seed: Of all draws.
        on_progress: Told how many more texts the dense teacher has read.

    Raises:
        InvalidInputError: too few documents.
    """
    if len(documents) < _LEAST_DOCUMENTS:
        raise InvalidInputError(
            f"{len(documents)} documents came; want at least {_LEAST_DOCUMENTS} to adapt to"
        )
    rows = np.random.default_rng(seed).permutation(len(documents))[:max_documents]
    examples = TrainingSet("corpus", [documents[row] for row in np.sort(rows)])
    config = TrainConfig(
        model=ModelTable(start=model, output=output, name=output.name),
        data=(DataTable(path=output, pseudo_queries=_KINDS, pseudo_per_document=3),),
        sparsity=SparsityTable(target_terms=target_terms, ramp=0.1),
        batch=BatchTable(tokens=4096, max_documents=32, max_length=160, pseudo_queries=2),
        optimizer=OptimizerTable(steps=steps, save_every=max(1, steps // 2), seed=seed),
        work=output.with_name(output.name + ".work"),
    )
    return trainer_of(config, [examples], on_progress=on_progress)
