"""Vectors that others made, whatever their file format: documents with rows of term weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sparse_ir.corpus import Document, SeenIds
from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.export.ciff import read_ciff
from sparse_ir.export.jsonl import read_json_vectors
from sparse_ir.export.lucene import is_lucene, read_lucene
from sparse_ir.export.npz import read_npz
from sparse_ir.export.seismic import SeismicFile
from sparse_ir.lines import error_at, shown
from sparse_ir.parquet import ParquetVectors
from sparse_ir.vectors import TermWeights, as_term_weights

_BATCH = 8192  # documents


class Batch(NamedTuple):
    """Documents that were read together."""

    documents: list[Document]
    weights: TermWeights
    """A row a document."""
    places: list[str]
    """Where each document was read, for messages."""


@dataclass(frozen=True)
class VectorSource:
    """A file of vectors, ready to be read.

    Args:
        terms: Names of the terms it uses, None if it knows numbers alone.
        n_terms: How many columns its rows need if terms go by number.
        batches: Reads all documents. Given {name: column} where terms have names, and how many
            columns there are.
        vocabulary: Fingerprint of the vocabulary that numbers are of, empty where none is known.
    """

    terms: Sequence[str] | None
    n_terms: int
    batches: Callable[[dict[str, int], int], Iterator[Batch]]
    vocabulary: str = ""


def read_vectors(
    sources: Iterable[VectorSource], columns: dict[str, int], n_columns: int
) -> Iterator[Batch]:
    """All documents of the sources, in their order, checked.

    Raises:
        DataFormatError: an id is empty, no text, or comes twice in all of them, or a weight is
            negative or not finite; says where.
        InvalidInputError: a term is not among the columns.
        OSError: a source cannot be read.
    """
    with closing(SeenIds()) as seen:
        for source in sources:
            for batch in source.batches(columns, n_columns):
                for document, place in zip(batch.documents, batch.places, strict=True):
                    _require_id(document.doc_id, place)
                    seen.add(document.doc_id, place)
                yield batch


def open_vectors(path: str | Path) -> VectorSource:
    """The vectors in a file or folder.

    Args:
        path: ``.jsonl[.gz]`` or a folder of them (Anserini's JsonVectorCollection), the folder of
            a Lucene impact index, ``.ciff``, ``.npz`` (a SciPy CSR matrix, with ``ids`` or
            without), ``.parquet`` (as ``sparse-ir encode`` writes it), ``.bin`` (Seismic's). Where
            a format has no ids, a document's number from 0 is its id.

    Raises:
        InvalidInputError: a file of another kind.
        MissingDependencyError: Parquet, and pyarrow is not installed.
        DataFormatError: the file is malformed.
        OSError: it cannot be read.
    """
    path = Path(path)
    if is_lucene(path):
        return _named(path, *read_lucene(path))
    if path.is_dir() or path.name.endswith((".jsonl", ".jsonl.gz")):
        return _json(path)
    readers = {".ciff": _ciff, ".npz": _npz, ".parquet": _parquet, ".bin": _seismic}
    if path.suffix not in readers:
        path.stat()  # a missing file is an OSError, not a wrong name
        raise InvalidInputError(
            f"{path} is of no known kind; want .jsonl, .jsonl.gz, a folder of them or of Lucene's "
            "files, .ciff, .npz, .parquet, or .bin (Seismic's)"
        )
    return readers[path.suffix](path)


def _json(path: Path) -> VectorSource:
    names = sorted({term for _, _, vector in read_json_vectors(path) for term in vector})

    def batches(columns: dict[str, int], n_columns: int) -> Iterator[Batch]:
        lines = read_json_vectors(path)
        while chunk := list(islice(lines, _BATCH)):
            for place, _, vector in chunk:
                if unknown := vector.keys() - columns.keys():
                    raise error_at(
                        place, f"the term {min(unknown)!r}", "terms of the index's vocabulary"
                    )
            vectors = [vector for _, _, vector in chunk]
            sizes = np.array([len(vector) for vector in vectors], np.int64)
            indptr = np.concatenate(([0], np.cumsum(sizes)))
            n = int(indptr[-1])
            terms = np.fromiter((columns[t] for vector in vectors for t in vector), np.int64, n)
            data = np.fromiter((w for vector in vectors for w in vector.values()), np.float32, n)
            matrix = sp.csr_array((data, terms, indptr), shape=(len(chunk), n_columns))
            documents = [document for _, document, _ in chunk]
            yield Batch(documents, matrix, [shown(place) for place, _, _ in chunk])

    return VectorSource(names, len(names), batches)


def _ciff(path: Path) -> VectorSource:
    index = read_ciff(path)
    return _named(path, index.ids, index.weights, index.terms)


def _named(
    path: Path, ids: Sequence[str], weights: TermWeights, terms: Sequence[str]
) -> VectorSource:
    """Of rows in memory, whose terms have names."""

    def batches(columns: dict[str, int], n_columns: int) -> Iterator[Batch]:
        if unknown := set(terms) - columns.keys():
            raise InvalidInputError(
                f"{path} has the term {min(unknown)!r}; want terms of the index's vocabulary"
            )
        place = np.array([columns[term] for term in terms], np.int64)
        numbers = place[weights.indices] if len(place) else weights.indices
        shape = (len(ids), n_columns)
        matrix = sp.csr_array((weights.data, numbers, weights.indptr), shape)
        yield from _numbered(path, _slices(ids, matrix))

    return VectorSource(terms, len(terms), batches)


def _npz(path: Path) -> VectorSource:
    ids, matrix = read_npz(path)

    def batches(_: dict[str, int], n_columns: int) -> Iterator[Batch]:
        parts = (matrix.data, matrix.indices, matrix.indptr)
        rows = sp.csr_array(parts, shape=(len(ids), n_columns))
        yield from _numbered(path, _slices(ids, rows))

    return VectorSource(None, matrix.shape[1], batches)


def _parquet(path: Path) -> VectorSource:
    file = ParquetVectors(path)

    def batches(_: dict[str, int], n_columns: int) -> Iterator[Batch]:
        yield from _numbered(path, file.batches(n_columns, _BATCH))

    return VectorSource(None, file.n_terms, batches, file.vocabulary)


def _seismic(path: Path) -> VectorSource:
    file = SeismicFile(path)

    def rows(n_columns: int) -> Iterator[tuple[list[str], TermWeights]]:
        first = 0
        for matrix in file.batches(n_columns, _BATCH):
            last = first + matrix.shape[0]
            yield [str(row) for row in range(first, last)], matrix
            first = last

    def batches(_: dict[str, int], n_columns: int) -> Iterator[Batch]:
        yield from _numbered(path, rows(n_columns))

    return VectorSource(None, file.n_terms, batches)


def _slices(ids: Sequence[str], matrix: TermWeights) -> Iterator[tuple[Sequence[str], TermWeights]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH], matrix[start : start + _BATCH]


def _numbered(path: Path, rows: Iterator[tuple[Sequence[str], TermWeights]]) -> Iterator[Batch]:
    """The rows, checked, where a place in the file is the number of a row."""
    first = 0
    while True:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is refused
            if (part := next(rows, None)) is None:
                return
            ids, matrix = part
            try:
                weights = as_term_weights(matrix, first_row=first)
            except InvalidInputError as error:
                raise DataFormatError(f"{path}: {error}") from None
        places = [f"{path}, row {row}" for row in range(first, first + len(ids))]
        yield Batch([Document(doc_id, "") for doc_id in ids], weights, places)
        first += len(ids)


def _require_id(doc_id: str, place: str) -> None:
    try:
        doc_id.encode()
    except UnicodeEncodeError:
        raise DataFormatError(f"{place}: the id holds half a surrogate pair; want text") from None
    if not doc_id:
        raise DataFormatError(f"{place}: an empty id; want a string that is not empty")
