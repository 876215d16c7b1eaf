"""Two runs, query by query: where the first falls behind, and by which documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sparse_ir.errors import InvalidInputError
from sparse_ir.evaluation.evaluate import Evaluation
from sparse_ir.evaluation.trec import Qrels, Run, ranked


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a document stands in two runs.

    Args:
        doc_id: Of the document.
        grade: Its judgement; None if nobody judged it.
        first: Its rank in the first run, from 1; None if it is not there.
        second: The same of the second.
    """

    doc_id: str
    grade: int | None
    first: int | None
    second: int | None


@dataclass(frozen=True, slots=True)
class LostQuery:
    """A query that the first run answers worse.

    Args:
        query_id: Of the query.
        first: The measure in the first run.
        second: The same in the second.
        relevant: The relevant document that fell furthest; None if none fell.
        intruder: The best document of the first run that is not relevant and that the second ranks
            lower; None if there is none.
    """

    query_id: str
    first: float
    second: float
    relevant: Placed | None
    intruder: Placed | None


def lost_queries(
    first: Run, second: Run, qrels: Qrels, measured: tuple[Evaluation, Evaluation], n: int = 10
) -> list[LostQuery]:
    """The n queries on which the first run is furthest behind the second, worst first.

    Args:
        first: A run.
        second: Another.
        qrels: The judgements.
        measured: Both runs' values; of several measures the first counts.
        n: Queries wanted at most, >= 0; those where it is not behind are not among them.

    Raises:
        InvalidInputError: n < 0.
    """
    if n < 0:
        raise InvalidInputError(f"n is {n}; want an integer >= 0")
    a, b = (next(iter(one.by_query.values())) for one in measured)
    behind = sorted(query_id for query_id in qrels if a[query_id] < b[query_id])
    behind.sort(key=lambda query_id: a[query_id] - b[query_id])
    return [
        LostQuery(
            query_id,
            a[query_id],
            b[query_id],
            *_why(first.get(query_id, {}), second.get(query_id, {}), qrels[query_id]),
        )
        for query_id in behind[:n]
    ]


def _why(
    first: Mapping[str, float], second: Mapping[str, float], grades: Mapping[str, int]
) -> tuple[Placed | None, Placed | None]:
    ranks_a, ranks_b = _ranks(first), _ranks(second)

    def fall(doc_id: str) -> float:
        """How much further up the second run has it, in reciprocal ranks: the top counts most."""
        return 1 / ranks_b[doc_id] - (1 / ranks_a[doc_id] if doc_id in ranks_a else 0)

    def placed(doc_id: str) -> Placed:
        return Placed(doc_id, grades.get(doc_id), ranks_a.get(doc_id), ranks_b.get(doc_id))

    fallen = [one for one in ranks_b if grades.get(one, 0) > 0 and fall(one) > 0]
    risen = [
        one
        for one, rank in ranks_a.items()
        if grades.get(one, 0) <= 0 and rank < ranks_b.get(one, len(ranks_b) + 1)
    ]
    return (
        placed(max(fallen, key=fall)) if fallen else None,
        placed(min(risen, key=ranks_a.__getitem__)) if risen else None,
    )


def _ranks(scores: Mapping[str, float]) -> dict[str, int]:
    return {doc_id: rank for rank, (doc_id, _) in enumerate(ranked(scores), 1)}
