"""The passages of long documents, as the catalog keeps them: a row a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import IndexFormatError

Row = tuple[int, bytes, bytes, bytes]
"""(doc, places, terms, weights): start, end and number of terms of each passage, and the terms and
weights of all, one passage after another; little-endian uint32 and float32."""


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


Passages = Mapping[int, Sequence[StoredPassage]]
"""doc number -> its passages, of documents that have several."""


def to_row(doc: int, passages: Sequence[StoredPassage]) -> Row:
    """What the catalog stores of the passages of a document."""
    places = [(one.start, one.end, len(one.terms)) for one in passages]
    return (
        doc,
        np.array(places, "<u4").tobytes(),
        b"".join(one.terms.astype("<u4").tobytes() for one in passages),
        b"".join(one.weights.astype("<f4").tobytes() for one in passages),
    )


def places_of(doc: int, blob: bytes) -> NDArray[np.uint32]:
    """(P, 3) start, end and number of terms of each passage.

    Raises:
        IndexFormatError: the bytes are not three numbers a passage.
    """
    if len(blob) % 12:
        raise _damaged(doc)
    return np.frombuffer(blob, "<u4").reshape(-1, 3)


def spans_of(rows: Iterable[tuple[int, bytes]]) -> dict[int, list[tuple[int, int]]]:
    """doc number -> where in its text each passage begins and ends.

    Args:
        rows: (doc, places) as ``Row`` has them.
    """
    return {
        doc: [(start, end) for start, end, _ in places_of(doc, blob).tolist()] for doc, blob in rows
    }


def from_row(row: Row) -> list[StoredPassage]:
    """The passages of a document.

    Raises:
        IndexFormatError: not as many terms or weights as the row says.
    """
    doc, blob, terms, weights = row
    places = places_of(doc, blob).tolist()
    ends = list(accumulate(size for _, _, size in places))
    if not 4 * sum(size for _, _, size in places) == len(terms) == len(weights):
        raise _damaged(doc)
    all_terms, all_weights = np.frombuffer(terms, "<u4"), np.frombuffer(weights, "<f4")
    return [
        StoredPassage(start, stop, all_terms[end - size : end], all_weights[end - size : end])
        for (start, stop, size), end in zip(places, ends, strict=True)
    ]


def _damaged(doc: int) -> IndexFormatError:
    return IndexFormatError(
        f"the passages of document {doc} hold more or fewer terms than they say; "
        "build the index anew"
    )
