"""``sparse-ir distil-queries``: dense queries of an index without a network."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from sparse_ir.cli.console import progress, tell
from sparse_ir.cli.options import ExistingIndexOption, JsonOption, find_index


def distil_queries(
    folder: ExistingIndexOption = None,
    texts: Annotated[
        int,
        typer.Option(min=1, help="Titles and sentences of the index that the table is fitted on."),
    ] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Chooses them.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make a table of token vectors, so that hybrid searches need no network.

    It stands for the dense model's query encoder from now on, and is less exact: the cosine with
    the model's own vectors is printed, and how many of the documents that these find it finds too.
    --dense-queries network searches with the model again.
    """
    from sparse_ir.retrieval.dense_queries import distil_queries as distil

    path = find_index(folder)
    with progress("encoding") as advance:
        report = distil(path, n_texts=texts, seed=seed, on_progress=advance)
    if as_json:
        print(json.dumps(asdict(report)))
        return
    size = f"{report.n_bytes / 2**20:.1f} MiB"
    alone = f"tokens alone {report.cosine_of_tokens:.3f}"
    tell(
        f"table of {size} from {report.n_texts:,} texts; on unseen texts cosine with the network "
        f"{report.cosine:.3f} ({alone}), {report.overlap:.0%} of its ten nearest documents found"
    )
