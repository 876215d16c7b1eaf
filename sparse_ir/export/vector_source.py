"""Vectors that others made, whatever their file format: documents with rows of term weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.export.ciff import read_ciff
from sparse_ir.export.jsonl import read_json_vectors
from sparse_ir.export.lucene import is_lucene, read_lucene
from sparse_ir.export.npz import read_npz
from sparse_ir.export.seismic import SeismicFile
from sparse_ir.lines import error_at
from sparse_ir.parquet import ParquetVectors
from sparse_ir.vectors import TermWeights

_BATCH = 8192  # documents
Batch = tuple[list[Document], TermWeights]


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
            yield [document for _, document, _ in chunk], matrix

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
        yield from _slices(ids, sp.csr_array((weights.data, numbers, weights.indptr), shape))

    return VectorSource(terms, len(terms), batches)


def _npz(path: Path) -> VectorSource:
    ids, matrix = read_npz(path)

    def batches(_: dict[str, int], n_columns: int) -> Iterator[Batch]:
        parts = (matrix.data, matrix.indices, matrix.indptr)
        yield from _slices(ids, sp.csr_array(parts, shape=(len(ids), n_columns)))

    return VectorSource(None, matrix.shape[1], batches)


def _parquet(path: Path) -> VectorSource:
    file = ParquetVectors(path)

    def batches(_: dict[str, int], n_columns: int) -> Iterator[Batch]:
        for ids, matrix in file.batches(n_columns, _BATCH):
            yield [Document(doc_id, "") for doc_id in ids], matrix

    return VectorSource(None, file.n_terms, batches, file.vocabulary)


def _seismic(path: Path) -> VectorSource:
    file = SeismicFile(path)

    def batches(_: dict[str, int], n_columns: int) -> Iterator[Batch]:
        first = 0
        for matrix in file.batches(n_columns, _BATCH):
            rows = range(first, first + matrix.shape[0])
            yield [Document(str(row), "") for row in rows], matrix
            first = rows.stop

    return VectorSource(None, file.n_terms, batches)


def _slices(ids: Sequence[str], matrix: TermWeights) -> Iterator[Batch]:
    for start in range(0, len(ids), _BATCH):
        part = [Document(doc_id, "") for doc_id in ids[start : start + _BATCH]]
        yield part, matrix[start : start + _BATCH]
