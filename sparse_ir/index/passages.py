"""The passages of a long document, as the catalog keeps them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import IndexFormatError

Row = tuple[int, int, int, int, bytes, bytes]
"""(doc, number, start, end, terms, weights), as in the catalog's table."""


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """One passage: where it is in the document's text, and its own learned weights.

    Args:
        start: First character.
        end: Behind the last character.
        terms: (m,) uint32, ascending.
        weights: (m,) float32.
    """

    start: int
    end: int
    terms: NDArray[np.uint32]
    weights: NDArray[np.float32]


def to_row(doc: int, number: int, passage: StoredPassage) -> Row:
    """What the catalog stores; numbers are little-endian."""
    terms, weights = passage.terms.astype("<u4"), passage.weights.astype("<f4")
    return doc, number, passage.start, passage.end, terms.tobytes(), weights.tobytes()


def from_row(row: Row) -> StoredPassage:
    """The passage of a row.

    Raises:
        IndexFormatError: not as many weights as terms.
    """
    doc, number, start, end, terms, weights = row
    if len(terms) % 4 or len(terms) != len(weights):
        raise IndexFormatError(
            f"passage {number} of document {doc} holds {len(terms)} bytes of terms and "
            f"{len(weights)} of weights; build the index anew"
        )
    return StoredPassage(
        start,
        end,
        np.frombuffer(terms, "<u4").astype(np.uint32, copy=False),
        np.frombuffer(weights, "<f4").astype(np.float32, copy=False),
    )
