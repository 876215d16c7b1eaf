"""Our own index."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.engines.engine import Search
from sparse_ir import Approximate, Exact, Index, IndexWriter, _native
from sparse_ir.index.catalog import FORMAT_VERSION
from sparse_ir.index.params import BuildParams

_MOST_DOCS = {"float16": 10**9, "float32": 10**6, "uint8": 10**5}
SHARES = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7)  # of the bounds that are read; as default


class SparseIR:
    """Exact, and by the postings that promise most."""

    def __init__(self, precision: Literal["float32", "float16", "uint8"]) -> None:
        self.name = f"sparse_ir {precision}"
        shares = SHARES if precision == "float16" else ()
        self.settings = {
            "exact": Exact(),
            **{f"bound_share {share}": Approximate(bound_share=share) for share in shares},
        }
        self.most_docs = _MOST_DOCS[precision]
        self._params = BuildParams(precision, memory_mb=4096, threads=1)

    def version(self) -> str:
        code = hashlib.sha256(Path(_native.__file__).read_bytes()).hexdigest()[:12]
        return f"format {FORMAT_VERSION}, native {code}"

    def build(self, documents: Any, folder: Path) -> None:
        n_docs, n_terms = documents.shape
        with IndexWriter.create(folder, n_terms=n_terms, params=self._params) as writer:
            for start in range(0, n_docs, 2**17):
                rows = documents[start : start + 2**17]
                writer.add_vectors(rows, [str(start + i) for i in range(rows.shape[0])])
            writer.optimize()

    def open(self, folder: Path) -> Search:
        index = Index.open(folder)

        def search(query: Any, k: int, setting: Exact | Approximate) -> NDArray[np.int64]:
            hits = index.search_terms(*query, k, plan=setting)
            return hits.docs[0, : hits.counts[0]]

        return search

    def prepare(self, terms: NDArray[np.uint32], weights: NDArray[np.float32]) -> Any:
        return np.array([0, len(terms)]), terms, weights
