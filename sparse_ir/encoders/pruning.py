"""Fewer terms of each text: the greatest only, or those not far below the greatest."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir.vectors import TermWeights


def prune(
    weights: TermWeights,
    *,
    top_terms: int | NDArray[np.int64] | None = None,
    prune_ratio: float = 0.0,
) -> TermWeights:
    """The weights that stay.

    Args:
        weights: (n, V) term weights.
        top_terms: Most terms of a row, or (n,) of each row; of equal ones the lower term stays.
        prune_ratio: Weights below this share of their row's greatest are dropped; 0..1.

    Source: the ratio as in OpenSearch's neural sparse ingestion, ``prune_type: max_ratio``.
    """
    if top_terms is None and not prune_ratio:
        return weights
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    keep = np.ones(weights.nnz, np.bool_)
    if prune_ratio and weights.nnz:
        keep = weights.data >= np.float32(prune_ratio) * weights.max(axis=1).toarray().ravel()[rows]
    if top_terms is not None and (np.diff(weights.indptr) > top_terms).any():
        greatest_first = np.lexsort((weights.indices, -weights.data, rows))
        rank = np.empty(weights.nnz, np.int64)
        rank[greatest_first] = np.arange(weights.nnz) - weights.indptr[rows]
        keep &= rank < np.broadcast_to(top_terms, weights.shape[:1])[rows]
    if keep.all():
        return weights
    sizes = np.bincount(rows[keep], minlength=weights.shape[0])
    indptr = np.concatenate(([0], np.cumsum(sizes)))
    return sp.csr_array((weights.data[keep], weights.indices[keep], indptr), shape=weights.shape)
