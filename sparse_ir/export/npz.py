"""SciPy's .npz of a CSR matrix, with the ids of its rows beside it.

``scipy.sparse.load_npz`` reads the matrix, ``numpy.load`` the array ``ids``.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic
from numpy.typing import NDArray

from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.files import whole_file
from sparse_ir.vectors import TermWeights

_MATRIX = ("format", "shape", "data", "indices", "indptr")
# What NumPy, SciPy and Python's zip files raise where a file is another, or damaged.
_OF_OTHER_FILES = (
    ValueError,
    TypeError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: str | Path) -> tuple[list[str], TermWeights]:
    """(ids, (n, n_terms) csr_array) of the file; without ids in it, the rows' numbers from 0.

    Raises:
        DataFormatError: not such a file, or its parts do not fit together.
        OSError: it cannot be read.
    """
    path = Path(path)
    try:
        # Opened here, for NumPy leaves the file open where it is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            missing = [name for name in _MATRIX if name not in arrays]
            if missing:
                raise DataFormatError(
                    f"{path}: no array {missing[0]!r} in it; want what scipy.sparse.save_npz writes"
                )
            for member in arrays.zip.infolist():
                if member.filename.removesuffix(".npy") in (*_MATRIX, "ids"):
                    _require_whole(arrays.zip, member)
            if arrays["format"].item() not in (b"csr", "csr"):
                raise DataFormatError(f"{path}: format {arrays['format'].item()!r}; want csr")
            parts = (arrays["data"], arrays["indices"], arrays["indptr"])
            matrix = sp.csr_array(parts, shape=tuple(arrays["shape"].tolist()))
            matrix.check_format(full_check=True)
            if matrix.dtype.kind not in "fiub":
                raise DataFormatError(f"{path}: weights of type {matrix.dtype}; want numbers")
            ids = _ids(path, arrays["ids"] if "ids" in arrays else np.arange(matrix.shape[0]))
    except DataFormatError:
        raise
    except _OF_OTHER_FILES as error:
        raise DataFormatError(
            f"{path}: no CSR matrix ({error}); want what scipy.sparse.save_npz writes"
        ) from None
    if len(ids) != matrix.shape[0]:
        raise DataFormatError(f"{path}: {len(ids)} ids came for {matrix.shape[0]} rows")
    return ids, matrix


def _ids(path: Path, ids: NDArray[Any]) -> list[str]:
    if ids.ndim != 1 or ids.dtype.kind not in "USiu":
        raise DataFormatError(
            f"{path}: ids of type {ids.dtype} in {ids.ndim} dimension(s) came; want strings or "
            "whole numbers in one"
        )
    return [one.decode() if isinstance(one, bytes) else str(one) for one in ids.tolist()]


def _require_whole(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """An array's head claims no more than its bytes hold: NumPy makes room before it reads them.

    And it is in the file: zipfile seeks to wherever a damaged directory says.
    """
    if member.header_offset < 0:
        raise ValueError(f"{member.filename} begins {-member.header_offset} bytes before the file")
    with archive.open(member) as file:
        version = read_magic(file)
        read = read_array_header_1_0 if version == (1, 0) else read_array_header_2_0
        shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename} has {member.file_size} bytes for an array of {shape}")


def write_npz(
    path: str | Path,
    batches: Iterable[tuple[Sequence[str], TermWeights]],
    n_terms: int,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """The rows of all batches, with their ids, are in the file, whole or not; returns how many.

    Raises:
        InvalidInputError: an id ends in NUL, which NumPy's strings lose.
    """
    ids: list[str] = []
    parts = [sp.csr_array((0, n_terms), dtype=np.float32)]
    for batch_ids, weights in batches:
        ids += batch_ids
        parts.append(weights)
        if on_progress:
            on_progress(len(batch_ids))
    if lost := [one for one in ids if one.endswith("\0")]:
        raise InvalidInputError(
            f"id {lost[0]!r} ends in NUL, which .npz loses; want another format"
        )
    matrix = sp.vstack(parts, format="csr")
    with whole_file(path) as beside, beside.open("wb") as file:  # a name would get .npz behind it
        np.savez_compressed(
            file,
            format=np.array(b"csr"),
            shape=np.array(matrix.shape),
            data=matrix.data,
            indices=matrix.indices,
            indptr=matrix.indptr,
            ids=np.array(ids, np.str_),
        )
    return len(ids)
