"""``sparse-ir explain``: what a model makes of a text."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sparse_ir.cli.console import print_bars, tell
from sparse_ir.cli.options import JsonOption, ModelOption, require_at_least


def explain(
    text: Annotated[str, typer.Argument(help="Any text.")],
    as_query: Annotated[
        bool, typer.Option("--query", help="As a query, not as a document.")
    ] = False,
    model: ModelOption = "mini",
    most: Annotated[int, typer.Option("-n", "--terms", help="Terms shown, the greatest.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """Show a text's terms and weights; a plus marks those that the text does not contain."""
    from sparse_ir.encoders.encoder import load_encoder, weighted_terms

    require_at_least(1, terms=most)
    terms = weighted_terms(load_encoder(model, "query" if as_query else "document"), text)
    if as_json:
        records = [
            {"term": term, "weight": round(weight, 6), "is_expansion": is_expansion}
            for term, weight, is_expansion in terms[:most]
        ]
        print(json.dumps(records, ensure_ascii=False))
        return
    if not terms:
        tell("no terms")
    print_bars(terms[:most])
    if len(terms) > most:
        tell(f"{len(terms) - most} more terms, down to {terms[-1][1]:.3f}; --terms shows more")
