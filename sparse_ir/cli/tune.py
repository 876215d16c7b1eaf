"""``sparse-ir tune``: which fusion of sparse and dense suits an index, measured and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparse_ir.cli.console import print_table, progress, show, tell
from sparse_ir.cli.options import ExistingIndexOption, JsonOption, find_index

if TYPE_CHECKING:
    from sparse_ir.retrieval.fusion_tuning import Gain


def tune(
    topics: Annotated[
        str, typer.Argument(help="Queries: BEIR folder, .jsonl, .tsv, .txt, TREC topics, or -.")
    ],
    qrels: Annotated[
        Path | None,
        typer.Option(help="Judgements, of TREC or BEIR.", show_default="what the legs agree on"),
    ] = None,
    folder: ExistingIndexOption = None,
    measure: Annotated[str, typer.Option(help="A name of ir-measures.")] = "nDCG@10",
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="The index searches so from now on.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Choose how hybrid search fuses its legs, and say what that gains.

    Methods and weights are compared by judgements, or without them by what at least two of BM25,
    learned terms and dense vectors find. The gain is that on queries which the choice has not
    seen, with its 95 % confidence interval. Where no choice beats the default, that is kept.
    """
    from dataclasses import asdict

    from sparse_ir.evaluation.evaluate import require_measures
    from sparse_ir.evaluation.topics import read_topics
    from sparse_ir.evaluation.trec import read_qrels
    from sparse_ir.index.writer import IndexWriter
    from sparse_ir.retrieval.fusion_tuning import tune_fusion
    from sparse_ir.retrieval.hybrid import DEFAULT_FUSION, FUSION, HybridRetriever

    require_measures([measure])
    path, queries = find_index(folder), read_topics(topics)
    judgements = read_qrels(qrels) if qrels else None
    with (
        HybridRetriever.open(path, fusion=DEFAULT_FUSION) as retriever,  # whatever is kept there
        progress("searching", total=len(queries)) as advance,
    ):
        found = tune_fusion(retriever, queries, judgements, measure=measure, on_progress=advance)
    if keep:
        with IndexWriter.open(path) as writer:
            writer.keep(FUSION, asdict(found.fusion) if found.is_better else None)
    if as_json:
        print(json.dumps({**found.record(), "is_kept": keep and found.is_better}))
        return
    print_table(
        [
            {
                "retriever": name,
                measure: f"{value:.4f}",
                "gain of chosen": _gain(found.gains[name]) if name in found.gains else "",
            }
            for name, value in found.values.items()
        ]
    )
    fusion = found.fusion
    constant = f", k {fusion.k:g}" if fusion.method == "rrf" else ""
    show(f"best: {fusion.method}, dense weight {fusion.dense_weight:g}{constant}")
    by = "judgements" if found.is_judged else "agreement of the legs, which is not relevance"
    fate = "nothing is" if not keep else "it is" if found.is_better else "the default is"
    tell(f"{found.n_queries} queries, by {by}; {fate} kept with {path}")


def _gain(gain: Gain) -> str:
    return f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
