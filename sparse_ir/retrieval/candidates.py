"""The candidates of a hybrid search: what a leg found, scored by both legs, and fused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparse_ir.hits import Hits, Leg
from sparse_ir.index.dense import DenseHits, Scored
from sparse_ir.retrieval.fusion import Fusion, ranks

Docs = NDArray[np.int64]
Lookup = Callable[[list[int]], Mapping[int, str]]
Legs = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class CandidateScores:
    """The candidates of one query, before they are fused.

    Args:
        docs: (n,) int64 doc numbers, ascending.
        sparse: (n,) float32, exact.
        dense: (n,) float32, exact.
        passages: (n,) int32 the best passage as the dense leg has it; -1 of those that are one.
        is_near: (n,) whether a leg has it among its first ``fusion.depth``.
        n_vectors: Read from the disk for it.
    """

    docs: NDArray[np.int64]
    sparse: NDArray[np.float32]
    dense: NDArray[np.float32]
    passages: NDArray[np.int32]
    is_near: NDArray[np.bool_]
    n_vectors: int


@dataclass(frozen=True)
class FusedHits:
    """What a hybrid search gives, as arrays.

    Args:
        hits: The fused ranking, with the best passages as the dense leg has them.
        names: Of the two legs, sparse and dense.
        leg_scores: (2, Q, k) float32, exact.
        leg_ranks: (2, Q, k) float32 among the query's candidates, from 1, equals sharing the mean.
        n_candidates: (Q,) int64.
        bytes_read: (Q,) int64 of float16 vectors on the disk.
    """

    hits: Hits
    names: tuple[str, str]
    leg_scores: NDArray[np.float32]
    leg_ranks: NDArray[np.float32]
    n_candidates: NDArray[np.int64]
    bytes_read: NDArray[np.int64]

    def legs(self, query: int, rank: int) -> dict[str, Leg]:
        """Leg's name -> its score and rank, of one hit."""
        return {
            name: Leg(float(scores[query, rank]), int(leg_ranks[query, rank]))
            for name, scores, leg_ranks in zip(
                self.names, self.leg_scores, self.leg_ranks, strict=True
            )
        }


def score_candidates(
    query: int,
    sparse: Hits,
    dense: DenseHits | None,
    *,
    near: int,
    score: Callable[[Docs], NDArray[np.float32]],
    verify: Callable[[Docs], Scored],
) -> CandidateScores:
    """The documents that a leg found for a query, with the scores of both.

    Args:
        query: Which of those that the legs were asked.
        sparse: What the sparse leg found for them.
        dense: What the dense leg found; None if it only verifies.
        near: Of each leg so many, its best, are ``is_near``.
        score: Sparse scores of documents (ascending) that the sparse leg did not find.
        verify: Dense scores of documents (ascending).
    """
    legs = [sparse] if dense is None else [sparse, dense]
    docs = _found_by(legs, query)
    scores = _known(sparse, query, docs)
    unknown = np.isnan(scores)
    if unknown.any():
        scores[unknown] = score(docs[unknown])
    is_near = np.zeros(len(docs), np.bool_)
    is_near[np.searchsorted(docs, _found_by(legs, query, near))] = True
    verified = verify(docs)
    n_searched = 0 if dense is None else int(dense.n_vectors[query])
    return CandidateScores(
        docs,
        scores,
        verified.scores,
        verified.passages,
        is_near,
        n_searched + verified.n_vectors,
    )


def fuse(
    candidates: Sequence[CandidateScores], fusion: Fusion, k: int, lookup: Lookup
) -> tuple[Hits, Legs]:
    """The k best of each query's candidates, and the legs' scores and ranks of them: (2, Q, k).

    Args:
        candidates: Of Q queries.
        fusion: Makes one score of two.
        k: Hits wanted a query, >= 1.
        lookup: As ``Hits`` has it.
    """
    shape = (len(candidates), k)
    docs, passages = np.full(shape, -1, np.int64), np.full(shape, -1, np.int32)
    scores, counts = np.zeros(shape, np.float32), np.zeros(len(candidates), np.int32)
    leg_scores, leg_ranks = np.zeros((2, *shape), np.float32), np.zeros((2, *shape), np.float32)
    for query, one in enumerate(candidates):
        legs = np.stack([one.sparse, one.dense]).astype(np.float64)
        fused = fusion(legs[0], legs[1], one.is_near).astype(np.float32)
        best = np.lexsort((one.docs, -fused))[:k]
        n = counts[query] = len(best)
        docs[query, :n], scores[query, :n] = one.docs[best], fused[best]
        passages[query, :n] = one.passages[best]
        leg_scores[:, query, :n] = legs[:, best]
        leg_ranks[:, query, :n] = np.stack([ranks(leg) for leg in legs])[:, best]
    return Hits(docs, scores, counts, lookup, passages), (leg_scores, leg_ranks)


def _found_by(legs: Sequence[Hits], query: int, n: int | None = None) -> Docs:
    """The documents that any leg found, ascending; with n only its first n."""
    return np.unique(np.concatenate([one.docs[query, : one.counts[query]][:n] for one in legs]))


def _known(found: Hits, query: int, docs: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n,) the scores with which these documents (ascending) were found; NaN if they were not."""
    n = int(found.counts[query])
    scores = np.full(len(docs), np.nan, np.float32)
    scores[np.searchsorted(docs, found.docs[query, :n])] = found.scores[query, :n]
    return scores
