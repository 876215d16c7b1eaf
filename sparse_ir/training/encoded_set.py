"""Training sets whose documents are encoded: a query is compared with its whole collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.retrieval.query_vectors import adapted_weights, anchor_weight
from sparse_ir.training.batches import hidden_sources
from sparse_ir.training.config import QueryFitTable, TrainConfig
from sparse_ir.training.mixture import TaughtSet
from sparse_ir.training.teachers import Rows, Scores, ensemble
from sparse_ir.vectors import TermWeights


@dataclass(frozen=True, slots=True)
class EncodedSet:
    """A training set with its documents encoded.

    Args:
        taught: The set; its cheap teachers are asked, for all documents at once.
        documents: (D, V) term weights.
        asked: (Q, V) how often each query has each term that weighs something.
        weights: (V,) the query table as search in this collection has it.
        anchor_weight: g of search in it.
    """

    taught: TaughtSet
    documents: sp.csc_array
    asked: sp.csr_array
    weights: Tensor
    anchor_weight: float

    @classmethod
    def of(
        cls,
        taught: TaughtSet,
        documents: TermWeights,
        queries: LookupEncoder,
        *,
        anchor_weight: float,
        collection_idf: bool,
        analyzer: Analyzer | None = None,
    ) -> EncodedSet:
        """The set with the vectors of its documents, and what ``queries`` makes of its queries."""
        columns, examples, weights = sp.csc_array(documents), taught.examples, queries.weights
        once = queries.with_weights((weights > 0).astype(np.float32))
        if collection_idf:
            weights = adapted_weights(weights, np.diff(columns.indptr), columns.shape[0])
        return cls(
            taught,
            columns,
            sp.csr_array(once.encode(examples.queries)),
            torch.from_numpy(weights),
            _anchor_weight(anchor_weight, examples.documents, analyzer or Analyzer()),
        )

    def compare(
        self, config: TrainConfig, draw: np.random.Generator, factors: NDArray[np.float32]
    ) -> Comparison:
        """Queries drawn from the set, with what there is to say of all its documents.

        Args:
            config: The experiment; of it ``query_fit``, and what teachers' scores become.
            draw: Decides what is drawn.
            factors: (V,) by which the query table has changed.
        """
        n_queries = len(self.taught.examples.queries)
        rows = draw.choice(n_queries, min(config.query_fit.queries, n_queries), replace=False)
        asked = self.asked[rows]
        terms = np.unique(asked.indices)
        asked, vectors = asked[:, terms], self.documents[:, terms]
        weights = self.weights[terms].numpy() * factors[terms]
        learned = ((asked * weights) @ vectors.T).toarray()
        lexical = self.taught.lexical.scores(rows, np.arange(vectors.shape[0]))
        anchored = lexical + self.anchor_weight * learned
        target = _target(self.taught, rows, (learned, anchored), config, draw)
        return Comparison(terms, asked, vectors, lexical, target)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Some queries of a set against its documents.

    Args:
        terms: (C,) what the queries ask.
        asked: (Q, C) how often.
        vectors: (D, C) what documents weigh there.
        lexical: (Q, D) BM25.
        target: (Q, D) the teachers' scaled scores of the documents that are compared, else -inf.
    """

    terms: Rows
    asked: sp.csr_array
    vectors: sp.csc_array
    lexical: Scores
    target: Scores

    @property
    def compared(self) -> Rows:
        """(K,) the documents that some query is compared with."""
        return np.flatnonzero(np.isfinite(self.target).any(0))


def _target(
    taught: TaughtSet,
    rows: Rows,
    by_student: Sequence[Scores],
    config: TrainConfig,
    draw: np.random.Generator,
) -> Scores:
    """As ``Comparison.target``."""
    how, hide = config.distillation.normalization, config.batch.hide_source
    everything = np.arange(len(taught.examples.documents))
    hidden = hidden_sources(taught.examples, rows, everything, share=hide, draw=draw)
    known = [(s, w) for s, w in zip(taught.scorers, taught.weights, strict=True) if s.is_cheap]
    given = [scorer.scores(rows, everything) for scorer, _ in known]
    weights = [weight for _, weight in known]
    rankings = [ensemble(given, weights, how=how), *by_student]
    compared = _confused(rankings, hidden, config.query_fit, draw)
    masked = [np.where(compared, scores, -np.inf).astype(np.float32) for scores in given]
    target: Scores = ensemble(masked, weights, how=how) * np.float32(config.distillation.scale)
    return target


def _confused(
    scores: Sequence[Scores],
    hidden: NDArray[np.bool_],
    table: QueryFitTable,
    draw: np.random.Generator,
) -> NDArray[np.bool_]:
    """(Q, D) whether a document is compared: not hidden, and among somebody's first, or drawn."""
    n_queries, n_documents = hidden.shape
    chosen = np.zeros_like(hidden)
    nearest = min(table.nearest, n_documents)
    for one in scores:
        visible = np.where(hidden, -np.inf, one)
        best = np.argpartition(-visible, nearest - 1, axis=1)[:, :nearest]
        np.put_along_axis(chosen, best, True, axis=1)
    others = draw.integers(0, n_documents, (n_queries, table.others))
    np.put_along_axis(chosen, others, True, axis=1)
    return chosen & ~hidden


def _anchor_weight(of_model: float, documents: Sequence[Document], analyzer: Analyzer) -> float:
    length = float(np.mean([len(analyzer.document_words(document)) for document in documents]))
    return anchor_weight({"anchor_weight": of_model, "average_length": length})
