"""Ranking losses: functions of scores. Rows are queries, columns documents.

A pair may be masked out of a row by a score of ``-inf``, the student's for contrasts but
``IndividualTemperatures``, the teacher's for distillation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn


def info_nce(scores: Tensor, positives: Tensor, *, temperature: float | Tensor = 1.0) -> Tensor:
    """Mean over queries of -log softmax of the positive; several positives share the mass equally.

    Args:
        scores: (Q, D).
        positives: (Q, D) bool; rows without a positive count nothing.
        temperature: Scalar > 0, or (Q, 1) for individual ones.

    Returns:
        Scalar; 0 if no row has a positive.

    Source: van den Oord, Li, Vinyals 2018, arXiv:1807.03748, eq. 4; several positives as the
    outer sum of Khosla et al. 2020, "Supervised Contrastive Learning", arXiv:2004.11362, eq. 2.
    """
    return soft_contrastive(scores, positives.to(scores.dtype), temperature=temperature)


def soft_contrastive(
    scores: Tensor, relatedness: Tensor, *, temperature: float | Tensor = 1.0
) -> Tensor:
    """Continuously weighted contrastive loss: every pair attracts by its relatedness.

    Args:
        scores: (Q, D).
        relatedness: (Q, D) >= 0, as a teacher's similarity; rows of zeros count nothing.
        temperature: As ``info_nce``.

    Source: Srinivasa et al. 2023, "CWCL", arXiv:2309.14580, eq. 3.
    """
    log_p = torch.log_softmax(scores / temperature, dim=1)
    weighted = torch.where(relatedness > 0, relatedness * log_p, 0).sum(1)
    mass = relatedness.sum(1)
    counted = mass > 0
    if not counted.any():
        return scores.sum() * 0
    return -(weighted[counted] / mass[counted]).mean()


def decoupled_contrastive(
    scores: Tensor, positives: Tensor, *, temperature: float | Tensor = 1.0
) -> Tensor:
    """InfoNCE whose denominator leaves the positives out: no weaker gradient in small batches.

    Args:
        scores: (Q, D).
        positives: (Q, D) bool; rows without a positive or without a negative count nothing.
        temperature: As ``info_nce``.

    Source: Yeh et al. 2021, "Decoupled Contrastive Learning", arXiv:2110.06848, eq. 6.
    """
    logits = scores / temperature
    negatives = torch.logsumexp(logits.masked_fill(positives, -torch.inf), dim=1)
    counted = positives.any(1) & torch.isfinite(negatives)
    if not counted.any():
        return scores.sum() * 0
    n = positives.sum(1).clamp(min=1)
    attraction = torch.where(positives, logits, 0).sum(1) / n
    return (negatives - attraction)[counted].mean()


class IndividualTemperatures:
    """InfoNCE with one learned temperature a query, so that frequent topics tolerate more likeness.

    The state is a moving average of each query's exponential sum and its temperature; the loss is
    the weighted contrast whose gradient is that of the robust objective.

    Args:
        n_queries: Of the whole training set.
        initial: Temperature at the start.
        bounds: Least and greatest temperature.
        rho: Radius of the KL ball: greater keeps temperatures higher.
        momentum: Of the moving average, 0 < momentum <= 1.
        step: Learning rate of the temperatures.

    Source: Qiu et al. 2023, "Not All Semantics are Created Equal" (iSogCLR), arXiv:2305.11965,
    algorithm 1.
    """

    def __init__(
        self,
        n_queries: int,
        *,
        initial: float = 1.0,
        bounds: tuple[float, float] = (0.05, 5.0),
        rho: float = 3.0,
        momentum: float = 0.8,
        step: float = 0.01,
    ) -> None:
        self.temperatures = torch.full((n_queries,), initial)
        self._log_sums = torch.full((n_queries,), torch.nan)
        self._bounds = bounds
        self._rho = rho
        self._momentum = momentum
        self._step = step

    def __call__(self, scores: Tensor, positives: Tensor, query_numbers: Tensor) -> Tensor:
        """The loss of a batch; the state of its queries has moved on.

        Args:
            scores: (Q, D).
            positives: (Q, D) bool; rows without a positive or without a negative count nothing.
            query_numbers: (Q,) int64, the rows of the state.
        """
        counted = positives.any(1) & ~positives.all(1)
        if not counted.any():
            return scores.sum() * 0
        scores, positives, query_numbers = (t[counted] for t in (scores, positives, query_numbers))
        query_numbers = query_numbers.cpu()  # as the state, which is as long as the training set
        tau = self.temperatures[query_numbers].to(scores)[:, None]
        own = torch.where(positives, scores, 0).sum(1, keepdim=True) / positives.sum(1)[:, None]
        gaps = (scores - own).masked_fill(positives, -torch.inf)
        log_n = torch.log((~positives).sum(1).clamp(min=1).to(scores))
        log_mean = (torch.logsumexp(gaps / tau, 1) - log_n).detach()
        log_sum = self._updated(query_numbers, log_mean)
        weights = torch.exp(gaps.detach() / tau - log_n[:, None] - log_sum[:, None])
        finite = torch.where(positives, 0, gaps)
        self._move_temperatures(query_numbers, weights, finite.detach(), tau, log_sum)
        return (weights * finite).sum(1).mean()

    def share(self, query_numbers: Tensor) -> None:
        """Each process knows what the others learned of the queries of their batches.

        Args:
            query_numbers: (Q,) int64, of this process's batch; all processes call it at once.
        """
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return
        own = query_numbers.cpu()
        learned: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(
            learned, (own, self.temperatures[own], self._log_sums[own])
        )
        for numbers, temperatures, log_sums in learned:
            self.temperatures[numbers], self._log_sums[numbers] = temperatures, log_sums

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"temperatures": self.temperatures, "log_sums": self._log_sums}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from what ``state`` gave."""
        self.temperatures, self._log_sums = state["temperatures"], state["log_sums"]

    def _updated(self, numbers: Tensor, log_mean: Tensor) -> Tensor:
        before = self._log_sums[numbers].to(log_mean)
        before = torch.where(before.isnan(), log_mean, before)
        momentum = torch.tensor(self._momentum).to(log_mean)
        after = torch.logaddexp(before + torch.log1p(-momentum), log_mean + torch.log(momentum))
        self._log_sums[numbers] = after.to(self._log_sums)
        return after

    def _move_temperatures(
        self, numbers: Tensor, weights: Tensor, gaps: Tensor, tau: Tensor, log_sum: Tensor
    ) -> None:
        slope = log_sum + self._rho - (weights * gaps).sum(1) / tau.squeeze(1)
        moved = tau.squeeze(1) - self._step * slope
        self.temperatures[numbers] = moved.clamp(*self._bounds).to(self.temperatures)


