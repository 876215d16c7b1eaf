"""What keeps texts sparse: functions of term weights, and who sets their weight in the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor

from sparse_ir.errors import InvalidInputError


def flops(
    weights: Tensor, *, per_term: Tensor | None = None, least_terms: int | None = None
) -> Tensor:
    """Sum over terms of the squared mean weight, over the batch of all processes.

    Args:
        weights: (B, V) >= 0.
        per_term: (V,) factor of each term's square; None is 1.
        least_terms: Texts with no more terms than this are left alone (they count as zeros); None
            spares none.

    Source: Paria et al. 2020, arXiv:2004.05665, eq. 6; the spared texts: Shen et al. 2025, "l0
    mask", arXiv:2504.14839, eq. 5.
    """
    if least_terms is not None:
        weights = weights * ((weights > 0).sum(1, keepdim=True) > least_terms)
    squares = mean_over_all(weights) ** 2
    return (squares if per_term is None else squares * per_term).sum()


def idf_flops(weights: Tensor, idf: Tensor, *, least_terms: int | None = None) -> Tensor:
    """IDF-aware FLOPS of weights that carry their idf already: rare terms are penalised less.

    With a query side that multiplies by idf, plain ``flops`` of the unmultiplied document weights
    is the same number: ``flops(w) == idf_flops(idf * w, idf)``.

    Args:
        weights: (B, V) >= 0, idf included.
        idf: (V,) > 0.
        least_terms: As ``flops``.

    Source: Geng, Ru, Yang 2024, arXiv:2411.04403, section 3.2, in the explicit spelling.
    """
    return flops(weights, per_term=idf**-2, least_terms=least_terms)


def df_flops(
    weights: Tensor, document_frequency: Tensor, *, half: float = 0.1, steepness: float = 10.0
) -> Tensor:
    """FLOPS that presses on terms which fire in many documents, as stop words do.

    Args:
        weights: (B, V) >= 0.
        document_frequency: (V,) share of documents in which a term fires, 0..1.
        half: Share at which the factor is 1/2, 0 < half < 1.
        steepness: Of the rise.

    Source: Porco et al. 2025, "DF-FLOPS", arXiv:2505.15070, eq. 3 and 4.
    """
    share = document_frequency.clamp(min=1e-9, max=1)
    rarity = share ** (math.log(2) / math.log(half)) - 1  # 0 in every document, 1 at ``half``
    factor = 1 / (1 + rarity**steepness)
    return flops(weights, per_term=factor**2)


def l1(weights: Tensor) -> Tensor:
    """Mean over texts of the sum of weights, (B, V) >= 0: what keeps queries short."""
    # Summed first: the columns of queries that are looked up are those of a process's own batch.
    return mean_over_all(weights.sum(1, keepdim=True)).sum()


def joint_flops(queries: Tensor, documents: Tensor) -> Tensor:
    """Sum over terms of mean query weight x mean document weight: the expected cost of a search.

    Args:
        queries: (Q, V) >= 0.
        documents: (D, V) >= 0.

    Source: Lassance, Clinchant 2022, arXiv:2207.03834, section 3.
    """
    return (mean_over_all(queries) * mean_over_all(documents)).sum()


def mean_over_all(weights: Tensor) -> Tensor:
    """(V,) mean of the rows of all processes' batches, differentiable on each.

    Its gradient is right under data parallelism, which averages gradients over processes: each
    process gets the sum of all processes' gradients, and averages give the global batch's.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return weights.mean(0)
    from torch.distributed.nn.functional import all_reduce

    n = torch.tensor(float(len(weights)), device=weights.device)
    torch.distributed.all_reduce(n)
    total: Tensor = all_reduce(weights.sum(0))  # type: ignore[no-untyped-call]
    return total / n


def quadratic_ramp(step: int, ramp_steps: int) -> float:
    """min(1, (step + 1) / ramp_steps) ** 2: regularisation waits until ranking has begun.

    Source: Formal, Piwowarski, Clinchant 2021, "SPLADE", arXiv:2107.05720, section 4.
    """
    return min(1.0, (step + 1) / max(1, ramp_steps)) ** 2


@dataclass(slots=True)
class TermsController:
    """Moves the regulariser's weight so that documents have as many terms as wanted.

    Nobody knows what lambda gives 150 terms; this finds it, and follows where training leads.

    Args:
        target: Terms a document, > 0.
        weight: Lambda at the start, > 0.
        gain: How fast lambda follows: at twice the target it grows by this rate a step.
        memory: Of the moving average of terms, 0 <= memory < 1.
        bounds: Least and greatest lambda.
    """

    target: float
    weight: float
    gain: float = 0.01
    memory: float = 0.95
    bounds: tuple[float, float] = (1e-7, 10.0)
    terms: float = 0.0

    def __post_init__(self) -> None:
        if self.target <= 0 or self.weight <= 0:
            raise InvalidInputError(
                f"target terms is {self.target}, weight is {self.weight}; want both > 0"
            )

    def update(self, terms: float) -> float:
        """Lambda for the next step, after a batch with ``terms`` terms a document."""
        self.terms = self.memory * self.terms + (1 - self.memory) * terms if self.terms else terms
        error = max(-1.0, min(1.0, self.terms / self.target - 1))
        self.weight = max(
            self.bounds[0], min(self.bounds[1], self.weight * math.exp(self.gain * error))
        )
        return self.weight
