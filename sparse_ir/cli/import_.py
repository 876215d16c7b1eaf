"""``sparse-ir import``: vectors that others made into an index, without encoding anything."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparse_ir.cli.console import err, progress
from sparse_ir.cli.options import DEFAULT_INDEX, JsonOption
from sparse_ir.errors import InvalidInputError

if TYPE_CHECKING:
    from sparse_ir.corpus import Document
    from sparse_ir.export.vector_source import VectorSource
    from sparse_ir.index.writer import IndexWriter
    from sparse_ir.vectors import TermWeights


def import_(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="JsonVectorCollection (.jsonl, .jsonl.gz, or a folder of them), the folder of "
            "Anserini's or Pyserini's impact index, .ciff, .npz (SciPy CSR, with ids or without), "
            ".bin (Seismic's).",
        ),
    ],
    folder: Annotated[Path, typer.Option("--index", help="Folder of the index.")] = DEFAULT_INDEX,
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

    A document whose id the index knows is replaced. All goes in, or nothing: what was imported
    shows when the last source is read.
    """
    from sparse_ir.export.vector_source import open_vectors
    from sparse_ir.index.params import BuildParams

    started, n = time.monotonic(), 0
    params: Any = {"precision": precision, "memory_mb": memory_mb}
    opened = [open_vectors(source) for source in sources]
    with (
        _open_writer(folder, opened, terms, BuildParams(**params)) as writer,
        progress("importing") as advance,
    ):
        columns = {name: number for number, name in enumerate(writer.term_names())}
        for source in opened:
            for documents, vectors in source.batches(columns, writer.settings["n_terms"]):
                _add(writer, documents, vectors)
                n += len(documents)
                advance(len(documents))
    seconds = time.monotonic() - started
    if as_json:
        print(json.dumps({"imported": n, "seconds": round(seconds, 3), "index": str(folder)}))
        return
    err.print(f"{n} imported in {seconds:.1f} s; index: {folder}")


def _open_writer(
    folder: Path, sources: list[VectorSource], n_terms: int | None, params: Any
) -> IndexWriter:
    from sparse_ir.index.catalog import Catalog
    from sparse_ir.index.writer import IndexWriter

    if len({source.terms is None for source in sources}) > 1:
        raise InvalidInputError("some sources name their terms, others number them; want one kind")
    if n_terms is not None and sources[0].terms is not None:
        raise InvalidInputError("--terms came for a source that names its terms; leave it out")
    wanted = n_terms or max([1, *(source.n_terms for source in sources)])
    if any(source.n_terms > wanted for source in sources):
        raise InvalidInputError(f"--terms is {wanted}; a source has a greater number")
    if Catalog.exists(folder):
        return _open_existing(folder, sources, wanted)
    if sources[0].terms is None:
        return IndexWriter.create(folder, n_terms=wanted, params=params)
    names = sorted({name for source in sources for name in source.terms or ()})
    if not names:
        raise InvalidInputError("no document has a term; want at least one")
    return IndexWriter.create(folder, n_terms=len(names), term_names=names, params=params)


def _open_existing(folder: Path, sources: list[VectorSource], n_terms: int) -> IndexWriter:
    from sparse_ir.index.writer import IndexWriter

    writer = IndexWriter.open(folder)
    try:
        names, has = writer.term_names(), writer.settings["n_terms"]
        used = {name for source in sources for name in source.terms or ()}
        if sources[0].terms is not None and (unknown := used - set(names)):
            raise InvalidInputError(
                f"{folder} has no term {min(unknown)!r}; import all sources into a new index"
            )
        if sources[0].terms is None and n_terms > has:
            raise InvalidInputError(
                f"{folder} has {has} terms, the source {n_terms}; import all sources into a new "
                "index, or make it with a greater --terms"
            )
    except BaseException:
        writer.close()
        raise
    return writer


def _add(writer: IndexWriter, documents: list[Document], vectors: TermWeights) -> None:
    if any(document.text or document.metadata for document in documents):
        writer.add(documents, vectors, [[]] * len(documents))
    else:
        writer.add_vectors(vectors, [document.doc_id for document in documents])
