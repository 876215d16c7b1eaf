"""``sparse-ir tune-recall``: what approximate search finds of the exact hits, measured and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparse_ir.cli.console import print_table, progress, tell
from sparse_ir.cli.options import ExistingIndexOption, JsonOption, find_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.index.recall import Curve
    from sparse_ir.vectors import TermWeights

_TARGETS = (0.9, 0.95, 0.98, 0.99)


def tune_recall(
    queries: Annotated[
        str | None,
        typer.Argument(
            help="BEIR folder, .jsonl, .tsv, .txt, TREC topics or -; .npz for an index of vectors.",
            show_default="made of the index's own documents",
        ),
    ] = None,
    folder: ExistingIndexOption = None,
    hits: Annotated[
        list[int] | None,
        typer.Option(
            "-k", "--hits", help="Hits a query; may be repeated.", show_default="10, 100, 300"
        ),
    ] = None,
    documents: Annotated[
        int, typer.Option(help="From so many documents queries are made, of every length.")
    ] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the documents, and what of them.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure which parameters reach which recall, and keep them with the index.

    Afterwards Approximate(recall=.99), or sparse-ir search --recall .99, searches each query with
    what was enough for queries no longer than it. The table says, for queries of at least so many
    terms, what share of bounds reaches a recall, and in which part of the exact search's time.
    """
    from sparse_ir.retrieval.recall_tuning import DEPTHS
    from sparse_ir.retrieval.recall_tuning import tune_recall as tune

    with progress("searching") as advance:
        found = tune(
            find_index(folder),
            None if queries is None else _read(queries),
            ks=tuple(hits or DEPTHS),
            n_documents=documents,
            seed=seed,
            on_progress=advance,
        )
    if as_json:
        print(json.dumps(found.as_setting()))
        return
    print_table([_row(curve) for curve in found.curves])
    tell(f"kept with the index: measured on {found.n_docs:,} documents")


def _read(queries: str) -> Sequence[str] | TermWeights:
    if Path(queries).suffix == ".npz":
        from sparse_ir.export.npz import read_npz

        return read_npz(queries)[1]
    from sparse_ir.evaluation.topics import read_topics

    return [query.text for query in read_topics(queries)]


def _row(curve: Curve) -> dict[str, str]:
    exact = curve.points[0].ms
    row = {
        "hits": str(curve.k),
        "terms": f">= {curve.n_terms}",
        "queries": str(curve.n_queries),
        "exact ms": f"{exact:.3f}",
    }
    for target in _TARGETS:
        point = next(p for p in curve.points if p.bound_share == curve.share_for(target))
        row[f"recall {target:g}"] = f"share {point.bound_share:g}, {point.ms / exact:.2f} x"
    return row
