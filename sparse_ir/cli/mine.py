"""``sparse-ir mine``: hard negatives for training data, found by our own search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparse_ir.cli.console import progress, tell
from sparse_ir.cli.options import DEFAULT_DENSE_MODEL, ModelOption, require_writable


def mine(
    data: Annotated[Path, typer.Argument(help="A BEIR folder, or JSONL of queries and positives.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="JSONL with negatives.")],
    index: Annotated[Path, typer.Option(help="Folder of the index that is searched; kept.")],
    split: Annotated[str, typer.Option(help="Which qrels of a BEIR folder.")] = "train",
    judged_only: Annotated[
        bool,
        typer.Option("--judged-only", help="Search only what the split judges, not the folder."),
    ] = False,
    model: ModelOption = "mini",
    judge: Annotated[
        str,
        typer.Option(help="Dense model that tells answers from negatives, or none."),
    ] = DEFAULT_DENSE_MODEL,
    cross_encoder: Annotated[
        str | None,
        typer.Option(help="Cross-encoder of sentence-transformers, to judge in its place."),
    ] = None,
    count: Annotated[int, typer.Option(help="Negatives a query.")] = 8,
    first: Annotated[int, typer.Option(help="Best rank that is taken.")] = 2,
    last: Annotated[int, typer.Option(help="Worst rank that is taken.")] = 100,
    margin: Annotated[
        float, typer.Option(help="Share of the positive's score from which a hit is an answer.")
    ] = 0.95,
    language: Annotated[str, typer.Option(help="Of the documents, as for index.")] = "english",
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
) -> None:
    """Find hard negatives for the queries of a training set.

    All documents are indexed, the queries searched; of the hits that the judge does not take for
    answers some are drawn. The judge's scores are written too, so a run can distil from the file.
    """
    from sparse_ir.encoders.checkpoint import require_models_extra

    require_models_extra()
    from sparse_ir.retrieval.ingest import ingest
    from sparse_ir.retrieval.retriever import SparseRetriever
    from sparse_ir.training.examples import read_training_set
    from sparse_ir.training.negatives import Mining, mine_negatives, write_examples
    from sparse_ir.training.teachers import CrossEncoderTeacher, DenseTeacher

    require_writable(output)
    mining = Mining(count=count, first=first, last=last, margin=margin, seed=seed)
    examples = read_training_set(data, split=split, judged_only=judged_only)
    # Asked while mining, and loaded first: what is wrong with it is not to be said after minutes.
    judges = [CrossEncoderTeacher(cross_encoder).read(examples)] if cross_encoder else []
    with progress("indexing", total=len(examples.documents)) as advance:
        ingest(
            index,
            examples.documents,
            model=model,
            language=language,
            on_progress=lambda n, _: advance(n),
        )
    if judge != "none" and not judges:
        total = len(examples.documents) + len(examples.queries)
        with progress("judging", total=total) as advance:
            judges = [DenseTeacher(judge, on_progress=advance).read(examples)]
    with (
        SparseRetriever.open(index) as retriever,
        progress("mining", total=len(examples.queries)) as advance,
    ):
        mine_negatives(
            examples, retriever, judges[0] if judges else None, mining, on_progress=advance
        )
    n_queries, n_negatives = write_examples(examples, output, judges)
    tell(f"{n_negatives} negatives for {n_queries} queries in {output}")
