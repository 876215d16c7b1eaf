"""Mixture: training sets that teachers have read; each batch is made of one, drawn by its share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparse_ir.errors import InvalidInputError
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.teachers import PairScorer, Rows


@dataclass(frozen=True, slots=True)
class TaughtSet:
    """A training set that the teachers have read.

    Args:
        examples: The set.
        scorers: One a teacher.
        weights: One a teacher.
        lexical: BM25, for residual training.
        share: Of batches, relative to the other sets.
        near: Of each document, documents that a teacher confuses with it.
    """

    examples: TrainingSet
    scorers: Sequence[PairScorer]
    weights: Sequence[float]
    lexical: PairScorer
    share: float
    near: Sequence[Rows]


class Mixture:
    """Sets from which batches are drawn, each decided by seed and number alone.

    Args:
        sets: At least one.
        seed: Of everything drawn.

    Raises:
        InvalidInputError: no set came.
    """

    def __init__(self, sets: Sequence[TaughtSet], seed: int) -> None:
        if not sets:
            raise InvalidInputError("no training set came; want at least one")
        self.sets = sets
        counts = [len(taught.examples.queries) for taught in sets]
        self.n_queries = sum(counts)
        self._first_queries = np.cumsum([0, *counts])
        shares = np.array([taught.share for taught in sets])
        self._shares = shares / shares.sum()
        self._seed = seed

    def draw(self, number: int) -> tuple[int, np.random.Generator]:
        """(the set that batch ``number`` is made of, what decides the rest of it)."""
        draw = np.random.default_rng((self._seed, number))
        return int(draw.choice(len(self.sets), p=self._shares)), draw

    def query_numbers(self, chosen: int, rows: Rows) -> Rows:
        """The numbers that queries of one set have among those of all."""
        numbers: Rows = rows + self._first_queries[chosen]
        return numbers
