"""Light codes of a segment's vectors, held in memory to find candidates, by faiss.

The vectors themselves stay on the disk and verify what the codes find, so codes decide what is
missed, never what a hit scores.

Source: Xiao et al. 2022, "Progressively Optimized Bi-Granular Document Representation for Scalable
Embedding Based Retrieval", arXiv:2201.05409 (light codes find, heavy vectors verify); Gao, Long
2024, "RaBitQ", arXiv:2405.12497.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_ir.errors import IndexFormatError, MissingDependencyError
from sparse_ir.files import whole_file
from sparse_ir.index.params import CodeKind

SUFFIX = ".faiss"
LEAST_ROWS = 4096  # below, reading all vectors is as fast
_RECIPES = {
    "hnsw": "HNSW16,SQ8",
    "ivf-sq8": "IVF{lists},SQ8",
    "ivf-rabitq": "RR{dimension},IVF{lists},RaBitQ",
}
_TRAINING_ROWS = 2**17
_LEAST_WIDTH = 64  # of a graph's search
_PROBED = 16  # one list in so many is probed, and more for many rows or a filter
_MARGIN = 8  # looked at for each row that is expected to be barred: filters follow topics
_COST = 8  # reading so many vectors in turn takes the time of looking at one row


class Codes:
    """The codes of a segment.

    Args:
        index: Of faiss; its ids are rows of the segment.
        n_bytes: Of its file, which is about the memory that it takes.
    """

    def __init__(self, index: Any, n_bytes: int = 0) -> None:
        faiss = import_faiss()
        self._index, self._inner = index, faiss.downcast_index(index)
        self._is_rotated = isinstance(self._inner, faiss.IndexPreTransform)
        if self._is_rotated:
            self._inner = faiss.downcast_index(self._inner.index)
        self._is_graph = isinstance(self._inner, faiss.IndexHNSW)
        self.n_bytes = n_bytes

    @classmethod
    def build(cls, kind: CodeKind, vectors: NDArray[np.float16]) -> Codes | None:
        """Codes of these vectors; None if they are too few to need any.

        Args:
            kind: As ``DensePart.codes``.
            vectors: (n, dimension) float16 unit vectors.

        Raises:
            MissingDependencyError: faiss is not installed.
        """
        if kind == "none" or len(vectors) < LEAST_ROWS:
            return None
        faiss = import_faiss()
        n_lists = int(2 ** np.round(np.log2(2 * np.sqrt(len(vectors)))))
        recipe = _RECIPES[kind].format(lists=n_lists, dimension=vectors.shape[1])
        index = faiss.index_factory(vectors.shape[1], recipe, faiss.METRIC_INNER_PRODUCT)
        step = max(1, len(vectors) // _TRAINING_ROWS)
        index.train(vectors[::step].astype(np.float32))
        for start in range(0, len(vectors), _TRAINING_ROWS):
            index.add(vectors[start : start + _TRAINING_ROWS].astype(np.float32))
        return cls(index)

    @classmethod
    def open(cls, path: Path, n_rows: int, dimension: int) -> Codes:
        """The codes in the file.

        Raises:
            IndexFormatError: they are not those of so many vectors, or the file is corrupt.
            MissingDependencyError: faiss is not installed.
            OSError: no such file.
        """
        faiss = import_faiss()
        n_bytes = path.stat().st_size  # first: of a missing file faiss says RuntimeError
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            reason = str(error).strip().split("\n", 1)[0]
            raise IndexFormatError(f"{path}: {reason}; build the index anew") from error
        if index.ntotal != n_rows or index.d != dimension:
            raise IndexFormatError(
                f"{path} holds codes of {index.ntotal} vectors of {index.d} dimensions; want "
                f"{n_rows} of {dimension}; build the index anew"
            )
        return cls(index, n_bytes)

    def write(self, path: Path) -> None:
        """The codes are a synced file."""
        with whole_file(path) as beside:
            import_faiss().write_index(self._index, str(beside))

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None,
    ) -> list[NDArray[np.int64]]:
        """The rows that seem nearest to each query, up to k.

        Args:
            queries: (Q, dimension) unit vectors.
            k: Rows wanted a query.
            allowed: Which rows may be found; None for all.
        """
        k = min(k, self._index.ntotal)
        n_allowed = self._index.ntotal if allowed is None else int(np.count_nonzero(allowed))
        given = {} if allowed is None else {"sel": self._selector(allowed)}
        parameters = self._parameters(self._width(k, n_allowed), given)
        _, found = self._index.search(queries, k, params=parameters)
        return [np.sort(rows[rows >= 0]) for rows in found]

    def is_cheaper(self, k: int, n_allowed: int) -> bool:
        """Whether ``search`` takes less time than to read all vectors that are allowed.

        Args:
            k: Rows wanted a query.
            n_allowed: Rows that may be found.
        """
        if n_allowed <= LEAST_ROWS:
            return False
        return _COST * (self._width(k, n_allowed) if self._is_graph else k) < n_allowed

    def _width(self, k: int, n_allowed: int) -> int:
        """How many of the nearest rows are looked at, so that k of them are allowed."""
        n_barred: int = self._index.ntotal - n_allowed
        return k + _MARGIN * k * n_barred // max(n_allowed, 1)

    def _selector(self, allowed: NDArray[np.bool_]) -> Any:
        return import_faiss().IDSelectorBitmap(np.packbits(allowed, bitorder="little"))

    def _parameters(self, width: int, given: dict[str, Any]) -> Any:
        faiss = import_faiss()
        n_rows, width = self._index.ntotal, max(_LEAST_WIDTH, min(width, self._index.ntotal))
        if self._is_graph:
            return faiss.SearchParametersHNSW(efSearch=width, **given)
        n_lists = self._inner.nlist
        n_probed = min(n_lists // _PROBED + 2 * width * n_lists // n_rows, n_lists)
        parameters = faiss.SearchParametersIVF(nprobe=n_probed, **given)
        if not self._is_rotated:
            return parameters
        return faiss.SearchParametersPreTransform(index_params=parameters)


def import_faiss() -> Any:
    """The module.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        purpose = "codes for approximate dense search"
        raise MissingDependencyError("faiss-cpu", extra="hybrid", purpose=purpose) from None
    return faiss
