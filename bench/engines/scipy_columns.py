"""The whole columns of a query's terms, summed by SciPy: what one writes without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.engines.engine import Search


class ScipyColumns:
    name = "scipy CSC"
    settings = {"exact": None}  # noqa: RUF012
    most_docs = 100_000

    def version(self) -> str:
        return scipy.__version__

    def build(self, documents: Any, folder: Path) -> None:
        sp.save_npz(folder / "columns.npz", documents.tocsc(), compressed=False)

    def open(self, folder: Path) -> Search:
        columns = sp.csc_array(sp.load_npz(folder / "columns.npz"))

        def search(query: Any, k: int, setting: None) -> NDArray[np.int64]:
            terms, weights = query
            scores = columns[:, terms] @ weights
            best = np.argpartition(-scores, k)[:k]
            return best[np.argsort(-scores[best], kind="stable")]

        return search

    def prepare(self, terms: NDArray[np.uint32], weights: NDArray[np.float32]) -> Any:
        return terms.astype(np.int64), weights
