"""Term weights in files: npz, Parquet, JsonVectorCollection; written in parts, joined at the end.

A part holds some thousand rows and is whole or not there. Joining streams from part to part, so a
file of any size is made in the memory of one part.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import InvalidInputError
from sparse_ir.files import whole_file
from sparse_ir.parquet import join_parquet, require_pyarrow, write_parquet
from sparse_ir.vectors import TermWeights, to_mappings
from sparse_ir.vocabulary import Vocabulary

_ZIP_LEVEL = 1  # four times as fast as the usual 6, and a tenth larger
_DIGITS = 6  # of a weight in JSON: float32 has no more


@dataclass(frozen=True, slots=True)
class Rows:
    """Encoded texts.

    Args:
        ids: n ids.
        texts: n texts, as encoded.
        weights: (n, V) term weights.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    weights: TermWeights


class Write(Protocol):
    """Writes a part."""

    def __call__(self, path: Path, /, rows: Rows, vocabulary: Vocabulary) -> None:
        """The rows are in the file."""


class Join(Protocol):
    """Writes a file of many parts."""

    def __call__(self, path: Path, /, parts: Sequence[Path]) -> None:
        """The parts' rows are in the file, in order; there is at least one part."""


@dataclass(frozen=True, slots=True)
class VectorFormat:
    """How a kind of file is written."""

    write: Write
    join: Join


def format_of(path: Path) -> VectorFormat | None:
    """The format that the name asks for; None if it is the folder of an index.

    That is one which is there, or whose name ends in ``.index`` or in nothing.

    Raises:
        InvalidInputError: it ends in none of the known ways.
        MissingDependencyError: Parquet, and pyarrow is not installed.
    """
    if path.suffix in ("", ".index") or path.is_dir():
        return None
    if path.suffix not in FORMATS:
        raise InvalidInputError(
            f"output is {path}; want a name that ends in {', '.join(FORMATS)}, or the folder of an "
            "index"
        )
    if path.suffix == ".parquet":
        require_pyarrow()
    return FORMATS[path.suffix]


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """The file is on the disk with all that ``write`` puts into it, or as it was before."""
    try:
        with whole_file(path) as beside:
            write(beside)
    except OSError as error:
        if error.filename is None:  # a full disk says only that it is full
            error.filename = str(path)
        raise


# npz: the arrays of a SciPy CSR matrix, and ids


def _write_npz(path: Path, rows: Rows, vocabulary: Vocabulary) -> None:
    with path.open("wb") as file:  # a name would get .npz behind it
        np.savez(
            file,
            ids=np.array(rows.ids, np.str_),
            sizes=np.diff(rows.weights.indptr).astype(np.int64),
            indices=rows.weights.indices.astype(np.int32),
            data=rows.weights.data,
            n_terms=np.array(len(vocabulary)),
        )


def _join_npz(path: Path, parts: Sequence[Path]) -> None:
    def each(name: str) -> Iterator[NDArray[Any]]:
        for part in parts:
            with np.load(part, allow_pickle=False) as arrays:
                yield arrays[name]

    ids_type = np.dtype(f"<U{max((a.dtype.itemsize // 4 for a in each('ids')), default=1)}")
    n_rows = sum(len(sizes) for sizes in each("sizes"))
    n_entries = sum(int(sizes.sum()) for sizes in each("sizes"))
    n_terms = next((int(n) for n in each("n_terms")), 0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_ZIP_LEVEL) as archive:
        _stream(archive, "format", np.dtype("S3"), (), iter([np.array(b"csr")]))
        _stream(archive, "shape", np.dtype(np.int64), (2,), iter([np.array([n_rows, n_terms])]))
        _stream(archive, "indptr", np.dtype(np.int64), (n_rows + 1,), _bounds(each("sizes")))
        _stream(archive, "indices", np.dtype(np.int32), (n_entries,), each("indices"))
        _stream(archive, "data", np.dtype(np.float32), (n_entries,), each("data"))
        _stream(archive, "ids", ids_type, (n_rows,), each("ids"))


def _bounds(sizes: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    end = 0
    yield np.zeros(1, np.int64)
    for one in sizes:
        yield end + np.cumsum(one)
        end += int(one.sum())


def _stream(
    archive: zipfile.ZipFile,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    arrays: Iterator[NDArray[Any]],
) -> None:
    """One .npy file in the archive, its content array by array."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_2_0(file, header)
        for array in arrays:
            file.write(array.astype(dtype).tobytes())


# Parquet: id, indices, values


def _write_parquet(path: Path, rows: Rows, vocabulary: Vocabulary) -> None:
    write_parquet(path, rows.ids, rows.weights, vocabulary)


# JsonVectorCollection, as Anserini reads it


def _write_jsonl(path: Path, rows: Rows, vocabulary: Vocabulary) -> None:
    vectors = to_mappings(rows.weights)
    with path.open("w", encoding="utf-8") as file:
        for text_id, text, row in zip(rows.ids, rows.texts, vectors, strict=True):
            vector = {vocabulary[term]: round(weight, _DIGITS) for term, weight in row.items()}
            record = {"id": text_id, "contents": text, "vector": vector}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _join_jsonl(path: Path, parts: Sequence[Path]) -> None:
    with path.open("wb") as whole:
        for part in parts:
            _append(whole, part)


def _append(whole: BinaryIO, part: Path) -> None:
    with part.open("rb") as file:
        shutil.copyfileobj(file, whole, 2**20)


FORMATS = {
    ".npz": VectorFormat(_write_npz, _join_npz),
    ".parquet": VectorFormat(_write_parquet, join_parquet),
    ".jsonl": VectorFormat(_write_jsonl, _join_jsonl),
}
