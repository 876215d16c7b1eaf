"""``sparse-ir run``: many queries at once, into a run file."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from sparse_ir.cli.console import Advance, progress, tell
from sparse_ir.cli.options import (
    CacheOption,
    ExistingIndexOption,
    find_index,
    require_at_least,
    require_writable,
)

_T = TypeVar("_T")


class Format(str, Enum):
    """Of the run file."""

    trec = "trec"
    msmarco = "msmarco"
    jsonl = "jsonl"


def run(
    topics: Annotated[
        str, typer.Argument(help="Queries: BEIR folder, .jsonl, .tsv, .txt, TREC topics, or -.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The run file.")],
    folder: ExistingIndexOption = None,
    retriever: Annotated[
        str,
        typer.Option(
            help="anchored, learned, lexical, dense, hybrid, bm25+dense, or bm25 (tantivy's, "
            "built once)."
        ),
    ] = "anchored",
    format: Annotated[
        Format, typer.Option(help="trec: six columns; msmarco: three; jsonl: an object a hit.")
    ] = Format.trec,
    hits: Annotated[int, typer.Option("-k", "--hits", help="Hits a query.")] = 1000,
    threads: Annotated[int, typer.Option(help="Queries searched at once.")] = 1,
    tag: Annotated[str, typer.Option(help="Names the run in the trec format.")] = "sparse_ir",
    cache: CacheOption = None,
) -> None:
    """Search for every query of a file and write a run.

    Hits are ordered by score, then doc_id. A query without hits has no line. Measure the run with:
    sparse-ir eval --run FILE --qrels QRELS.
    """
    from sparse_ir.evaluation.topics import read_topics
    from sparse_ir.evaluation.trec import write_run
    from sparse_ir.retrieval.cached import CachedIndexes, default_cache
    from sparse_ir.retrieval.experiment import rankings
    from sparse_ir.retrieval.systems import SYSTEMS, require_known

    require_known([retriever])
    require_at_least(1, k=hits, threads=threads)
    require_writable(output)
    queries = read_topics(topics)
    if retriever == "bm25" and cache is None:
        cache = default_cache()
    with (
        CachedIndexes.of_index(find_index(folder), cache or Path()) as indexes,
        progress("searching", total=len(queries)) as advance,
    ):
        found = rankings(SYSTEMS[retriever](indexes), queries, hits, threads=threads)
        write_run(output, _counted(found, advance), format.value, tag=tag)
    tell(f"{len(queries)} queries in {output}")


def _counted(items: Iterator[_T], advance: Advance) -> Iterator[_T]:
    for item in items:
        yield item
        advance(1)
