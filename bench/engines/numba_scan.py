"""Term at a time over whole postings, compiled by Numba: the least that an engine must beat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bench.engines.engine import Search


class NumbaScan:
    name = "numba scan"
    settings = {"exact": None}  # noqa: RUF012
    most_docs = 2_000_000

    def version(self) -> str:
        return numba.__version__

    def build(self, documents: Any, folder: Path) -> None:
        columns = documents.tocsc()
        np.save(folder / "begins.npy", columns.indptr.astype(np.int64))
        np.save(folder / "docs.npy", columns.indices.astype(np.uint32))
        np.save(folder / "weights.npy", columns.data)
        np.save(folder / "n_docs.npy", documents.shape[0])

    def open(self, folder: Path) -> Search:
        postings = [np.load(folder / f"{name}.npy") for name in ("begins", "docs", "weights")]
        scores = np.zeros(int(np.load(folder / "n_docs.npy")), np.float32)

        def search(query: Any, k: int, setting: None) -> NDArray[np.int64]:
            _accumulate(*postings, scores, *query)
            return _best(scores, k)

        return search

    def prepare(self, terms: NDArray[np.uint32], weights: NDArray[np.float32]) -> Any:
        return terms, weights


@numba.njit(fastmath=True)
def _accumulate(begins: Any, docs: Any, weights: Any, scores: Any, terms: Any, values: Any) -> None:
    scores[:] = 0
    for j in range(len(terms)):
        for at in range(begins[terms[j]], begins[terms[j] + 1]):
            scores[docs[at]] += values[j] * weights[at]


@numba.njit(fastmath=True)
def _best(scores: Any, k: int) -> Any:
    best, docs = np.zeros(k, np.float32), np.zeros(k, np.int64)
    for start in range(0, len(scores), 64):
        stop = min(start + 64, len(scores))
        greatest = np.float32(0)
        for at in range(start, stop):
            greatest = max(greatest, scores[at])
        if greatest > best[k - 1]:
            for at in range(start, stop):
                place = k
                while place > 0 and best[place - 1] < scores[at]:
                    if place < k:
                        best[place], docs[place] = best[place - 1], docs[place - 1]
                    place -= 1
                if place < k:
                    best[place], docs[place] = scores[at], at
    return docs
