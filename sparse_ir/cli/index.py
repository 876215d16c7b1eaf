"""``sparse-ir index``: documents into an index."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sparse_ir.cli.console import stages, tell
from sparse_ir.cli.options import (
    DEFAULT_DENSE_MODEL,
    DEFAULT_INDEX,
    BatchSizeOption,
    CodesChoice,
    DeviceOption,
    JsonOption,
    ModelOption,
    NeighbourWeightOption,
    PrecisionChoice,
    PrecisionOption,
    ThreadsOption,
    use_threads,
)
from sparse_ir.errors import InvalidInputError


def index(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="BEIR folder, .jsonl, .tsv, .csv (or .gz), folder of text files, or - for JSONL.",
        ),
    ],
    folder: Annotated[Path, typer.Option("--index", help="Folder of the index.")] = DEFAULT_INDEX,
    model: ModelOption = "mini",
    language: Annotated[
        str, typer.Option(help="Snowball language of the words, or none for plain words.")
    ] = "english",
    passages: Annotated[
        bool,
        typer.Option(
            "--passages/--no-passages",
            help="Cut documents that are longer than the model reads, or leave their ends unread.",
        ),
    ] = True,
    neighbour_weight: NeighbourWeightOption = None,
    title_weight: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="How often BM25 counts a word of a title; 1 takes it for text like any other.",
            show_default="2, or the index's",
        ),
    ] = None,
    dense: Annotated[
        bool,
        typer.Option("--dense", help="Give the index a dense part too, for hybrid search."),
    ] = False,
    dense_model: Annotated[
        str | None,
        typer.Option(
            help="A sentence-transformers folder or hub name, for the dense part.",
            show_default=DEFAULT_DENSE_MODEL,
        ),
    ] = None,
    codes: Annotated[
        CodesChoice | None,
        typer.Option(
            help="Of the vectors, to find candidates without reading all: ivf-rabitq takes the "
            "least memory, hnsw the least time.",
            show_default="none, or the index's",
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = PrecisionChoice.auto,
    threads: ThreadsOption = None,
    batch_size: BatchSizeOption = 32,
    commit_every: Annotated[int, typer.Option(help="Documents between commits.")] = 2048,
    allow_empty: Annotated[
        bool,
        typer.Option("--allow-empty", help="Index documents without text, do not refuse them."),
    ] = False,
    sync: Annotated[
        bool,
        typer.Option("--sync", help="Delete what the index holds and the sources no longer do."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add documents to an index; make it if there is none.

    With --dense, an index without a dense part gets one of all its documents. Unchanged documents
    are not encoded again, changed ones replace their old selves. With --sync, all others go, once
    all sources are read. An id may come once in all sources together. Interrupted and run again, it
    goes on where the last commit was.
    """
    from sparse_ir.corpus import read_documents
    from sparse_ir.encoders.options import EncoderOptions
    from sparse_ir.retrieval.ingest import ingest

    for name, value in (("--codes", codes), ("--dense-model", dense_model)):
        if value is not None and not dense:
            raise InvalidInputError(f"{name} came without --dense; it is of the dense part")
    use_threads(threads)
    started = time.monotonic()
    with stages() as advance:
        report = ingest(
            folder,
            read_documents(*sources, allow_empty=allow_empty),
            model=model,
            language=language,
            options=EncoderOptions(device=device, precision=precision.value),
            passages=passages,
            neighbour_weight=neighbour_weight,
            title_weight=title_weight,
            dense=(dense_model or DEFAULT_DENSE_MODEL) if dense else None,
            codes=codes.value if codes else None,
            sync=sync,
            batch_size=batch_size,
            commit_every=commit_every,
            on_progress=lambda done, unchanged: advance("indexing", done),
            on_expanded=lambda done: advance("looking at neighbours", done),
        )
    seconds = time.monotonic() - started
    if as_json:
        facts = {**asdict(report), "seconds": round(seconds, 3), "index": str(folder)}
        if not sync:
            del facts["removed"]
        print(json.dumps(facts))
        return
    removed = f", {report.removed} removed" if sync else ""
    tell(
        f"{report.added} added, {report.updated} updated, {report.unchanged} unchanged{removed} "
        f"in {seconds:.1f} s; index: {folder}"
    )
    if report.cut:
        tell(
            f"{report.cut} texts are longer than the model reads: the ends of their learned part "
            "are missing; index without --no-passages to have them"
        )
