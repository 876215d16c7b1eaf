"""``sparse-ir search``: a question to an index."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparse_ir.cli.console import print_hit, print_legs, print_matches, tell
from sparse_ir.cli.options import ExistingIndexOption, JsonOption, find_index
from sparse_ir.errors import InvalidInputError

if TYPE_CHECKING:
    from sparse_ir.hits import Hit
    from sparse_ir.index.reader import Index
    from sparse_ir.retrieval.highlights import TermMatch


class SearchMode(str, Enum):
    """How documents are scored."""

    anchored = "anchored"
    learned = "learned"
    lexical = "lexical"
    dense = "dense"
    hybrid = "hybrid"


class DenseQueriesChoice(str, Enum):
    """What makes the vector of a query."""

    table = "table"
    network = "network"


def search(
    query: Annotated[str, typer.Argument(help="What you look for.")],
    k: Annotated[int, typer.Option("-k", "--hits", help="Hits wanted.")] = 10,
    folder: ExistingIndexOption = None,
    mode: Annotated[
        SearchMode | None,
        typer.Option(
            help="anchored = BM25 + learned; lexical = BM25; hybrid = anchored and dense, fused.",
            show_default="hybrid if the index has a dense part, else anchored",
        ),
    ] = None,
    hybrid: Annotated[bool, typer.Option("--hybrid", help="The same as --mode hybrid.")] = False,
    dense: Annotated[bool, typer.Option("--dense", help="The same as --mode dense.")] = False,
    bm25: Annotated[bool, typer.Option("--bm25", help="The same as --mode lexical.")] = False,
    dense_queries: Annotated[
        DenseQueriesChoice | None,
        typer.Option(
            help="Encode dense queries by the index's table or by the model's network.",
            show_default="the table if there is one",
        ),
    ] = None,
    filter: Annotated[
        str | None, typer.Option(help="Only documents whose metadata match: 'year >= 2020'.")
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(help="Search faster, finding this mean share; see sparse-ir tune-recall."),
    ] = None,
    explain: Annotated[bool, typer.Option(help="Show which terms matched, and how much.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Search an index.

    The index is .sparse-ir in this folder or the nearest one above. --json prints one JSON object a
    hit and line.
    """
    from sparse_ir.index.params import Approximate, Exact
    from sparse_ir.retrieval.hybrid import HybridRetriever

    plan = Exact() if recall is None else Approximate(recall=recall)
    flags = {SearchMode.hybrid: hybrid, SearchMode.dense: dense, SearchMode.lexical: bm25}
    chosen = _chosen(mode, [flag for flag, is_set in flags.items() if is_set])
    with HybridRetriever.open(
        find_index(folder), dense_queries=dense_queries.value if dense_queries else None
    ) as retriever:
        wanted = chosen.value if chosen else retriever.default_mode
        hits = retriever.search(query, k, mode=wanted, filter=filter, plan=plan)
        why = [retriever.explain(query, hit.doc_id, wanted) for hit in hits if explain]
        snippets = [retriever.snippet(query, hit, wanted) for hit in hits if not as_json]
        if not hits and not as_json:
            tell(_no_hits(retriever.index, filter))
    if as_json:
        for rank, hit in enumerate(hits):
            print(json.dumps(_record(rank + 1, hit, why[rank] if explain else None)))
        return
    for rank, hit in enumerate(hits):
        print_hit(rank + 1, hit, snippets[rank])
        if explain:
            print_legs(hit)
            print_matches(why[rank])


def _no_hits(index: Index, filter: str | None) -> str:
    """A filter that matches nothing is a likelier mistake than a query that does."""
    if filter is None:
        return "no hits"
    n_matching = len(index.matching(filter))
    return f"no hits; the filter matches {n_matching:,} of {len(index):,} documents"


def _chosen(mode: SearchMode | None, flags: list[SearchMode]) -> SearchMode | None:
    named = {mode, *flags} - {None}
    if len(named) > 1:
        raise InvalidInputError(
            f"modes {', '.join(sorted(str(one.value) for one in named if one))} came; want one"
        )
    return mode or (flags[0] if flags else None)


def _record(rank: int, hit: Hit, matches: list[TermMatch] | None) -> dict[str, Any]:
    record = {"rank": rank, **asdict(hit)}
    if matches is not None:
        record["explanation"] = [asdict(match) for match in matches]
    return record
