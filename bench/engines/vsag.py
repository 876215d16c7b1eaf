"""VSAG's SINDI: windowed term-at-a-time accumulation with SIMD; exact, or pruned and reordered.

Source: Li et al. 2025, "SINDI: An Efficient Index for Sparse Vector Approximate Maximum Inner
Product Search", arXiv:2509.08395.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.engines.engine import Search

_WINDOW = 50_000


class VsagSindi:
    """SINDI on whole documents: exact unless the query is pruned."""

    name = "VSAG SINDI"
    document_prune = 0.0
    searches = {"exact": (0.0, 10), "query prune 0.2": (0.2, 50)}  # noqa: RUF012
    """Label -> share of the query that is pruned, candidates that are scored anew."""
    most_docs = 2_000_000

    def __init__(self) -> None:
        self.settings = {label: _search(*search) for label, search in self.searches.items()}

    def version(self) -> str:
        return version("pyvsag")

    def build(self, documents: Any, folder: Path) -> None:
        index = self._index(documents.shape[1])
        index.build(
            index_pointers=documents.indptr.astype(np.uint32),
            indices=documents.indices.view(np.uint32),
            values=documents.data,
            ids=np.arange(documents.shape[0], dtype=np.int64),
        )
        index.save(str(folder / "index"))
        (folder / "n_terms").write_text(str(documents.shape[1]))

    def open(self, folder: Path) -> Search:
        index = self._index(int((folder / "n_terms").read_text()))
        index.load(str(folder / "index"))
        return lambda query, k, setting: index.knn_search(*query, k, setting)[0][0]

    def prepare(self, terms: NDArray[np.uint32], weights: NDArray[np.float32]) -> Any:
        return np.array([0, len(terms)], np.uint32), terms, weights

    def _index(self, n_terms: int) -> Any:
        import pyvsag

        parameters = {
            "doc_prune_ratio": self.document_prune,
            "window_size": _WINDOW,
            "term_id_limit": n_terms,
            "use_reorder": self.document_prune > 0,
        }
        description = {"dtype": "sparse", "dim": 512, "metric_type": "ip"}
        return pyvsag.Index("sindi", json.dumps({**description, "index_param": parameters}))


class VsagSindiPruned(VsagSindi):
    """SINDI on documents without their weakest 40 % of weight; the best are scored exactly."""

    name = "VSAG SINDI, pruned + reorder"
    document_prune = 0.4
    searches = {  # noqa: RUF012
        f"query prune {prune}, {candidates} candidates": (prune, candidates)
        for prune, candidates in ((0.5, 50), (0.5, 100), (0.3, 50), (0.3, 100), (0, 50), (0, 100))
    }


def _search(query_prune: float, candidates: int) -> str:
    parameters = {
        "query_prune_ratio": query_prune,
        "n_candidate": candidates,
        "term_prune_ratio": 0.0,
    }
    return json.dumps({"sindi": parameters})
