"""``sparse-ir compare``: two runs, query by query, and why the first lost where it did."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparse_ir.cli.console import print_matches, show
from sparse_ir.cli.options import JsonOption, SparseMode, require_at_least
from sparse_ir.errors import DataFormatError, InvalidInputError

if TYPE_CHECKING:
    from sparse_ir.evaluation.comparison import LostQuery, Placed
    from sparse_ir.evaluation.significance import Difference
    from sparse_ir.retrieval.highlights import TermMatch
    from sparse_ir.retrieval.retriever import SparseRetriever

_MATCHES = 6


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run file.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Another.")],
    qrels: Annotated[Path, typer.Option(help="Judgements, of TREC or BEIR.")],
    measure: Annotated[str, typer.Option(help="A name of ir-measures.")] = "nDCG@10",
    topics: Annotated[
        str | None, typer.Option(help="The queries, as for run: their texts are shown.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--index", help="Show which terms matched. Needs --topics.")
    ] = None,
    mode: Annotated[
        SparseMode, typer.Option(help="Of RUN_A: which terms to show.")
    ] = SparseMode.anchored,
    worst: Annotated[int, typer.Option(help="Lost queries shown.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs: wins, losses, and the queries that RUN_A lost by most.

    Of each lost query: the relevant document that fell furthest, and the best one that is not
    relevant and rose above it. With --topics and --index also the terms by which each was found.
    """
    from sparse_ir.evaluation.comparison import lost_queries
    from sparse_ir.evaluation.evaluate import evaluate, require_measures
    from sparse_ir.evaluation.significance import difference
    from sparse_ir.evaluation.trec import read_qrels, read_run

    require_measures([measure])
    require_at_least(0, worst=worst)
    if folder is not None and topics is None:
        raise InvalidInputError("--index came without --topics; want the queries' texts too")
    runs = (read_run(first), read_run(second))
    judged = read_qrels(qrels)
    texts = _texts(topics, judged) if topics else {}
    measured = (evaluate(runs[0], judged, [measure]), evaluate(runs[1], judged, [measure]))
    changed = difference(*(one.by_query[measure] for one in measured))
    lost = lost_queries(*runs, judged, measured, worst)
    with ExitStack() as stack:
        explain = _Explainer(stack, folder, mode, texts)
        if as_json:
            records = [explain.record(query) for query in lost]
            means = {"first": measured[0].means[measure], "second": measured[1].means[measure]}
            print(json.dumps({"measure": measure, **means, **asdict(changed), "lost": records}))
            return
        _print_summary(measure, (first, second), [m.means[measure] for m in measured], changed)
        for query in lost:
            explain.print(query)


class _Explainer:
    """Shows lost queries, with matched terms where there is an index."""

    def __init__(
        self, stack: ExitStack, folder: Path | None, mode: SparseMode, texts: dict[str, str]
    ) -> None:
        self._mode = mode
        self._texts = texts
        self._retriever: SparseRetriever | None = None
        if folder is not None:
            from sparse_ir.retrieval.retriever import SparseRetriever

            self._retriever = stack.enter_context(SparseRetriever.open(folder))

    def record(self, query: LostQuery) -> dict[str, Any]:
        record = {**asdict(query), "text": self._texts.get(query.query_id)}
        for role, placed in (("relevant", query.relevant), ("intruder", query.intruder)):
            if placed:
                matches = [asdict(match) for match in self._matches(query, placed)]
                record[role] = {**asdict(placed), "explanation": matches}
        return record

    def print(self, query: LostQuery) -> None:
        values = f" {query.first:.4f} against {query.second:.4f}  "
        show("\n", (query.query_id, "bold"), values, self._texts.get(query.query_id, ""))
        for what, placed in (("relevant", query.relevant), ("not relevant", query.intruder)):
            if placed is None:
                continue
            ranks = " against ".join(
                f"rank {rank}" if rank else "not found" for rank in (placed.first, placed.second)
            )
            show(f"  {what:<13}", (placed.doc_id, "cyan"), f"  {ranks}")
            print_matches(self._matches(query, placed), most=_MATCHES)

    def _matches(self, query: LostQuery, placed: Placed) -> list[TermMatch]:
        if self._retriever is None:
            return []
        text = self._texts[query.query_id]
        return self._retriever.explain(text, placed.doc_id, self._mode.value)


def _texts(topics: str, judged: dict[str, dict[str, int]]) -> dict[str, str]:
    from sparse_ir.evaluation.topics import read_topics

    texts = {query.query_id: query.text for query in read_topics(topics)}
    if missing := sorted(judged.keys() - texts.keys()):
        raise DataFormatError(
            f"{topics}: judged query {missing[0]!r} is missing; want the judgements' own topics"
        )
    return texts


def _print_summary(
    measure: str, runs: tuple[Path, Path], means: list[float], changed: Difference
) -> None:
    for name, path, mean in zip("AB", runs, means, strict=True):
        show(f"{name}  {measure} {mean:.4f}  {path}")
    show(
        f"A - B {changed.mean:+.4f}: {changed.wins} wins, {changed.losses} losses, "
        f"{changed.ties} ties; p {changed.p_t_test:.4f} (paired t-test), "
        f"{changed.p_randomisation:.4f} (randomisation)"
    )
