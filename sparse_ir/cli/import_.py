"""``sparse-ir import``: vectors that others made into an index, without encoding anything."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sparse_ir.cli.console import stages, tell
from sparse_ir.cli.options import DEFAULT_INDEX, JsonOption, NeighbourWeightOption
from sparse_ir.errors import InvalidInputError


def import_(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="JsonVectorCollection (.jsonl, .jsonl.gz, or a folder of them), the folder of "
            "Anserini's or Pyserini's impact index, .ciff, .npz (SciPy CSR, with ids or without), "
            ".parquet (as encode writes it), .bin (Seismic's).",
        ),
    ],
    folder: Annotated[Path, typer.Option("--index", help="Folder of the index.")] = DEFAULT_INDEX,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model that made the vectors, so that text finds them: one that ships with "
            "the package, a folder, or a hub name.",
            show_default="none: only vectors find vectors",
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            help="With --model: Snowball language of the texts' words, or none.",
            show_default="english",
        ),
    ] = None,
    neighbour_weight: NeighbourWeightOption = None,
    terms: Annotated[
        int | None,
        typer.Option(
            help="Size of the vocabulary, where terms are numbers.",
            show_default="the greatest number + 1",
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="Of stored weights, for a new index.")] = "float32",
    memory_mb: Annotated[
        int, typer.Option(help="Memory to build a new index in, about.", show_default="1024")
    ] = 1024,
    as_json: JsonOption = False,
) -> None:
    """Put sparse vectors into an index; make it if there is none.

    A document whose id the index knows is replaced; in all sources together an id may come once.
    All goes in, or nothing: what was imported shows when the last source is read. With --model,
    and later into the same index, texts that came with the vectors are indexed by their words too.
    Vectors stay as they are, but for what they take over from their nearest neighbours with
    --neighbour-weight. (What ``index`` adds besides, by reading titles again, takes the network.)
    """
    from sparse_ir.encoders.analyzer import Analyzer
    from sparse_ir.export.vector_import import import_vectors, open_for_vectors
    from sparse_ir.export.vector_source import open_vectors
    from sparse_ir.index.catalog import Catalog
    from sparse_ir.index.params import BuildParams
    from sparse_ir.retrieval.neighbours import expand
    from sparse_ir.retrieval.retriever import query_encoder
    from sparse_ir.retrieval.text_index import open_writer

    started = time.monotonic()
    params: Any = {"precision": precision, "memory_mb": memory_mb}
    opened = [open_vectors(source) for source in sources]
    if language is not None and model is None:
        raise InvalidInputError("--language came without --model; name the vectors' model too")
    if neighbour_weight is not None and model is None:
        raise InvalidInputError("--neighbour-weight came without --model; name the model too")
    if neighbour_weight is None and not Catalog.exists(folder):
        neighbour_weight = 0.0
    if model is None:
        opening = open_for_vectors(folder, opened, terms, BuildParams(**params))
    elif terms is None:
        opening = open_writer(
            folder,
            model,
            language or "english",
            neighbour_weight=neighbour_weight,
            params=BuildParams(**params),
        )
    else:
        raise InvalidInputError("--terms came with --model, which knows its terms; leave it out")
    with opening as writer, stages() as advance:
        names: Sequence[str] = writer.term_names()
        analyzer = None
        if made_with := writer.settings.get("model"):
            names = query_encoder(folder, made_with).vocabulary.terms
            analyzer = Analyzer.of(writer.settings)
        n = import_vectors(
            folder,
            writer,
            opened,
            names,
            analyzer,
            n_terms=terms or 0,
            on_progress=lambda n: advance("importing", n),
        )
        expand(writer, lambda n: advance("looking at neighbours", n))
    seconds = time.monotonic() - started
    if as_json:
        print(json.dumps({"imported": n, "seconds": round(seconds, 3), "index": str(folder)}))
        return
    tell(f"{n} imported in {seconds:.1f} s; index: {folder}")
