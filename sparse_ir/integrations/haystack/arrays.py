"""The embeddings that Haystack's documents and queries bring, as our arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from haystack.dataclasses import SparseEmbedding
from numpy.typing import NDArray

from sparse_ir.errors import InvalidInputError
from sparse_ir.vectors import TermWeights, as_term_weights


def term_weights(embeddings: Sequence[SparseEmbedding], n_terms: int) -> TermWeights:
    """(n, n_terms) the sparse embeddings as a checked batch.

    Raises:
        InvalidInputError: one has a term that the model has not.
    """
    lengths = [len(one.indices) for one in embeddings]
    indices = [index for one in embeddings for index in one.indices]
    values = np.array([value for one in embeddings for value in one.values], np.float32)
    if indices and not 0 <= min(indices) <= max(indices) < n_terms:
        raise InvalidInputError(
            f"a sparse embedding has the index {max(indices, key=abs)}; want 0..{n_terms - 1}, "
            "of the model that the store was made with"
        )
    rows = np.repeat(np.arange(len(embeddings)), lengths)
    matrix = sp.coo_array((values, (rows, indices)), shape=(len(embeddings), n_terms))
    return as_term_weights(matrix.tocsr())


def dense_vector(what: str, numbers: Sequence[float]) -> NDArray[np.float64]:
    """(n,) the numbers of an embedding.

    Raises:
        InvalidInputError: one is not finite, or they are no list of numbers; says of what.
    """
    try:
        vector = np.asarray(numbers, np.float64)
    except (TypeError, ValueError):
        vector = np.empty(())
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise InvalidInputError(f"{what} is no list of finite numbers; want one")
    return vector


def cosine(doc_id: str, embedding: NDArray[np.float64], query: NDArray[np.float64]) -> float:
    """Between the embedding of the document and that of a query; 0 if one of them is null.

    Raises:
        InvalidInputError: they are of different lengths.
    """
    if embedding.shape != query.shape:
        raise InvalidInputError(
            f"the query's embedding has {len(query)} numbers, that of {doc_id!r} "
            f"{len(embedding)}; want both of one model"
        )
    norm = float(np.linalg.norm(embedding) * np.linalg.norm(query))
    return float(embedding @ query) / norm if norm else 0.0
