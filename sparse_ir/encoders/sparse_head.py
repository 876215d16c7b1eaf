"""The sparse head: hidden states to term weights, without ever holding a logit for every token.

The vocabulary is cut in tiles; of each tile's logits only the maximum over the tokens is kept. As
the activation grows with its input, bias and activation come after the maximum, on (B, V) numbers.

Source: Formal, Lassance, Piwowarski, Clinchant 2021, "SPLADE v2", arXiv:2109.10086, eq. 6 (max
pooling); the activation's second logarithm: Shen et al. 2025, arXiv:2504.14839.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from sparse_ir.encoders.pruning import prune
from sparse_ir.errors import InvalidInputError
from sparse_ir.vectors import TermWeights

_TILE_BYTES = 4 * 2**20  # of logits: they stay in cache between product and maximum
_MASKED = -1e9
ACTIVATIONS = {"log1p_relu": 1, "log1p_log1p_relu": 2}  # logarithms after the relu


class Screen(Protocol):
    """Says which terms may fire without multiplying all of them exactly."""

    matrix: Tensor
    """(V, width) by which it multiplies."""

    def may_fire(self, states: Tensor, mask: Tensor, bias: Tensor) -> Tensor | None:
        """(B, V) False only where the weight would be 0; None for all of them.

        Args:
            states: (B, T, H) in the type of the head.
            mask: (B, T) 1 for tokens, 0 for padding.
            bias: (V,) float32; -inf of silent terms.
        """
        ...


class SparseHead:
    """A vocabulary projection with pooling.

    Args:
        embeddings: (V, H) the decoder's matrix, float32 or bfloat16: products are made in its type.
        bias: (V,) float32.
        activation: ``log1p_relu`` or ``log1p_log1p_relu``.
        pooling: ``max``, or ``sum`` as in the first SPLADE.
        silent: Terms whose weight is always 0 (special tokens).
        screen: Says which terms may fire; the others are not multiplied.
    """

    def __init__(
        self,
        embeddings: Tensor,
        bias: Tensor,
        *,
        activation: str = "log1p_relu",
        pooling: str = "max",
        silent: Sequence[int] = (),
        screen: Screen | None = None,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise InvalidInputError(
                f"activation is {activation!r}; want {' or '.join(ACTIVATIONS)}"
            )
        if pooling not in ("max", "sum"):
            raise InvalidInputError(f"pooling is {pooling!r}; want max or sum")
        self.embeddings = embeddings
        self.bias = bias.detach().float().clone()
        self.bias[list(silent)] = -torch.inf
        self.n_logarithms = ACTIVATIONS[activation]
        self.pooling = pooling
        self._screen = screen

    @property
    def most_products(self) -> Tensor:
        """(V, width) what each state is multiplied by: the screen's matrix, if there is one."""
        return self.embeddings if self._screen is None else self._screen.matrix

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """The weights of a batch of texts.

        Args:
            states: (B, T, H) transformed hidden states.
            mask: (B, T) 1 for tokens, 0 for padding.

        Returns:
            (B, V) float32 >= 0.
        """
        states = states.to(self.embeddings.dtype)
        if self.pooling == "sum":
            return self._summed(states, mask)
        if self._screen is not None:
            passing = self._screen.may_fire(states, mask, self.bias)
            if passing is not None:
                return self._activated(self._logits_of(passing, states, mask))
        weights = max_logits(states, mask, self.embeddings)
        weights += self.bias
        return self._activated(weights)

    def _logits_of(self, passing: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """(B, V) those of the terms that passed the screen; -inf of the others."""
        logits = torch.full(passing.shape, -torch.inf, device=states.device)
        for row, terms in enumerate(passing):
            numbers = terms.nonzero().ravel()
            own = states[row, mask[row].bool()]
            if len(numbers) and len(own):
                exact = (self.embeddings[numbers] @ own.T).amax(1) + self.bias[numbers]
                logits[row, numbers] = exact
        return logits

    def _activated(self, logits: Tensor) -> Tensor:
        """Works in place."""
        logits.clamp_(min=0)
        for _ in range(self.n_logarithms):
            logits.log1p_()
        return logits

    def _summed(self, states: Tensor, mask: Tensor) -> Tensor:
        """The sum over the tokens of their weights; the activation cannot wait for the end."""
        n_texts, n_tokens, _ = states.shape
        weights = states.new_empty((n_texts, len(self.embeddings)), dtype=torch.float32)
        tile = _tile(states, n_texts * n_tokens)
        for start in range(0, len(self.embeddings), tile):
            part = slice(start, start + tile)
            logits = (states @ self.embeddings[part].T).float() + self.bias[part]
            weights[:, part] = (self._activated(logits) * mask[..., None]).sum(1)
        return weights


def max_logits(
    states: Tensor, mask: Tensor, embeddings: Tensor, *, tile: int | None = None
) -> Tensor:
    """(B, V) float32: of each term, the greatest product with any token's state, before the bias.

    Args:
        states: (B, T, H); the products are made in their type.
        mask: (B, T) 1 for tokens, 0 for padding.
        embeddings: (V, H).
        tile: Terms whose logits exist at once; None for as many as stay in cache.
    """
    n_texts, n_tokens, width = states.shape
    is_token = mask.bool()
    # Padding takes its text's first state: a second copy changes no maximum, and costs no mask.
    filled = torch.where(is_token[..., None], states, states[:, :1])
    columns = filled.reshape(n_texts * n_tokens, width).T.contiguous()
    pooled = states.new_empty((len(embeddings), n_texts), dtype=torch.float32)
    tile = tile or _tile(states, n_texts * n_tokens)
    for start in range(0, len(embeddings), tile):
        logits = embeddings[start : start + tile].to(states.dtype) @ columns
        pooled[start : start + tile] = logits.view(-1, n_texts, n_tokens).amax(2)
    pooled[:, ~is_token.any(1)] = _MASKED
    return pooled.T.contiguous()


def to_term_weights(
    weights: Tensor, *, top_terms: int | None = None, prune_ratio: float = 0.0
) -> TermWeights:
    """Dense weights as CSR, pruned; only what is not 0 leaves the device.

    Args:
        weights: (B, V) float32 >= 0.
        top_terms: As ``prune``.
        prune_ratio: As ``prune``.

    Returns:
        (B, V) float32 csr_array.
    """
    rows, terms = weights.nonzero(as_tuple=True)  # by row, then term
    sizes = rows.bincount(minlength=len(weights)).cpu().numpy()
    indptr = np.concatenate(([0], np.cumsum(sizes)))
    data, indices = weights[rows, terms].cpu().numpy(), terms.int().cpu().numpy()
    matrix = sp.csr_array((data, indices, indptr), shape=tuple(weights.shape))
    return prune(matrix, top_terms=top_terms, prune_ratio=prune_ratio)


def _tile(states: Tensor, n_columns: int) -> int:
    """Terms whose logits for so many tokens stay in cache."""
    return max(16, _TILE_BYTES // (states.element_size() * max(n_columns, 1)))
