"""``sparse-ir adapt``: a model for your own texts, without queries or labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparse_ir.cli.console import progress, stages, tell
from sparse_ir.cli.options import DEFAULT_DENSE_MODEL, ModelOption, require_train_extra


def adapt(
    source: Annotated[str, typer.Argument(help="Documents, as for index.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model folder to be made.")],
    model: ModelOption = "mini",
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 200,
    documents: Annotated[
        int, typer.Option(min=1, help="Documents learned from, at random.")
    ] = 2000,
    target_terms: Annotated[
        float | None,
        typer.Option(help="Learned terms a document.", show_default="as the model gives them"),
    ] = None,
    teacher: Annotated[
        str, typer.Option(help="Dense model that labels: package:NAME, folder or hub name.")
    ] = DEFAULT_DENSE_MODEL,
    language: Annotated[str, typer.Option(help="Of the documents, as for index.")] = "english",
    seed: Annotated[int, typer.Option(min=0, help="Of all draws.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from where Ctrl-C came, all else the same.")
    ] = False,
) -> None:
    """Adapt a model to a corpus of your own: minutes on a CPU.

    Titles, sentences, crops and keywords of the documents are the queries; a dense model and BM25
    say which documents they should find. Some documents are held out: if the adapted model answers
    what is asked about those no better, the output is the model as it was (with --target-terms, the
    best of those that have so few).
    """
    from sparse_ir.corpus import read_documents
    from sparse_ir.encoders.checkpoint import require_models_extra

    require_models_extra()
    require_train_extra()
    from sparse_ir.training.adapt import TOLERANCE, adapt_model, adapt_trainer

    corpus = list(read_documents(source))
    with progress("teachers read") as advance:
        trainer = adapt_trainer(
            corpus,
            output,
            model=model,
            steps=steps,
            max_documents=documents,
            target_terms=target_terms,
            teacher=teacher,
            language=language,
            seed=seed,
            resume=resume,
            on_progress=advance,
        )
    with stages(training=steps) as advance:
        done = adapt_model(
            trainer, resume=resume, on_step=lambda n: advance("training", n), on_stage=advance
        )
    if done is None:
        tell("stopped; go on with the same command and --resume")
        raise typer.Exit(130)
    tell(f"nDCG@10 on {done.questions} questions made of documents that were held out:")
    for name, values in done.measured.items():
        here = "   <- in the output" if name == done.kept else ""
        tell(
            f"  {name:9}  anchored {values['anchored']:.3f}  learned {values['learned']:.3f}  "
            f"{values['terms']:.0f} terms a document{here}"
        )
    if target_terms and (got := done.measured[done.kept]["terms"]) > TOLERANCE * target_terms:
        tell(f"no model came near to {target_terms:g} terms a document: this has {got:.0f}")
    tell(f"model in {output}; try: sparse-ir index {source} --model {output}")