def margin_mse(scores: Tensor, teacher: Tensor, positives: Tensor) -> Tensor:
    """Mean squared difference of student's and teacher's margins, positive minus negative.

    Args:
        scores: (Q, D).
        teacher: (Q, D), on the student's scale.
        positives: (Q, D) bool; each row's first positive is the one that margins are taken from.

    Returns:
        Scalar; 0 if the teacher knows no pair of a positive and a negative.

    Source: Hofstaetter et al. 2020, arXiv:2010.02666, eq. 5.
    """
    counted = positives.any(1)
    if not counted.any():
        return scores.sum() * 0
    first = positives.float().argmax(1, keepdim=True)
    error = (scores.gather(1, first) - scores) - (teacher.gather(1, first) - teacher)
    is_negative = ~positives & counted[:, None] & torch.isfinite(error)
    if not is_negative.any():
        return scores.sum() * 0
    return nn.functional.mse_loss(error[is_negative], torch.zeros_like(error[is_negative]))


def distillation(scores: Tensor, teacher: Tensor) -> Tensor:
    """Mean over queries of KL(softmax of teacher || softmax of student).

    Args:
        scores: (Q, D).
        teacher: (Q, D), already scaled; ``-inf`` leaves the pair out, for the student too.

    Source: Hinton, Vinyals, Dean 2015, arXiv:1503.02531; for inference-free students Geng, Ru,
    Yang 2024, arXiv:2411.04403, eq. 7.
    """
    out = torch.isinf(teacher)
    log_p = torch.log_softmax(scores.masked_fill(out, -torch.inf), dim=1)
    log_t = torch.log_softmax(teacher, dim=1)
    pairs = torch.where(out, 0, log_t.exp() * (log_t - log_p).masked_fill(out, 0))
    return pairs.sum(1).mean()
