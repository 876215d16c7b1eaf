"""The query table, fitted to documents that stay as they are.

A step of training compares a query with the documents of its batch. Once all documents are encoded,
a query is compared with the whole of its collection in less time, so the table learns from those
that it is confused with, wherever they are, and as search uses it: adapted to the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.retrieval.query_vectors import adapted_weights, anchor_weight
from sparse_ir.training.batches import TaughtSet, hidden_sources
from sparse_ir.training.config import TrainConfig
from sparse_ir.training.losses import distillation
from sparse_ir.training.teachers import Rows, Scores, ensemble
from sparse_ir.vectors import TermWeights

_SCALE_RATE = 1e-2


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
            _anchor_weight(anchor_weight, [d.content for d in examples.documents]),
        )


def fit_query_table(
    queries: LookupEncoder,
    collections: Sequence[EncodedSet],
    config: TrainConfig,
    *,
    collection_idf: bool,
    on_step: Callable[[int], None] = lambda n: None,
) -> LookupEncoder:
    """The encoder whose table ranks whole collections most as the teachers do.

    Documents are those that a teacher, the learned scores or the anchored ones have among the first
    ``nearest``, and others at random. Weights move on a logarithmic scale and are pulled to where
    they were, so that terms which few queries have stay there.

    Args:
        queries: What was trained.
        collections: What it is fitted to; each is drawn from by its share.
        config: The experiment; of it ``query_fit``, and what the loss is.
        collection_idf: Whether search adapts the table to a collection, as ``ModelSettings``.
        on_step: Told that one more is done.
    """
    table = config.query_fit
    shift = torch.zeros(len(queries.weights), requires_grad=True)
    log_scales = torch.full((2,), -1.0, requires_grad=True)
    optimizer = torch.optim.Adam(
        [{"params": [shift], "lr": table.rate}, {"params": [log_scales], "lr": _SCALE_RATE}]
    )
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=table.steps)
    shares = np.array([one.taught.share for one in collections])
    for step in range(table.steps):
        draw = np.random.default_rng((config.optimizer.seed, step))
        chosen = collections[draw.choice(len(collections), p=shares / shares.sum())]
        optimizer.zero_grad()
        loss = _loss(chosen, shift, log_scales, config, draw)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        decay.step()
        on_step(1)
    # Search takes the geometric mean with idf: there half of what the logarithm moves by is left.
    factor = torch.exp(shift.detach() * (2 if collection_idf else 1))
    return queries.with_weights(queries.weights * factor.numpy())


def _loss(
    collection: EncodedSet,
    shift: Tensor,
    log_scales: Tensor,
    config: TrainConfig,
    draw: np.random.Generator,
) -> Tensor:
    taught, table, share = collection.taught, config.query_fit, config.loss.residual
    n_queries, n_documents = len(taught.examples.queries), len(taught.examples.documents)
    rows = draw.choice(n_queries, min(table.queries, n_queries), replace=False)
    asked = collection.asked[rows]
    terms = np.unique(asked.indices)
    asked, columns = asked[:, terms], collection.documents[:, terms]
    weights = collection.weights[terms] * shift[terms].exp()
    everything = np.arange(n_documents)
    lexical = taught.lexical.scores(rows, everything)
    learned = ((asked * weights.detach().numpy()) @ columns.T).toarray()
    by_student = [learned, lexical + collection.anchor_weight * learned]
    target = _target(taught, rows, everything, by_student, config, draw)
    compared = np.flatnonzero(np.isfinite(target).any(0))
    teacher, bm25 = (torch.from_numpy(one[:, compared]) for one in (target, lexical))
    vectors = torch.from_numpy(columns[compared].toarray())
    scores = (torch.from_numpy(asked.toarray()) * weights) @ vectors.T
    both = (scores, bm25 + collection.anchor_weight * scores)
    of_learned, of_anchored = (
        distillation(scale * one, teacher)
        for scale, one in zip(log_scales.exp(), both, strict=True)
    )
    pull = table.pull * (shift[terms] ** 2).mean()
    return share * of_anchored + (1 - share) * of_learned + pull


def _target(
    taught: TaughtSet,
    rows: Rows,
    everything: Rows,
    by_student: Sequence[Scores],
    config: TrainConfig,
    draw: np.random.Generator,
) -> Scores:
    """(Q, D) the teachers' scaled scores of the documents that are compared, else -inf."""
    how, hide = config.distillation.normalization, config.batch.hide_source
    hidden = hidden_sources(taught.examples, rows, everything, share=hide, draw=draw)
    known = [(s, w) for s, w in zip(taught.scorers, taught.weights, strict=True) if s.is_cheap]
    given = [scorer.scores(rows, everything) for scorer, _ in known]
    weights = [weight for _, weight in known]
    compared = _confused([ensemble(given, weights, how=how), *by_student], hidden, config, draw)
    masked = [np.where(compared, scores, -np.inf).astype(np.float32) for scores in given]
    target: Scores = ensemble(masked, weights, how=how) * np.float32(config.distillation.scale)
    return target


def _confused(
    scores: Sequence[Scores],
    hidden: NDArray[np.bool_],
    config: TrainConfig,
    draw: np.random.Generator,
) -> NDArray[np.bool_]:
    """(Q, D) whether a document is compared: not hidden, and among somebody's first, or drawn."""
    n_queries, n_documents = hidden.shape
    chosen = np.zeros_like(hidden)
    nearest = min(config.query_fit.nearest, n_documents)
    for one in scores:
        visible = np.where(hidden, -np.inf, one)
        best = np.argpartition(-visible, nearest - 1, axis=1)[:, :nearest]
        np.put_along_axis(chosen, best, True, axis=1)
    others = draw.integers(0, n_documents, (n_queries, config.query_fit.others))
    np.put_along_axis(chosen, others, True, axis=1)
    return chosen & ~hidden


def _anchor_weight(of_model: float, texts: Sequence[str]) -> float:
    analyzer = Analyzer()
    length = float(np.mean([len(analyzer.words(text)) for text in texts]))
    return anchor_weight({"anchor_weight": of_model, "average_length": length})
