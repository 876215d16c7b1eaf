"""A document encoder that reads what ``sparse-ir encode`` wrote: no corpus is encoded twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import scipy.sparse as sp

from sparse_ir import load_encoder
from sparse_ir.evaluation.collection import Collection
from sparse_ir.parquet import ParquetVectors
from sparse_ir.vectors import TermWeights

_ROWS = 8192  # read at once


class StoredVectors:
    """Knows the documents of one collection, each as a whole: it cuts no passages."""

    def __init__(self, path: Path, collection: Collection, model: str = "mini") -> None:
        self.vocabulary = load_encoder(model, role="query").vocabulary
        batches = list(ParquetVectors(path).batches(len(self.vocabulary), _ROWS))
        self._weights = sp.vstack([weights for _, weights in batches], format="csr")
        row_of = {doc_id: row for row, doc_id in enumerate(i for ids, _ in batches for i in ids)}
        self._rows = {one.content: row_of[one.doc_id] for one in collection.documents()}

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        on_progress: Callable[[int], None] | None = None,
    ) -> TermWeights:
        """As ``Encoder``; a text that is no document's is a KeyError."""
        if on_progress:
            on_progress(len(texts))
        return self._weights[[self._rows[text] for text in texts]]
