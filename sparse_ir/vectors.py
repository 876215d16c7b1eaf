"""Term weights: the one currency of the project, a checked ``scipy.sparse.csr_array``.

Encoders make them, the index stores them, queries are made of them. They are checked once, where
a batch comes in, and trusted from then on. Dense vectors are plain arrays; ``unit`` is for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from operator import index
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir.errors import InvalidInputError

TermWeights: TypeAlias = Any  # scipy.sparse.csr_array, float32, (n, n_terms); scipy ships no types


def as_term_weights(batch: Any, *, n_terms: int | None = None, first_row: int = 0) -> TermWeights:
    """Checks a batch and returns it as canonical term weights.

    Args:
        batch: (n, n_terms) scipy sparse array or matrix, 2-d numpy array, torch tensor (dense or
            sparse), or a sequence of ``{term number: weight}`` mappings.
        n_terms: Number of columns wanted; needed for mappings, else the batch's own.
        first_row: What errors call the first row, where the batch is a part of more.

    Returns:
        csr_array, float32, shape (n, n_terms): rows strictly ascending, weights finite and > 0;
        stored zeros are dropped.

    Raises:
        InvalidInputError: wrong shape or type, a term number that is no column's, a duplicate term
            in a row, a negative or non-finite weight.
    """
    matrix = _as_csr(batch, n_terms)
    if n_terms is not None and matrix.shape[1] != n_terms:
        raise InvalidInputError(
            f"term weights have {matrix.shape[1]} columns; want {n_terms}, one a term"
        )
    if not isinstance(matrix, sp.csr_array) or matrix.dtype != np.float32:
        matrix = sp.csr_array(matrix, dtype=np.float32, copy=False)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sort_indices()
        _refuse_duplicates(matrix, first_row)
    if not matrix.nnz:
        return matrix
    _refuse_unknown_terms(matrix)
    if matrix.data.min() > 0 and matrix.data.max() < np.inf:
        return matrix
    _refuse_bad_weights(matrix, first_row)
    if not matrix.data.all():
        matrix = matrix.copy()
        matrix.eliminate_zeros()
    return matrix


def to_mappings(weights: TermWeights) -> list[dict[int, float]]:
    """Each row as ``{term number: weight}``, in ascending term order."""
    bounds = weights.indptr
    return [
        dict(
            zip(
                weights.indices[start:stop].tolist(),
                weights.data[start:stop].tolist(),
                strict=True,
            )
        )
        for start, stop in pairwise(bounds.tolist())
    ]


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """(n, dimension) float32: dense vectors at length 1; a row of zeros stays one."""
    vectors = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def append_terms(
    weights: TermWeights, rows: Sequence[Mapping[int, float]]
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]:
    """Term weights with more terms behind each row: how both blocks become one vector.

    Args:
        weights: (n, n_terms) term weights.
        rows: n mappings {term number >= n_terms: value > 0}, in any order.

    Returns:
        indptr (n + 1,) int64, term numbers (nnz,) uint32 ascending in each row, values (nnz,)
        float32.
    """
    sorted_rows = [sorted(row.items()) for row in rows]
    if len(rows) == 1:  # a query: its whole search takes little longer than the general way
        (row,) = sorted_rows
        terms = np.concatenate((weights.indices, np.array([t for t, _ in row], np.int64)))
        values = np.concatenate((weights.data, np.array([v for _, v in row], np.float32)))
        return np.array([0, len(terms)]), terms.astype(np.uint32), values
    extra = np.fromiter((len(row) for row in sorted_rows), np.int64, len(rows))
    sizes = np.diff(weights.indptr).astype(np.int64)
    indptr = np.concatenate(([0], np.cumsum(sizes + extra)))
    is_extra = np.repeat(np.tile([False, True], len(rows)), np.column_stack((sizes, extra)).ravel())
    total = int(extra.sum())
    terms = np.empty(len(is_extra), np.uint32)
    values = np.empty(len(is_extra), np.float32)
    terms[~is_extra], values[~is_extra] = weights.indices, weights.data
    terms[is_extra] = np.fromiter((t for row in sorted_rows for t, _ in row), np.uint32, total)
    values[is_extra] = np.fromiter((v for row in sorted_rows for _, v in row), np.float32, total)
    return indptr, terms, values


def _as_csr(batch: Any, n_terms: int | None) -> Any:
    ndim = getattr(batch, "ndim", 2)
    if ndim != 2:
        raise InvalidInputError(f"term weights have {ndim} dimension(s); want 2: (n, terms)")
    if hasattr(batch, "is_sparse"):  # a torch tensor, recognised without importing torch
        batch = _from_torch(batch)
    if sp.issparse(batch):
        _require_real(batch.dtype)
        return batch.tocsr()
    if isinstance(batch, np.ndarray):
        _require_real(batch.dtype)
        return sp.csr_array(batch.astype(np.float32, copy=False))  # SciPy has no float16
    if isinstance(batch, Sequence) and all(isinstance(row, Mapping) for row in batch):
        return _from_mappings(batch, n_terms)
    raise InvalidInputError(
        f"term weights came as {type(batch).__name__}; want a scipy CSR array, a numpy array, "
        "a torch tensor, or a list of {term number: weight}"
    )


def _from_torch(tensor: Any) -> Any:
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()  # NumPy has no bfloat16
    if tensor.layout == _torch_layout(tensor, "sparse_coo"):
        tensor = tensor.coalesce()
        indices = tensor.indices().numpy()
        return sp.coo_array((tensor.values().numpy(), indices), shape=tuple(tensor.shape))
    if tensor.layout == _torch_layout(tensor, "sparse_csr"):
        parts = (
            tensor.values().numpy(),
            tensor.col_indices().numpy(),
            tensor.crow_indices().numpy(),
        )
        return sp.csr_array(parts, shape=tuple(tensor.shape))
    return tensor.numpy()


def _torch_layout(tensor: Any, name: str) -> Any:
    import sys

    return getattr(sys.modules["torch"], name)


def _from_mappings(rows: Sequence[Mapping[int, float]], n_terms: int | None) -> Any:
    if n_terms is None:
        raise InvalidInputError("n_terms is missing; mappings do not say how many terms there are")
    counts = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    indptr = np.concatenate(([0], np.cumsum(counts)))
    total = int(indptr[-1])
    try:
        # Without ``index`` NumPy would round floats.
        indices = np.fromiter(map(index, chain.from_iterable(rows)), np.int64, total)
        data = np.fromiter((w for row in rows for w in row.values()), np.float32, total)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"mappings are no term weights: {error}; want {{term number: weight}}, an integer and "
            "a float"
        ) from None
    return sp.csr_array((data, indices, indptr), shape=(len(rows), n_terms))


def _require_real(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "biuf":
        raise InvalidInputError(f"term weights are of type {dtype}; want integers or floats")


def _refuse_unknown_terms(matrix: Any) -> None:
    least, most, n_terms = int(matrix.indices.min()), int(matrix.indices.max()), matrix.shape[1]
    if least < 0 or most >= n_terms:
        bad = least if least < 0 else most
        raise InvalidInputError(f"term number {bad} is outside 0..{n_terms - 1}")


def _refuse_duplicates(matrix: Any, first_row: int) -> None:
    row = first_row + np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    same = (np.diff(matrix.indices) == 0) & (np.diff(row) == 0)
    if same.any():
        at = int(np.flatnonzero(same)[0])
        raise InvalidInputError(
            f"row {int(row[at])} names term {int(matrix.indices[at])} twice; want each term once"
        )


def _refuse_bad_weights(matrix: Any, first_row: int) -> None:
    bad = ~(np.isfinite(matrix.data) & (matrix.data >= 0))
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        row = first_row + int(np.searchsorted(matrix.indptr, at, side="right")) - 1
        raise InvalidInputError(
            f"row {row}, term {int(matrix.indices[at])} has weight {float(matrix.data[at])}; "
            "want a finite weight >= 0"
        )
