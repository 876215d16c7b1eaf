"""``sparse-ir import``: vectors that others made into an index, without encoding anything."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparse_ir.cli.console import stages, tell
from sparse_ir.cli.options import DEFAULT_INDEX, JsonOption, NeighbourWeightOption
from sparse_ir.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.corpus import Document
    from sparse_ir.encoders.analyzer import Analyzer
    from sparse_ir.export.vector_source import Batch, VectorSource
    from sparse_ir.index.writer import IndexWriter


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
    Vectors stay as they are, unless --neighbour-weight says otherwise, with which they become what
    ``index`` makes of documents.
    """
    from sparse_ir.export.vector_source import open_vectors, read_vectors
    from sparse_ir.index.catalog import Catalog
    from sparse_ir.index.params import BuildParams
    from sparse_ir.retrieval.ingest import open_writer
    from sparse_ir.retrieval.neighbours import expand

    started, n = time.monotonic(), 0
    params: Any = {"precision": precision, "memory_mb": memory_mb}
    opened = [open_vectors(source) for source in sources]
    if language is not None and model is None:
        raise InvalidInputError("--language came without --model; name the vectors' model too")
    if neighbour_weight is not None and model is None:
        raise InvalidInputError("--neighbour-weight came without --model; name the model too")
    if neighbour_weight is None and not Catalog.exists(folder):
        neighbour_weight = 0.0
    if model is None:
        opening = _open_writer(folder, opened, terms, BuildParams(**params))
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
        put = _Put(writer, folder)
        put.require_known(opened, terms or 0)
        for batch in read_vectors(opened, put.columns, put.n_terms):
            put(batch)
            n += len(batch.documents)
            advance("importing", len(batch.documents))
        expand(writer, lambda n: advance("looking at neighbours", n))
    seconds = time.monotonic() - started
    if as_json:
        print(json.dumps({"imported": n, "seconds": round(seconds, 3), "index": str(folder)}))
        return
    tell(f"{n} imported in {seconds:.1f} s; index: {folder}")


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
        return IndexWriter.open(folder)
    if sources[0].terms is None:
        return IndexWriter.create(folder, n_terms=wanted, params=params)
    names = sorted({name for source in sources for name in source.terms or ()})
    if not names:
        raise InvalidInputError("no document has a term; want at least one")
    return IndexWriter.create(folder, n_terms=len(names), term_names=names, params=params)


class _Put:
    """Puts documents into an index, with their words where it is one of text."""

    def __init__(self, writer: IndexWriter, folder: Path) -> None:
        from sparse_ir.encoders.analyzer import Analyzer
        from sparse_ir.retrieval.retriever import query_encoder

        self._writer, self._folder = writer, folder
        self._analyzer: Analyzer | None = None
        names: Sequence[str] = writer.term_names()
        if "model" in writer.settings:
            self._analyzer = Analyzer(writer.settings["language"])
            names = query_encoder(folder, writer.settings["model"]).vocabulary.terms
        self.columns = {name: number for number, name in enumerate(names)}
        self.n_terms: int = writer.settings["n_terms"]

    def require_known(self, sources: list[VectorSource], n_terms: int) -> None:
        """Returns if the index has all terms of the sources.

        Raises:
            InvalidInputError: it has not.
        """
        used = {name for source in sources for name in source.terms or ()}
        if unknown := used - self.columns.keys():
            raise InvalidInputError(
                f"{self._folder} has no term {min(unknown)!r}; import all sources into a new index"
            )
        own = self._writer.settings["vocabulary"]
        if any(own and source.vocabulary not in ("", own) for source in sources):
            raise InvalidInputError(
                f"{self._folder} has another vocabulary than the model that made the vectors; name "
                "that model, or another index"
            )
        numbered = max([n_terms, *(one.n_terms for one in sources if one.terms is None)])
        if numbered > self.n_terms:
            raise InvalidInputError(
                f"{self._folder} has {self.n_terms} terms, the source {numbered}; import all "
                "sources into a new index, or make it with a greater --terms"
            )

    def __call__(self, batch: Batch) -> None:
        """The documents are pending.

        Raises:
            InvalidInputError: some have texts, and the index cannot keep any.
        """
        documents, vectors, places = batch
        if with_text := [n for n, document in enumerate(documents) if document.text]:
            self._require_room_for_texts(places[with_text[0]])
            self._writer.add(documents, vectors, [self._words(one) for one in documents])
            return
        metadata = [document.metadata for document in documents]
        ids = [document.doc_id for document in documents]
        self._writer.add_vectors(vectors, ids, metadata=metadata if any(metadata) else None)

    def _require_room_for_texts(self, place: str) -> None:
        if self._writer.params.precision == "uint8":
            raise InvalidInputError(
                f"{place}: contents came for {self._folder}, whose uint8 weights are too coarse "
                "for texts; want --precision float16 or float32, or vectors without contents"
            )

    def _words(self, document: Document) -> list[str]:
        return self._analyzer.words(document.content) if self._analyzer else []
