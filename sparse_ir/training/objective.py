"""What a step minimises: the ranking loss of both modes, and pressure on the number of terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from sparse_ir.errors import InvalidInputError
from sparse_ir.training import losses, sparsity
from sparse_ir.training.config import SparsityTable, TrainConfig
from sparse_ir.training.student import Scored, Student

Mode = Literal["anchored", "learned"]
_MODES: tuple[Mode, ...] = get_args(Mode)
_LEAST_WEIGHT = 1e-7  # that a controller can begin with


class Objective:
    """The loss of a batch, and what it remembers of the batches before.

    Args:
        student: Whose loss it is.
        config: The experiment.
        n_queries: Of the whole training set.
    """

    def __init__(self, student: Student, config: TrainConfig, *, n_queries: int) -> None:
        self._student = student
        self._config = config
        self._weight = config.sparsity.weight
        self._controller = _controller(config.sparsity)
        self._frequency = torch.zeros(len(student.bias))
        # One for each mode: their scores are on scales of their own.
        modes = _MODES if config.loss.contrast_kind == "individual" else ()
        self._individual = {mode: losses.IndividualTemperatures(n_queries) for mode in modes}
        self._counted_ratio = _counted_ratio(student, config)

    def __call__(
        self, scored: Scored, batch: Mapping[str, Any], *, step: int
    ) -> tuple[Tensor, dict[str, float]]:
        """(the loss, the numbers to log); the state has moved on.

        Args:
            scored: What the student makes of the batch.
            batch: As ``Batches`` gives it.
            step: Number of the step, from 0.
        """
        residual = self._config.loss.residual
        shares: dict[Mode, float] = {"anchored": residual, "learned": 1 - residual}
        parts = [part * self.ranking(mode, scored, batch) for mode, part in shares.items() if part]
        ranking, fires = torch.stack(parts).sum(), self._fires(scored)
        pressure = self._pressure(scored, fires, step)
        for temperatures in self._individual.values():
            temperatures.share(batch["query_numbers"])
        numbers = self._numbers(scored, batch, ranking, pressure, fires)
        return ranking + pressure, numbers

    def ranking(self, mode: Mode, scored: Scored, batch: Mapping[str, Any]) -> Tensor:
        """The ranking loss of one mode's scores."""
        table, positives = self._config.loss, batch["positives"]
        scores: Tensor = getattr(scored, mode)
        total = scores.sum() * 0
        if table.distillation:
            total = total + table.distillation * losses.distillation(scores, batch["teacher"])
        if table.margin_mse:
            total = total + table.margin_mse * losses.margin_mse(
                scores, batch["teacher"], positives
            )
        if table.contrast:
            total = total + table.contrast * self.contrast(mode, scores, batch)
        return total

    def contrast(self, mode: Mode, scores: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """The contrastive part of it, of (Q, D) scores, of the kind that is asked for."""
        table, positives, teacher = self._config.loss, batch["positives"], batch["teacher"]
        match table.contrast_kind:
            case "individual":
                return self._individual[mode](scores, positives, batch["query_numbers"])
            case "soft":
                scores = scores.masked_fill(torch.isneginf(teacher), -torch.inf)
                relatedness = teacher.clamp(min=0) / self._config.distillation.scale
                return losses.soft_contrastive(scores, relatedness, temperature=table.temperature)
            case "decoupled":
                return losses.decoupled_contrastive(
                    scores, positives, temperature=table.temperature
                )
            case "info_nce":
                return losses.info_nce(scores, positives, temperature=table.temperature)

    def _pressure(self, scored: Scored, fires: Tensor, step: int) -> Tensor:
        """The regularisers, weighed; lambda follows the number of terms."""
        table = self._config.sparsity
        shares = sparsity.mean_over_all(fires)
        self._frequency = 0.98 * self._frequency + 0.02 * shares.cpu()
        if self._controller:
            self._weight = self._controller.update(float(shares.sum()))
        ramp_steps = int(table.ramp * self._config.optimizer.steps)
        ramp = sparsity.quadratic_ramp(step, ramp_steps)
        pressure = ramp * self._weight * self.regularizer(scored)
        if table.query_l1:
            pressure = pressure + table.query_l1 * sparsity.l1(scored.queries)
        return pressure

    def _fires(self, scored: Scored) -> Tensor:
        """(D, V) 1 where a document has a term that counts."""
        documents = scored.documents.detach()
        least = self._counted_ratio * documents.amax(1, keepdim=True)
        return ((documents > 0) & (documents >= least)).float()

    def regularizer(self, scored: Scored) -> Tensor:
        """What presses on documents, of the kind that is asked for, not weighed yet."""
        table, documents = self._config.sparsity, scored.documents
        match table.regularizer:
            case "l1":
                return sparsity.l1(documents)
            case "df_flops":
                return sparsity.df_flops(documents, self._frequency.to(documents))
            case "joint_flops":
                return sparsity.joint_flops(scored.queries, documents)
            case "flops" if not self._student.network_queries:
                documents = documents * self._student.query_table().detach()
        return sparsity.flops(documents, least_terms=table.least_terms)

    def _numbers(
        self,
        scored: Scored,
        batch: Mapping[str, Any],
        ranking: Tensor,
        pressure: Tensor,
        fires: Tensor,
    ) -> dict[str, float]:
        student, documents = self._student, scored.documents.detach()
        return {
            "ranking": float(ranking.detach()),
            "pressure": float(pressure.detach()),
            "lambda": self._weight,
            "terms": float(fires.sum(1).mean()),
            "flops": float(sparsity.flops(documents)),
            "greatest_df": float((documents > 0).float().mean(0).max()),
            "g": student.anchor_weight,
            "scale": float(student.log_scale.detach().exp()),
            "learned_scale": float(student.log_learned_scale.detach().exp()),
            "teacher_agreement": batch["agreement"],
        }

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        controller = [self._weight, self._controller.terms if self._controller else 0.0]
        return {
            "controller": torch.tensor(controller, dtype=torch.float64),
            "frequency": self._frequency,
            **{
                f"{mode}.{name}": tensor
                for mode, temperatures in self._individual.items()
                for name, tensor in temperatures.state().items()
            },
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from what ``state`` gave.

        Raises:
            InvalidInputError: it was of a training with another loss, or of an earlier version.
        """
        if missing := self.state().keys() - state.keys():
            raise InvalidInputError(
                f"the checkpoint has no {min(missing)}: it is of another configuration or version; "
                "begin anew, without --resume"
            )
        self._weight, terms = state["controller"].tolist()
        if self._controller:
            self._controller.weight, self._controller.terms = self._weight, terms
        self._frequency = state["frequency"]
        for mode, temperatures in self._individual.items():
            own = {n: state[f"{mode}.{n}"] for n in temperatures.state()}
            temperatures.load_state(own)


def _counted_ratio(student: Student, config: TrainConfig) -> float:
    """That from which on terms count: as asked, or that at which the finished model prunes."""
    asked = (config.sparsity.counted_ratio, config.model.prune_ratio, student.settings.prune_ratio)
    return next(ratio for ratio in asked if ratio is not None)


def _controller(table: SparsityTable) -> sparsity.TermsController | None:
    """What moves lambda; None if it stays as it is."""
    if not table.target_terms:
        return None
    return sparsity.TermsController(table.target_terms, max(table.weight, _LEAST_WEIGHT))
