"""Vectors that others made go into an index, with the words of the texts that came with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.errors import InvalidInputError
from sparse_ir.export.vector_source import Batch, VectorSource, read_vectors
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.params import BuildParams
from sparse_ir.index.writer import IndexWriter


def open_for_vectors(
    folder: Path, sources: Sequence[VectorSource], n_terms: int | None, params: BuildParams
) -> IndexWriter:
    """A writer of the index in the folder; without one, of a new index of vectors alone.

    Args:
        folder: Of the index.
        sources: What goes in, at least one: a new index has their terms.
        n_terms: Size of a new index's vocabulary where terms are numbers; None takes the greatest
            number + 1.
        params: Of a new index.

    Raises:
        InvalidInputError: the sources do not fit one another, or ``n_terms``.
    """
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


def import_vectors(
    folder: Path,
    writer: IndexWriter,
    sources: Sequence[VectorSource],
    term_names: Sequence[str],
    analyzer: Analyzer | None,
    *,
    n_terms: int = 0,
    on_progress: Callable[[int], None],
) -> int:
    """All documents of the sources are pending; returns how many these are.

    Args:
        folder: Of the index, for messages.
        writer: Of the index.
        sources: What goes in.
        term_names: Names of the learned terms by number; empty if the index knows none.
        analyzer: Of the texts' words; None if the index is not of text.
        n_terms: So many terms the index must have, beside those of the sources.
        on_progress: Called with how many documents more are pending.

    Raises:
        InvalidInputError: the index lacks terms, has another vocabulary than the vectors, or
            cannot keep the texts that come with them.
        DataFormatError: as ``read_vectors``.
    """
    columns = {name: number for number, name in enumerate(term_names)}
    settings, n_documents = writer.settings, 0
    _require_terms(folder, settings, columns, sources, n_terms)
    for batch in read_vectors(sources, columns, settings["n_terms"]):
        _add(folder, writer, batch, analyzer)
        n_documents += len(batch.documents)
        on_progress(len(batch.documents))
    return n_documents


def _require_terms(
    folder: Path,
    settings: Mapping[str, Any],
    names: Collection[str],
    sources: Sequence[VectorSource],
    n_terms: int,
) -> None:
    """Returns if the index has all terms of the sources."""
    used = {name for source in sources for name in source.terms or ()}
    if unknown := used.difference(names):
        raise InvalidInputError(
            f"{folder} has no term {min(unknown)!r}; import all sources into a new index"
        )
    own = settings["vocabulary"]
    if any(own and source.vocabulary not in ("", own) for source in sources):
        raise InvalidInputError(
            f"{folder} has another vocabulary than the model that made the vectors; name "
            "that model, or another index"
        )
    numbered = max([n_terms, *(one.n_terms for one in sources if one.terms is None)])
    if numbered > settings["n_terms"]:
        raise InvalidInputError(
            f"{folder} has {settings['n_terms']} terms, the source {numbered}; import all "
            "sources into a new index, or make it with a greater --terms"
        )


def _add(folder: Path, writer: IndexWriter, batch: Batch, analyzer: Analyzer | None) -> None:
    documents, vectors, places = batch
    if with_text := [n for n, document in enumerate(documents) if document.text]:
        if writer.params.precision == "uint8":
            raise InvalidInputError(
                f"{places[with_text[0]]}: contents came for {folder}, whose uint8 weights are too "
                "coarse for texts; want --precision float16 or float32, or vectors without contents"
            )
        writer.add(documents, vectors, [_words(analyzer, one) for one in documents])
        return
    metadata = [document.metadata for document in documents]
    ids = [document.doc_id for document in documents]
    writer.add_vectors(vectors, ids, metadata=metadata if any(metadata) else None)


def _words(analyzer: Analyzer | None, document: Document) -> list[str]:
    return analyzer.document_words(document) if analyzer else []
