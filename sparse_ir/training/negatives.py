"""Hard negatives, mined with our own search: documents that rank high and answer nothing.

Source: the filter relative to the positive's score: Moreira et al. 2024, "NV-Retriever",
arXiv:2407.15831, section 3.2 (TopK-PercPos, 95 %).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparse_ir.errors import InvalidInputError
from sparse_ir.files import whole_file
from sparse_ir.retrieval.retriever import Retriever
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.teachers import PairScorer

_BATCH = 256  # queries searched at once


@dataclass(frozen=True, slots=True)
class Mining:
    """Which hits become negatives.

    Args:
        count: Negatives a query, at most.
        first: Best rank that is taken, from 1: the very best are often unjudged answers.
        last: Worst rank.
        margin: Hits to which the judge gives more than this share of the positive's score, of one
            below 0 as much less, are taken for answers, and left out.
        seed: Of the draw among what is left.
    """

    count: int = 8
    first: int = 2
    last: int = 100
    margin: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last or self.count < 1:
            raise InvalidInputError(
                f"ranks are {self.first} to {self.last}, count is {self.count}; "
                "want 1 <= first <= last and count >= 1"
            )


def mine_negatives(
    examples: TrainingSet,
    retriever: Retriever,
    judge: PairScorer | None,
    mining: Mining,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Each query of the examples has mined negatives, those it had in front.

    What answers a query answers each query of the same text, whichever document holds it.

    Args:
        examples: Are changed.
        retriever: Searches the documents of the examples, under their doc_ids; hits that are none
            of them do not count.
        judge: Has read the examples; None trusts every hit that is no positive.
        mining: Which hits are taken.
        on_progress: Told how many more queries are done.
    """
    row_of = {document.doc_id: row for row, document in enumerate(examples.documents)}
    same = _by_text(examples.queries)
    draw = np.random.default_rng(mining.seed)
    for start in range(0, len(examples.queries), _BATCH):
        texts = examples.queries[start : start + _BATCH]
        for query, hits in enumerate(retriever.search(texts, k=mining.last), start):
            # An index that was used before may hold other documents too.
            known = [row_of[hit.doc_id] for hit in hits if hit.doc_id in row_of]
            found = known[mining.first - 1 :]
            seeming = _not_known(examples, query, same[examples.queries[query]], found)
            if judge is not None:
                seeming = _not_answers(examples, judge, query, seeming, mining.margin)
            chosen = draw.permutation(len(seeming))[: mining.count]
            mined = tuple(seeming[i] for i in sorted(chosen))
            examples.negatives[query] = examples.negatives[query] + mined
        if on_progress:
            on_progress(len(texts))


def write_examples(
    examples: TrainingSet, path: Path, judges: Sequence[PairScorer] = ()
) -> tuple[int, int]:
    """(queries, negatives) that are in a JSONL file now, as ``read_training_set`` reads it.

    Queries of the same text are one line, and documents of the same text one text of it.

    Args:
        examples: Queries with positives and negatives.
        path: Replaced only when all is written.
        judges: The first one's scores are written, so that training needs no live teacher.
    """
    by_text, n_negatives = _by_text(examples.queries), 0
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as file:
        for text, queries in by_text.items():
            positives = _first_rows(examples, queries, examples.positives)
            negatives = _first_rows(examples, queries, examples.negatives)
            n_negatives += len(negatives)
            record: dict[str, object] = {
                "query": text,
                "positives": [*positives],
                "negatives": [*negatives],
            }
            if judges:
                # Of the first query and row of each text: others' last digits may differ.
                rows = np.array([*positives.values(), *negatives.values()], np.int64)
                scores = judges[0].scores(np.array(queries[:1]), rows)[0]
                record["scores"] = [round(float(score), 5) for score in scores]
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return len(by_text), n_negatives


def _by_text(queries: Sequence[str]) -> dict[str, list[int]]:
    """Of each text, the numbers of the queries with it."""
    numbers: dict[str, list[int]] = {}
    for number, text in enumerate(queries):
        numbers.setdefault(text, []).append(number)
    return numbers


def _first_rows(
    examples: TrainingSet, queries: Sequence[int], chosen: Sequence[Sequence[int]]
) -> dict[str, int]:
    """The texts of what is chosen for the queries, each with the first row that holds it."""
    rows: dict[str, int] = {}
    for query in queries:
        for row in chosen[query]:
            rows.setdefault(examples.documents[row].content, row)
    return rows


def _not_known(
    examples: TrainingSet, query: int, same: Sequence[int], rows: list[int]
) -> list[int]:
    """Those with a text that is no answer to a query of the same text, and no negative yet."""
    answers = _first_rows(examples, same, examples.positives)
    negatives = _first_rows(examples, [query], examples.negatives)
    known = {"", *answers, *negatives}  # an empty text is no negative: no reader takes it
    return [row for row in rows if examples.documents[row].content not in known]


def _not_answers(
    examples: TrainingSet, judge: PairScorer, query: int, rows: list[int], margin: float
) -> list[int]:
    positives = np.array(examples.positives[query], np.int64)
    if not rows or not len(positives):
        return rows
    asked = np.array([query])
    best = float(judge.scores(asked, positives).max())
    limit = best - (1 - margin) * abs(best)  # of a cross-encoder's logits too, which may be below 0
    scores = judge.scores(asked, np.array(rows))[0]
    return [row for row, score in zip(rows, scores, strict=True) if score <= limit]
