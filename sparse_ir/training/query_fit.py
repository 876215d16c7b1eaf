"""The query table, fitted to documents that stay as they are.

A step of training compares a query with the documents of its batch. Once all documents are encoded,
a query is compared with the whole of its collection in less time, so the table learns from those
that it is confused with, wherever they are, and as search uses it: adapted to the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.training.config import TrainConfig
from sparse_ir.training.encoded_set import EncodedSet
from sparse_ir.training.losses import distillation
from sparse_ir.training.mixture import Mixture

_SCALE_RATE = 1e-2


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
    mixture = Mixture([one.taught for one in collections], config.optimizer.seed)
    for step in range(table.steps):
        chosen, draw = mixture.draw(step)
        optimizer.zero_grad()
        loss = _loss(collections[chosen], shift, log_scales, config, draw)
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
    found = collection.compare(config, draw, shift.detach().exp().numpy())
    compared, terms = found.compared, found.terms
    weights = collection.weights[terms] * shift[terms].exp()
    target, bm25 = (torch.from_numpy(one[:, compared]) for one in (found.target, found.lexical))
    vectors = torch.from_numpy(found.vectors[compared].toarray())
    scores = (torch.from_numpy(found.asked.toarray()) * weights) @ vectors.T
    both = (scores, bm25 + collection.anchor_weight * scores)
    of_learned, of_anchored = (
        distillation(scale * one, target) for scale, one in zip(log_scales.exp(), both, strict=True)
    )
    share, pull = config.loss.residual, config.query_fit.pull * (shift[terms] ** 2).mean()
    return share * of_anchored + (1 - share) * of_learned + pull
