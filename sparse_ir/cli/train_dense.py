"""``sparse-ir train-dense``: the dense leg, trained on what the sparse one confuses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparse_ir.cli.console import progress, tell
from sparse_ir.cli.options import DEFAULT_DENSE_MODEL, require_train_extra


def train_dense(
    data: Annotated[
        Path, typer.Argument(help="JSONL with negatives, as mine writes it, or a BEIR folder.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model folder to be made.")],
    model: Annotated[
        str, typer.Option(help="Dense model to begin with: a folder or hub name.")
    ] = DEFAULT_DENSE_MODEL,
    split: Annotated[str, typer.Option(help="Which qrels of a BEIR folder.")] = "train",
    dev: Annotated[
        Path | None,
        typer.Option(
            help="BEIR folder that says which checkpoint is best, if any is better than the model.",
            show_default="the last is taken",
        ),
    ] = None,
    dev_split: Annotated[str, typer.Option(help="Which of its qrels.")] = "dev",
    steps: Annotated[int, typer.Option(help="Training steps.")] = 300,
    queries: Annotated[int, typer.Option(help="Of a batch.")] = 16,
    negatives: Annotated[int, typer.Option(help="Of each query in a batch, besides others'.")] = 3,
    max_length: Annotated[int, typer.Option(help="Tokens of a text that are read.")] = 160,
    rate: Annotated[float, typer.Option(help="Learning rate.")] = 2e-5,
    seed: Annotated[int, typer.Option(min=0, help="Of all draws.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
) -> None:
    """Train the dense leg to tell answers from what sparse search takes for them.

    Mine the negatives first: sparse-ir mine BEIR_FOLDER -o mined.jsonl --index .mine. The output is
    a sentence-transformers folder, for index --dense-model. Ctrl-C saves a checkpoint in
    OUTPUT.work; --resume goes on from it.
    """
    from sparse_ir.encoders.checkpoint import require_models_extra

    require_models_extra()
    require_train_extra()
    from sparse_ir.training.dense_trainer import DenseSettings, DenseTrainer
    from sparse_ir.training.examples import read_training_set
    from sparse_ir.training.run import train_model
    from sparse_ir.training.validation import read_dev_set

    run = DenseSettings(
        model, output, steps, queries, negatives, max_length=max_length, rate=rate, seed=seed
    )
    asked = read_dev_set(dev, split=dev_split, max_queries=200, max_documents=2000) if dev else None
    trainer = DenseTrainer(run, read_training_set(data, split=split), asked)
    with progress("training", total=steps) as advance:
        finished = train_model(trainer, resume=resume, on_step=advance)
    if not finished:
        tell(f"stopped; go on with the same command and --resume, from {run.work}")
        raise typer.Exit(130)
    for name, value in trainer.measured.items():
        here = "   <- in the output" if name == trainer.kept else ""
        tell(f"  {name:10}  nDCG@10 {value:.3f}{here}")
    tell(f"model in {output}; try: sparse-ir index SOURCE --dense --dense-model {output}")
