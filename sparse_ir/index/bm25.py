"""The lexical block's weights: BM25 as the product of a document part and a query part.

The document part depends on the collection only through its average length, so it is stored in
the postings; the query part carries the idf, from the index's own document frequencies at search
time. The formula lives in this package because merging must be able to write it anew.

Source: Robertson, Zaragoza 2009, "The Probabilistic Relevance Framework", eq. 3.11; idf as in
Lucene's BM25Similarity (never negative).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def document_weights(
    counts: NDArray[np.float32],
    lengths: NDArray[np.int64],
    *,
    average_length: float,
    k1: float,
    b: float,
) -> NDArray[np.float32]:
    """tf (k1 + 1) / (tf + k1 (1 - b + b length / average_length)), in 0..k1+1.

    Args:
        counts: (n,) term frequencies, > 0.
        lengths: (n,) words of the document that each count belongs to.
        average_length: Mean words a document, > 0.
    """
    tf = counts.astype(np.float64)
    norm = _norm(lengths, average_length, k1, b)
    return (tf * (k1 + 1) / (tf + norm)).astype(np.float32)


def term_frequencies(
    weights: NDArray[np.float32],
    lengths: NDArray[np.int64],
    *,
    average_length: float,
    k1: float,
    b: float,
) -> NDArray[np.float32]:
    """What ``document_weights`` made these of: whole numbers, >= 1; k1 must be > 0.

    They are exact where the weights are float32, and where they were stored as float16, to within
    the precision of the weights themselves.
    """
    stored = weights.astype(np.float64)
    norm = _norm(lengths, average_length, k1, b)
    tf = np.rint(stored * norm / np.maximum(k1 + 1 - stored, 1e-9))
    return np.maximum(tf, 1).astype(np.float32)


def idf(
    document_frequencies: NDArray[np.integer] | NDArray[np.floating], n_docs: int
) -> NDArray[np.float32]:
    """ln(1 + (n_docs - df + 0.5) / (df + 0.5)), > 0, for (m,) document frequencies."""
    df = document_frequencies.astype(np.float64)
    return np.log1p((n_docs - df + 0.5) / (df + 0.5)).astype(np.float32)


def _norm(
    lengths: NDArray[np.int64], average_length: float, k1: float, b: float
) -> NDArray[np.floating]:
    return k1 * (1 - b + b * lengths / average_length)
