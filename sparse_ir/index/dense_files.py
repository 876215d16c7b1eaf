"""The files of an index's dense part: beside the postings of each segment its vectors and codes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import IndexFormatError
from sparse_ir.files import whole_file
from sparse_ir.index import dense_segment, faiss_codes
from sparse_ir.index.catalog import SegmentRow
from sparse_ir.index.dense_segment import DenseSegment
from sparse_ir.index.faiss_codes import Codes
from sparse_ir.index.params import DensePart

Opened = tuple[list[DenseSegment], list[Codes | None]]
"""The vectors of segments, oldest first, and the codes of each, None where there are none."""


def write(
    segment: Path,
    part: DensePart,
    halves: Sequence[DenseSegment],
    left_out: NDArray[np.uint64] | None = None,
) -> None:
    """Vectors, and codes of them if they need any, are on the disk beside the segment's postings.

    Args:
        segment: The file of the postings.
        part: What the index's dense part holds.
        halves: Whose rows they are, in this order.
        left_out: Documents whose rows are not wanted, ascending.
    """
    path = segment.with_suffix(dense_segment.SUFFIX)
    dense_segment.write(path, part.dimension, halves, left_out)
    write_codes(segment, part)


def remove(segment: Path) -> None:
    """Nothing is beside the segment's postings."""
    for suffix in (dense_segment.SUFFIX, faiss_codes.SUFFIX):
        segment.with_suffix(suffix).unlink(missing_ok=True)


def share(segment: Path, other: Path) -> None:
    """What is beside the one segment's postings is beside the other's: such files never change."""
    for suffix in (dense_segment.SUFFIX, faiss_codes.SUFFIX):
        if (file := segment.with_suffix(suffix)).is_file():
            with whole_file(other.with_suffix(suffix)) as beside:
                _link(file, beside)


def _link(file: Path, other: Path) -> None:
    other.unlink(missing_ok=True)  # a crash may have left it
    try:
        os.link(file, other)
    except OSError:  # some file systems have no links
        with file.open("rb") as source, other.open("wb") as copy:
            shutil.copyfileobj(source, copy)


def write_codes(segment: Path, part: DensePart) -> None:
    """Codes of the vectors beside the segment's postings are on the disk, if they need any."""
    codes = Codes.build(part.codes, open_vectors(segment).vectors)
    if codes is not None:
        codes.write(segment.with_suffix(faiss_codes.SUFFIX))


def open_vectors(segment: Path) -> DenseSegment:
    """The vectors beside the segment's postings."""
    return DenseSegment.open(segment.with_suffix(dense_segment.SUFFIX))


def open_all(folder: Path, rows: Sequence[SegmentRow], part: DensePart) -> Opened:
    """The vectors of these segments, mapped, and the codes of those that have any.

    Raises:
        IndexFormatError: a file is corrupt, or its vectors have another dimension.
        FileNotFoundError: one is missing.
    """
    halves, codes = [], []
    for row in rows:
        half = open_vectors(folder / row.name)
        if half.dimension != part.dimension:
            raise IndexFormatError(
                f"{half.path} holds vectors of {half.dimension} dimensions, the catalog says "
                f"{part.dimension}; build the index anew"
            )
        halves.append(half)
        codes.append(_open_codes(folder / row.name, half, part))
    return halves, codes


def _open_codes(segment: Path, half: DenseSegment, part: DensePart) -> Codes | None:
    if part.codes == "none" or len(half) < faiss_codes.LEAST_ROWS:
        return None
    path = segment.with_suffix(faiss_codes.SUFFIX)
    return Codes.open(path, len(half), half.dimension)
