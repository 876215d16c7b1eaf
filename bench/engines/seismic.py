"""Seismic: clustered postings with summaries, approximate.

Source: Bruch et al. 2024, "Efficient Inverted Indexes for Approximate Retrieval over Learned
Sparse Representations", arXiv:2404.18812.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.engines.engine import Search

_POSTINGS_AT_MS_MARCO = 4000 * 4 / 8.8e6  # postings a list and document; the guide's, with reserve
_MOST_SMALL_TERMS = 2**16


class Seismic:
    """At the settings of its guide, with lists as long as the collection asks for."""

    name = "Seismic"
    settings = {  # noqa: RUF012
        f"cut {cut}, heap {heap}": (cut, heap)
        for cut, heap in ((3, 0.9), (5, 0.9), (8, 0.9), (8, 0.8), (12, 0.8), (20, 0.6))
    }
    most_docs = 500_000

    def version(self) -> str:
        return version("pyseismic-lsr")

    def build(self, documents: Any, folder: Path) -> None:
        import seismic

        n_docs, n_terms = documents.shape
        is_small = n_terms <= _MOST_SMALL_TERMS
        rows = seismic.SeismicDataset() if is_small else seismic.SeismicDatasetLV()
        names = np.array([str(term) for term in range(n_terms)], seismic.get_seismic_string())
        for doc in range(n_docs):
            row = slice(documents.indptr[doc], documents.indptr[doc + 1])
            rows.add_document(str(doc), names[documents.indices[row]], documents.data[row])
        kind = seismic.SeismicIndex if is_small else seismic.SeismicIndexLV
        index = kind.build_from_dataset(
            rows,
            n_postings=max(200, int(_POSTINGS_AT_MS_MARCO * n_docs)),
            centroid_fraction=0.2,
            summary_energy=0.5,
            max_fraction=6.0,
            num_threads=1,
        )
        index.save(str(folder / kind.__name__))

    def open(self, folder: Path) -> Search:
        import seismic

        (path,) = folder.iterdir()
        index = getattr(seismic, path.name.split(".")[0]).load(str(path))

        def search(query: Any, k: int, setting: tuple[int, float]) -> list[int]:
            hits = index.search("0", *query, k, *setting, 0, True)
            return [int(doc_id) for _, _, doc_id in hits]

        return search

    def prepare(self, terms: NDArray[np.uint32], weights: NDArray[np.float32]) -> Any:
        import seismic

        return np.array([str(term) for term in terms], seismic.get_seismic_string()), weights
