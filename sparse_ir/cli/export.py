"""``sparse-ir export``: an index, and queries for it, in the formats of other engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparse_ir.cli.console import progress, tell
from sparse_ir.cli.options import ExistingIndexOption, SparseMode, find_index, require_writable
from sparse_ir.errors import InvalidInputError

if TYPE_CHECKING:
    from sparse_ir.export.impacts import Impacts
    from sparse_ir.export.jsonl import Names, Texts
    from sparse_ir.index.reader import Index


class Format(str, Enum):
    """Of the file."""

    jsonvector = "jsonvector"
    ciff = "ciff"
    npz = "npz"
    seismic = "seismic"
    topics = "topics"


def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="The file.")],
    format: Annotated[
        Format,
        typer.Option(
            help="jsonvector: Anserini's JsonVectorCollection; ciff: Common Index File Format; "
            "npz: SciPy CSR and ids, and seismic: Seismic's binary, both with weights as stored; "
            "topics: the --queries, as Anserini and Pyserini read them."
        ),
    ] = Format.jsonvector,
    folder: ExistingIndexOption = None,
    mode: Annotated[
        SparseMode, typer.Option(help="Which terms: the learned, the lexical, or both (anchored).")
    ] = SparseMode.anchored,
    scale: Annotated[
        float, typer.Option(help="Weights become the nearest whole number of weight x scale.")
    ] = 100.0,
    queries: Annotated[
        str | None, typer.Option(help="Queries for --format topics, as for run.")
    ] = None,
) -> None:
    """Write an index for another engine.

    The other engine ranks documents by the sum of (number in the query x number in the document),
    as ours does but for rounding: raise --scale if that matters, for documents and queries alike.
    A document of several passages goes out as one, with each term's greatest weight, so the other
    engine scores it by all of them, ours by the best.
    Where both kinds of terms go out, words begin with w: to keep them apart from word pieces.
    """
    from sparse_ir.export.impacts import document_impacts, term_names
    from sparse_ir.export.jsonl import write_json_vectors

    if (format is Format.topics) != (queries is not None):
        raise InvalidInputError("--format topics and --queries came one without the other")
    require_writable(output)
    path = find_index(folder)
    if queries is not None:
        n = _export_queries(path, queries, mode, scale, output)
    else:
        with _opened(path) as (index, terms), progress("exporting", len(index)) as advance:
            if index.has_passages and mode is not SparseMode.lexical:
                tell(
                    "documents of several passages go out as one each, so scores of these are "
                    "higher there; index --no-passages makes an index that ranks alike"
                )
            if format in (Format.npz, Format.seismic):
                n = _write_stored(index, format, mode, output, advance)
                tell(f"{n} documents in {output}")
                return
            names = term_names(index, mode.value, terms)
            batches = document_impacts(index, mode.value, scale=scale)
            if format is Format.ciff:
                about = f"sparse_ir, {mode.value} terms, weights x {scale:g}"
                n = _write_ciff(index, batches, names, about, output, advance)
            else:
                n = write_json_vectors(output, batches, names, _texts(index), on_progress=advance)
    tell(f"{n} {'queries' if queries else 'documents'} in {output}")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Index, Sequence[str] | None]]:
    """The index, and its learned terms' names if anybody knows them."""
    from sparse_ir.index.reader import Index
    from sparse_ir.retrieval.retriever import SparseRetriever

    with Index.open(path) as index:
        if "model" not in index.settings:
            yield index, index.term_names() or None
            return
    with SparseRetriever.open(path) as retriever:
        yield retriever.index, retriever.vocabulary.terms


def _texts(index: Index) -> Texts:
    return lambda doc_ids: {doc_id: index.document(doc_id).content for doc_id in doc_ids}


def _write_ciff(
    index: Index,
    batches: Iterator[Impacts],
    names: Names,
    about: str,
    output: Path,
    advance: Callable[[int], None],
) -> int:
    import numpy as np
    import scipy.sparse as sp

    from sparse_ir.export.ciff import write_ciff

    ids: list[str] = []
    parts = [sp.csr_array((0, index.n_terms + index.n_words), dtype=np.int64)]
    for impacts in batches:
        ids += impacts.ids
        parts.append(impacts.matrix)
        advance(len(impacts.ids))
    columns = sp.vstack(parts, format="csc")
    used = np.flatnonzero(np.diff(columns.indptr))
    named = names(used)
    write_ciff(
        output, ids, columns[:, used], [named[term] for term in used.tolist()], description=about
    )
    return len(ids)


def _write_stored(
    index: Index, format: Format, mode: SparseMode, output: Path, advance: Callable[[int], None]
) -> int:
    from sparse_ir.export.impacts import only_block
    from sparse_ir.export.npz import write_npz
    from sparse_ir.export.seismic import write_seismic

    stored = (
        (docs, only_block(weights, index.n_terms, mode.value))
        for docs, weights in index.stored_vectors()
    )
    width = index.n_terms + (index.n_words if mode is not SparseMode.learned else 0)
    if format is Format.seismic:
        rows = (weights for _, weights in stored)
        write_seismic(output, rows, len(index), on_progress=advance)
        return len(index)
    named = ((index.doc_ids(docs), docs, weights) for docs, weights in stored)
    with_ids = (([ids[doc] for doc in docs], weights[:, :width]) for ids, docs, weights in named)
    return write_npz(output, with_ids, width, on_progress=advance)


def _export_queries(path: Path, source: str, mode: SparseMode, scale: float, output: Path) -> int:
    from sparse_ir.evaluation.topics import read_topics
    from sparse_ir.export.impacts import Impacts, quantise, term_names
    from sparse_ir.export.jsonl import write_impact_topics
    from sparse_ir.retrieval.retriever import SparseRetriever

    queries = read_topics(source)
    with SparseRetriever.open(path) as retriever:
        weights = retriever.query_vectors([query.text for query in queries], mode.value)
        impacts = Impacts([query.query_id for query in queries], quantise(weights, scale))
        names = term_names(retriever.index, mode.value, retriever.vocabulary.terms)
        write_impact_topics(output, impacts, names)
    return len(queries)
