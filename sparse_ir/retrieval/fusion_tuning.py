"""Which fusion suits an index: chosen by judgements, or by what the legs agree on.

The gain that is reported is that of queries which the choice has not seen (cross-validation), with
its confidence interval by the bootstrap.

Source: pseudo-judgements from the agreement of systems: Wu, Crestani 2003, "Methods for Ranking
Information Retrieval Systems Without Relevance Judgments".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from sparse_ir.corpus import Query
from sparse_ir.errors import InvalidInputError
from sparse_ir.evaluation.evaluate import cutoff, evaluate
from sparse_ir.evaluation.trec import Qrels, Run
from sparse_ir.retrieval.candidates import CandidateScores
from sparse_ir.retrieval.fusion import Fusion
from sparse_ir.retrieval.hybrid import DEFAULT_FUSION, HybridRetriever
from sparse_ir.retrieval.query_vectors import Mode

_WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_RANK_CONSTANTS = (10.0, 60.0)
_LEAST_QUERIES = 10
_FOLDS = 5
_AGREEING = 10  # first hits of each leg that are asked what they agree on
_BATCH = 64  # queries searched between reports of progress
_DRAWN = 2**20  # values that the bootstrap holds at once
_SEED = 20030904


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better the chosen fusion is on queries that it was not chosen on.

    Args:
        mean: Of the measure's differences.
        low: Lower end of the 95 % confidence interval.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was found.

    Args:
        fusion: The best on all queries.
        measure: By which.
        n_queries: Judged ones.
        is_judged: Whether by judgements; else by agreement.
        values: Means of the measure: ``sparse``, ``dense``, ``default``, ``chosen`` (each query by
            what was chosen without it).
        gains: Of ``chosen`` over each of the other three.
    """

    fusion: Fusion
    measure: str
    n_queries: int
    is_judged: bool
    values: Mapping[str, float]
    gains: Mapping[str, Gain]

    @property
    def is_better(self) -> bool:
        """Whether the choice beat the default on queries that it has not seen."""
        return self.gains["default"].mean > 0

    def record(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "is_better": self.is_better}


def tune_fusion(
    retriever: HybridRetriever,
    queries: Sequence[Query],
    qrels: Qrels | None = None,
    *,
    sparse_mode: Mode = "anchored",
    measure: str = "nDCG@10",
    on_progress: Callable[[int], None] = lambda n: None,
) -> Tuning:
    """The best of all methods and weights, and what it gains.

    Args:
        retriever: Of an index with a dense part.
        queries: Those without a judgement do not count.
        qrels: None takes for relevant what two of BM25, the learned terms and the dense leg have
            among their first ten, the more the better: agreement, not truth.
        sparse_mode: The sparse leg.
        measure: A name of ir-measures; one without a cutoff looks at all candidates.
        on_progress: Told how many more queries were searched.

    Raises:
        InvalidInputError: fewer than 10 judged queries, or an unknown measure.
        MissingDependencyError: ``ir-measures`` is not installed.
    """
    n_hits = cutoff(measure)
    depth = max(DEFAULT_FUSION.depth, n_hits or 0)  # as a search for so many hits
    judged = _agreement(retriever, queries) if qrels is None else qrels
    asked = [query for query in queries if any(judged.get(query.query_id, {}).values())]
    if len(asked) < _LEAST_QUERIES:
        raise InvalidInputError(
            f"{len(asked)} judged queries came; want {_LEAST_QUERIES} or more to choose a fusion"
        )
    judged = {query.query_id: judged[query.query_id] for query in asked}
    found: dict[str, CandidateScores] = {}
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        texts = [query.text for query in batch]
        scores = retriever.find_candidates(texts, depth, sparse_mode=sparse_mode)
        found |= dict(zip((query.query_id for query in batch), scores, strict=True))
        on_progress(len(batch))
    names = retriever.index.doc_ids(
        np.unique(np.concatenate([one.docs for one in found.values()])).tolist()
    )

    def values(fusion: Fusion) -> NDArray[np.float64]:
        by_query = evaluate(_run(found, fusion, n_hits, names), judged, [measure]).by_query[measure]
        return np.array([by_query[query_id] for query_id in judged])

    tried = fusions()
    table = np.stack([values(fusion) for fusion in tried])
    compared = {
        "sparse": values(replace(DEFAULT_FUSION, dense_weight=0.0)),
        "dense": values(replace(DEFAULT_FUSION, dense_weight=1.0)),
        "default": values(DEFAULT_FUSION),
    }
    unseen = cross_validated(table)
    return Tuning(
        tried[int(table.mean(1).argmax())],
        measure,
        len(judged),
        qrels is not None,
        {**{name: float(of.mean()) for name, of in compared.items()}, "chosen": unseen.mean()},
        {name: _gain(unseen - of) for name, of in compared.items()},
    )


def fusions() -> list[Fusion]:
    """All that are tried."""
    scaled = [
        Fusion(method, weight)
        for method in ("minmax", "theoretical", "zscore", "distribution")
        for weight in _WEIGHTS
    ]
    return scaled + [Fusion("rrf", weight, k) for k in _RANK_CONSTANTS for weight in _WEIGHTS]


def cross_validated(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """(Q,) each query's value by the row that is best on the queries of the other folds.

    Args:
        table: (choices, Q) values.
    """
    n_queries = table.shape[1]
    order = np.random.default_rng(_SEED).permutation(n_queries)
    result = np.empty(n_queries)
    for fold in range(_FOLDS):
        held_out = order[fold::_FOLDS]
        others = np.setdiff1d(order, held_out)
        result[held_out] = table[table[:, others].mean(1).argmax(), held_out]
    return result


def _run(
    found: Mapping[str, CandidateScores],
    fusion: Fusion,
    n_hits: int | None,
    names: Mapping[int, str],
) -> Run:
    run: Run = {}
    for query_id, one in found.items():
        scores = fusion(one.sparse.astype(np.float64), one.dense.astype(np.float64), one.is_near)
        best = np.lexsort((one.docs, -scores))[:n_hits]
        run[query_id] = {
            names[doc]: score
            for doc, score in zip(one.docs[best].tolist(), scores[best].tolist(), strict=True)
        }
    return run


def _agreement(retriever: HybridRetriever, queries: Sequence[Query]) -> Qrels:
    """query_id -> doc_id -> how many legs more than one have it among their first hits."""
    texts = [query.text for query in queries]
    modes = ("lexical", "learned", "dense")
    ids = [retriever.search_arrays(texts, _AGREEING, mode=mode).ids for mode in modes]  # type: ignore[arg-type]
    return {
        query.query_id: _shared(of_legs)
        for query, of_legs in zip(queries, zip(*ids, strict=True), strict=True)
    }


def _shared(rankings: Iterable[Sequence[str]]) -> dict[str, int]:
    votes = Counter(chain.from_iterable(rankings))
    return {doc_id: n - 1 for doc_id, n in votes.items() if n > 1}


def _gain(differences: NDArray[np.float64]) -> Gain:
    mean = float(differences.mean())
    if (differences == differences[0]).all():
        return Gain(mean, mean, mean)
    interval = scipy.stats.bootstrap(
        (differences,),
        np.mean,
        method="percentile",
        batch=max(1, _DRAWN // len(differences)),
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Gain(mean, float(interval.low), float(interval.high))
