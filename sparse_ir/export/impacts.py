"""Stored weights as whole numbers under their terms' names: what other engines index.

An engine that adds up ``impact of the term in the query x impact in the document`` over these
numbers ranks as ours does, but for rounding. Both blocks of an index may go out as one: the words
of the lexical block then carry a mark, since a word and a word piece may be spelt the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import InvalidInputError
from sparse_ir.index.reader import Index
from sparse_ir.vectors import TermWeights

Block = Literal["anchored", "learned", "lexical"]
WORD_MARK = "w:"
"""Before the words of the lexical block where both blocks are exported."""
_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Impacts:
    """Rows of whole numbers with the ids of whom they belong to."""

    ids: list[str]
    matrix: Any
    """(n, terms) int64 csr_array, 1..2**31-1; columns are the index's term numbers."""


def document_impacts(
    index: Index, block: Block = "anchored", *, scale: float = 100, batch_size: int = 1024
) -> Iterator[Impacts]:
    """All living documents of an index, in batches, in the order of the doc numbers.

    Args:
        index: Of text or of raw vectors.
        block: ``learned`` or ``lexical`` terms alone, or with ``anchored`` all.
        scale: A weight becomes the nearest whole number of weight x scale; those that become 0
            are left out.
        batch_size: Documents a batch.

    Raises:
        InvalidInputError: a bad argument, or a weight that is too large for its scale.
    """
    for docs, weights in index.stored_vectors(batch_size):
        doc_ids = index.doc_ids(docs)
        ids = [doc_ids[doc] for doc in docs]
        yield Impacts(ids, quantise(only_block(weights, index.n_terms, block), scale))


def quantise(weights: TermWeights, scale: float) -> Any:
    """(n, terms) int64 csr_array: weight x scale to the nearest whole number, without zeros.

    Raises:
        InvalidInputError: the scale is not positive, or a number passes 2**31-1.
    """
    if not scale > 0 or not np.isfinite(scale):
        raise InvalidInputError(f"scale is {scale}; want a number > 0")
    matrix = weights.astype(np.float64)  # a copy: the indices are changed below
    matrix.data = np.rint(matrix.data * scale)
    if matrix.nnz and matrix.data.max() > _LARGEST:
        raise InvalidInputError(f"scale is {scale}; a weight passes 2**31-1, want a smaller one")
    matrix.eliminate_zeros()
    return matrix.astype(np.int64)


def term_names(
    index: Index, block: Block, learned: Sequence[str] | None
) -> Callable[[NDArray[np.int64]], dict[int, str]]:
    """A function from term numbers to names.

    Args:
        index: Whose words are asked for.
        block: As ``document_impacts``; with ``anchored`` words carry ``WORD_MARK``.
        learned: Names of the learned block's terms; None calls them by their numbers.

    Raises:
        InvalidInputError: a name holds white space, at which engines split.
    """
    mark = WORD_MARK if block == "anchored" else ""

    def names(terms: NDArray[np.int64]) -> dict[int, str]:
        is_word = terms >= index.n_terms
        found = {term: mark + word for term, word in index.words(terms[is_word].tolist()).items()}
        for term in terms[~is_word].tolist():
            found[term] = learned[term] if learned is not None else str(term)
        for name in found.values():
            if any(map(str.isspace, name)):
                raise InvalidInputError(f"term {name!r} holds white space; want terms without it")
        return found

    return names


def rows_of(impacts: Impacts) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.int64]]]:
    """(id, term numbers, numbers) of each row."""
    matrix = impacts.matrix
    for one, (start, stop) in zip(impacts.ids, pairwise(matrix.indptr.tolist()), strict=True):
        yield one, matrix.indices[start:stop], matrix.data[start:stop]


def only_block(weights: TermWeights, n_terms: int, block: Block) -> TermWeights:
    """The rows without the terms of the other block; ``anchored`` keeps both."""
    if block == "anchored":
        return weights
    kept = weights.copy()
    kept.data[(kept.indices >= n_terms) != (block == "lexical")] = 0
    kept.eliminate_zeros()
    return kept
