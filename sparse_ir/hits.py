"""What a search returns: ``Hits`` as arrays for programs, ``Hit`` for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Passage:
    """The part of a long document that the query matches best.

    Args:
        number: From 0.
        start: Its first character in the document's text.
        end: Behind its last character.
        text: The part itself.
    """

    number: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Leg:
    """What one of the fused rankings says of a document.

    Args:
        score: As it ranks alone.
        rank: Among the candidates of the query, from 1.
    """

    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class Hit:
    """One ranked document, ready to be shown."""

    doc_id: str
    score: float
    text: str = ""
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    passage: Passage | None = None
    """Which part scored; None if the document is one, or by words (``lexical``)."""

    legs: Mapping[str, Leg] = field(default_factory=dict)
    """Of a fused ranking: leg's name -> its score and rank."""


@dataclass(frozen=True)
class Hits:
    """The best documents of Q queries, best first, ties by lower doc number.

    There are k columns for the k hits wanted. Where the segments of the index hold fewer documents
    (deleted ones included), there is a column for each, and one if they hold none.

    Args:
        docs: (Q, k) int64 doc numbers; -1 past a query's last hit.
        scores: (Q, k) float32; 0 past a query's last hit.
        counts: (Q,) int32, hits of each query.
        lookup: doc numbers -> {doc number: doc_id}; called when ``ids`` is first asked for.
        passages: (Q, k) int32, the number of the best passage; -1 for documents that are one. None
            if passages did not count.
    """

    docs: NDArray[np.int64]
    scores: NDArray[np.float32]
    counts: NDArray[np.int32]
    lookup: Callable[[list[int]], Mapping[int, str]] = field(repr=False)
    passages: NDArray[np.int32] | None = None

    @cached_property
    def ids(self) -> list[list[str]]:
        """Q lists of doc_id, each as long as ``counts`` says."""
        wanted = np.unique(self.docs)
        doc_ids = self.lookup(wanted[wanted >= 0].tolist())
        return [
            [doc_ids[doc] for doc in row[:count].tolist()]
            for row, count in zip(self.docs, self.counts, strict=True)
        ]

    def rankings(self) -> list[dict[str, float]]:
        """Q times doc_id -> score, best first."""
        return [
            dict(zip(ids, scores, strict=False))  # scores go on past the last hit
            for ids, scores in zip(self.ids, self.scores.tolist(), strict=True)
        ]

    def run(self, query_ids: Sequence[str]) -> dict[str, dict[str, float]]:
        """The rankings as a TREC run: query_id -> doc_id -> score.

        Args:
            query_ids: Of the Q queries, in their order.
        """
        return dict(zip(query_ids, self.rankings(), strict=True))

    def __len__(self) -> int:
        """Queries."""
        return len(self.counts)
