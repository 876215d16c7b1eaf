"""``sparse-ir search``: a question to an index."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparse_ir.cli.console import err, print_hit, print_matches
from sparse_ir.cli.options import ExistingIndexOption, JsonOption, find_index

if TYPE_CHECKING:
    from sparse_ir.hits import Hit
    from sparse_ir.retrieval.retriever import TermMatch


class SearchMode(str, Enum):
    """How documents are scored."""

    anchored = "anchored"
    learned = "learned"
    lexical = "lexical"


def search(
    query: Annotated[str, typer.Argument(help="What you look for.")],
    k: Annotated[int, typer.Option("-k", "--hits", help="Hits wanted.")] = 10,
    folder: ExistingIndexOption = None,
    mode: Annotated[
        SearchMode, typer.Option(help="anchored = BM25 + learned; lexical = BM25.")
    ] = SearchMode.anchored,
    filter: Annotated[
        str | None, typer.Option(help="Only documents whose metadata match: 'year >= 2020'.")
    ] = None,
    explain: Annotated[bool, typer.Option(help="Show which terms matched, and how much.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Search an index.

    The index is .sparse-ir in this folder or the nearest one above. --json prints one JSON object a
    hit and line.
    """
    from sparse_ir.retrieval.retriever import SparseRetriever

    with SparseRetriever.open(find_index(folder)) as retriever:
        hits = retriever.search(query, k, mode=mode.value, filter=filter)
        why = [retriever.explain(query, hit.doc_id, mode.value) for hit in hits if explain]
        snippets = [retriever.snippet(query, hit, mode.value) for hit in hits if not as_json]
    if as_json:
        for rank, hit in enumerate(hits):
            print(json.dumps(_record(rank + 1, hit, why[rank] if explain else None)))
        return
    if not hits:
        err.print("no hits")
    for rank, hit in enumerate(hits):
        print_hit(rank + 1, hit, snippets[rank])
        if explain:
            print_matches(why[rank])


def _record(rank: int, hit: Hit, matches: list[TermMatch] | None) -> dict[str, Any]:
    record = {"rank": rank, **asdict(hit)}
    if matches is not None:
        record["explanation"] = [asdict(match) for match in matches]
    return record
