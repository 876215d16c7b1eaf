"""What a search returns: ``Hits`` as arrays for programs, ``Hit`` for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Hit:
    """One ranked document, ready to be shown."""

    doc_id: str
    score: float
    text: str = ""
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hits:
    """The best documents of Q queries, best first, ties by lower doc number.

    Args:
        docs: (Q, k) int64 doc numbers; -1 past a query's last hit.
        scores: (Q, k) float32; 0 past a query's last hit.
        counts: (Q,) int32, hits of each query.
        lookup: doc numbers -> {doc number: doc_id}; called when ``ids`` is first asked for.
    """

    docs: NDArray[np.int64]
    scores: NDArray[np.float32]
    counts: NDArray[np.int32]
    lookup: Callable[[list[int]], Mapping[int, str]] = field(repr=False)

    @cached_property
    def ids(self) -> list[list[str]]:
        """Q lists of doc_id, each as long as ``counts`` says."""
        wanted = np.unique(self.docs)
        doc_ids = self.lookup(wanted[wanted >= 0].tolist())
        return [
            [doc_ids[doc] for doc in row[:count].tolist()]
            for row, count in zip(self.docs, self.counts, strict=True)
        ]

    def __len__(self) -> int:
        """Queries."""
        return len(self.counts)
