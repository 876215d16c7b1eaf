"""``sparse-ir init-head``: a sparse model from a sentence encoder, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparse_ir.cli.console import progress, tell
from sparse_ir.cli.options import DEFAULT_DENSE_MODEL


def init_head(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Texts like yours, as for index.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model folder to be made.")],
    body: Annotated[
        str, typer.Option(help="package:NAME, a folder, or a hub name of a sentence encoder.")
    ] = DEFAULT_DENSE_MODEL,
    query_idf: Annotated[
        Path | None,
        typer.Option(help="JSON {token: idf} for queries.", show_default="idf of the texts"),
    ] = None,
    texts: Annotated[int, typer.Option(min=1, help="Texts taken of each source, at random.")] = 400,
    max_length: Annotated[int, typer.Option(help="Tokens of a text that are read.")] = 256,
    anchor_weight: Annotated[
        float, typer.Option(help="Weight of the learned score beside BM25.")
    ] = 0.4,
    name: Annotated[str, typer.Option(help="Of the model.", show_default="the folder's")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and its order.")] = 0,
) -> None:
    """Make a sparse model of a sentence encoder in closed form.

    A ridge regression gives it a head; biases are set so that each term fires about as often as it
    occurs. Then: sparse-ir index SOURCE --model FOLDER.
    """
    import random

    from sparse_ir.corpus import read_documents
    from sparse_ir.encoders.checkpoint import require_models_extra

    require_models_extra()
    from sparse_ir.encoders.head_init import init_head_model

    draw = random.Random(seed)
    sample = []
    for source in sources:
        contents = [document.content for document in read_documents(source)]
        sample += draw.sample(contents, min(texts, len(contents)))
    with progress("fitting", total=len(sample)) as advance:
        init_head_model(
            body,
            sample,
            output,
            query_idf=query_idf,
            name=name,
            max_length=max_length,
            anchor_weight=anchor_weight,
            seed=seed,
            on_progress=advance,
        )
    tell(
        f"model in {output}, from {len(sample)} texts; try: sparse-ir index SOURCE --model {output}"
    )
