"""``sparse-ir adapt``: a model for your own texts, without queries or labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparse_ir.cli.console import err, progress
from sparse_ir.cli.options import ModelOption, require_train_extra


def adapt(
    source: Annotated[str, typer.Argument(help="Documents, as for index.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model folder to be made.")],
    model: ModelOption = "mini",
    steps: Annotated[int, typer.Option(help="Training steps.")] = 200,
    documents: Annotated[int, typer.Option(help="Documents learned from, at random.")] = 2000,
    target_terms: Annotated[float, typer.Option(help="Learned terms a document.")] = 120.0,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
) -> None:
    """Adapt a model to a corpus of your own: minutes on a CPU.

    Titles, sentences, crops and keywords of the documents are the queries; a dense model and BM25
    say which documents they should find.
    """
    from sparse_ir.corpus import read_documents
    from sparse_ir.encoders.checkpoint import require_models_extra

    require_models_extra()
    require_train_extra()
    from sparse_ir.training.adapt import adapt_trainer
    from sparse_ir.training.trainer import train_model

    corpus = list(read_documents(source))
    with progress("teachers read") as advance:
        trainer = adapt_trainer(
            corpus,
            output,
            model=model,
            steps=steps,
            max_documents=documents,
            target_terms=target_terms,
            seed=seed,
            on_progress=advance,
        )
    with progress("training", total=steps) as advance:
        if not train_model(trainer, on_step=advance):
            raise typer.Exit(130)
    err.print(f"model in {output}; try: sparse-ir index {source} --model {output}")
