"""Retrievers side by side on a test collection: quality, cost, and whether they differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from sparse_ir.corpus import Query
from sparse_ir.evaluation.collection import Collection
from sparse_ir.evaluation.evaluate import MEASURES, Evaluation, evaluate
from sparse_ir.evaluation.significance import Difference, difference, holm
from sparse_ir.evaluation.trec import Qrels, Run
from sparse_ir.retrieval.systems import Cost, Ranking, System

_TIMED_QUERIES = 200
_TIMED_HITS = 10
_BATCH = 64  # queries searched between reports of progress


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from a query's text to its ten hits, one at a time on one thread."""

    mean_ms: float
    median_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Outcome:
    """One system's row: the run, what it is worth, what it costs.

    Args:
        name: Of the system.
        run: None of it is in ``record``.
        evaluation: By query; its means are in ``record``.
        cost: None for a run from a file.
        latency: None for a run from a file.
    """

    name: str
    run: Run = field(repr=False)
    evaluation: Evaluation = field(repr=False)
    cost: Cost | None = None
    latency: Latency | None = None

    def record(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "measures": self.evaluation.means,
            "cost": asdict(self.cost) if self.cost else None,
            "latency": asdict(self.latency) if self.latency else None,
        }


@dataclass(frozen=True)
class Report:
    """All systems on one collection.

    Args:
        collection: Its name.
        split: Of its judgements.
        n_documents: None where only runs were measured.
        n_queries: Judged ones.
        outcomes: By system, in the order asked for.
        differences: By system, against ``baseline``, in the first measure; p-values corrected for
            all the comparisons of this report.
        baseline: Name of the system that the others are compared with.
    """

    collection: str
    split: str
    n_documents: int | None
    n_queries: int
    outcomes: Mapping[str, Outcome]
    differences: Mapping[str, Difference]
    baseline: str

    def record(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "collection": self.collection,
            "split": self.split,
            "documents": self.n_documents,
            "queries": self.n_queries,
            "systems": {name: outcome.record() for name, outcome in self.outcomes.items()},
            "baseline": self.baseline,
            "differences": {name: asdict(one) for name, one in self.differences.items()},
        }


def compare_systems(
    collection: Collection,
    systems: Mapping[str, System],
    *,
    n_documents: int | None = None,
    baseline: str | None = None,
    measures: Sequence[str] = MEASURES,
    k: int = 1000,
    threads: int = 1,
    on_progress: Callable[[int], None] | None = None,
) -> Report:
    """Each system searches all judged queries, is measured, timed, and compared.

    Args:
        collection: What to search for, and what is right.
        systems: By name, over the collection's documents.
        n_documents: For the report.
        baseline: One of the names; None takes the last.
        measures: As ``evaluate`` takes; the first is tested for significance.
        k: Hits a query.
        threads: Queries searched at once; times are taken on one.
        on_progress: Told how many more queries were searched, of systems x queries.
    """
    texts = [query.text for query in collection.queries]
    outcomes = []
    for name, system in systems.items():
        run = {}
        for query_id, ranking in rankings(system, collection.queries, k, threads=threads):
            run[query_id] = ranking
            if on_progress:
                on_progress(1)
        measured = evaluate(run, collection.qrels, measures)
        outcomes.append(Outcome(name, run, measured, system.cost(texts), _latency(system, texts)))
    return _report(collection.name, collection.split, n_documents, outcomes, baseline)


def compare_runs(
    runs: Mapping[str, Run],
    qrels: Qrels,
    *,
    name: str = "",
    split: str = "",
    baseline: str | None = None,
    measures: Sequence[str] = MEASURES,
) -> Report:
    """The same report for runs that were made elsewhere, by name."""
    outcomes = [Outcome(run, of, evaluate(of, qrels, measures)) for run, of in runs.items()]
    return _report(name, split, None, outcomes, baseline)


def rankings(
    system: System, queries: Sequence[Query], k: int, *, threads: int = 1
) -> Iterator[tuple[str, Ranking]]:
    """(query_id, {doc_id: score}) of each query, in batches: a run, as it comes."""
    waiting = iter(queries)
    while batch := list(islice(waiting, _BATCH)):
        found = system.rank([query.text for query in batch], k, threads=threads)
        yield from zip((query.query_id for query in batch), found, strict=True)


def _report(
    name: str,
    split: str,
    n_documents: int | None,
    outcomes: Sequence[Outcome],
    baseline: str | None,
) -> Report:
    by_name = {outcome.name: outcome for outcome in outcomes}
    base = baseline or outcomes[-1].name
    firsts = {name: next(iter(one.evaluation.by_query.values())) for name, one in by_name.items()}
    others = [name for name in by_name if name != base]
    differences = holm([difference(firsts[name], firsts[base]) for name in others])
    return Report(
        name,
        split,
        n_documents,
        len(firsts[base]),
        by_name,
        dict(zip(others, differences, strict=True)),
        base,
    )


def _latency(system: System, texts: Sequence[str]) -> Latency:
    timed = texts[:_TIMED_QUERIES]
    for text in timed[: len(timed) // 10 + 1]:  # files are mapped, words are looked up
        system.search([text], _TIMED_HITS)
    seconds = []
    for text in timed:
        start = time.perf_counter()
        system.search([text], _TIMED_HITS)
        seconds.append(time.perf_counter() - start)
    ms = np.array(seconds) * 1000
    return Latency(float(ms.mean()), float(np.median(ms)), float(np.quantile(ms, 0.99)))
