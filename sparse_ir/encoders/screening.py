"""Screens: which terms may fire, found at a fraction of the products; no weight changes by them.

Of a text's 30,000 terms a hundred fire. A screen bounds the logits of all from above by products
that cost less, and the head multiplies exactly only the terms whose bound is over 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sparse_ir.encoders.precision import bfloat16_pays
from sparse_ir.encoders.sparse_head import Screen, max_logits

_BFLOAT16_ERROR = 2**-7  # of |state| |embedding|: both are rounded by 2**-9, and the product is too
_FLOAT32_ERROR = 2**-14  # generous: of a rotation and a sum of some hundred products
_LEARNED_FROM = 2048  # tokens
_WORTH = 0.1  # share of terms that may pass: multiplying them costs more than it does all at once


def choose_screen(embeddings: Tensor, dtype: torch.dtype) -> Screen | None:
    """What saves the head products in ``dtype``; None on GPUs, and in bfloat16, which is fast.

    Args:
        embeddings: (V, H) float32.
        dtype: Of the head.
    """
    if dtype != torch.float32 or embeddings.device.type != "cpu":
        return None
    if bfloat16_pays(embeddings.device):
        return BFloat16Screen(embeddings)
    return SubspaceScreen(embeddings)


class BFloat16Screen:
    """Bounds by products in bfloat16, where the processor is faster at them.

    Args:
        embeddings: (V, H) float32.
    """

    def __init__(self, embeddings: Tensor) -> None:
        self.matrix = embeddings.bfloat16()
        self._error = _BFLOAT16_ERROR * embeddings.norm(dim=1)

    def may_fire(self, states: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
        """(B, V) False where the term's weight is 0."""
        bound = max_logits(states.to(self.matrix.dtype), mask, self.matrix) + bias
        return bound.addcmul_(_longest(states, mask), self._error).gt(0)


class SubspaceScreen:
    """Bounds by products in the half of the dimensions in which states are longest.

    Any rotation leaves products as they are, and what the other half adds is at most the product of
    the two lengths there (Cauchy-Schwarz). States, not embeddings, say which rotation is good, so
    it is learned from the first that come: their principal axes. Until then, and for models
    whose bounds are too loose, all may fire.

    Args:
        embeddings: (V, H) float32.
    """

    def __init__(self, embeddings: Tensor) -> None:
        self._embeddings = embeddings
        self._moments = torch.zeros(embeddings.shape[1], embeddings.shape[1])
        self._n_tokens = 0
        self._axes: _Axes | None = None
        self.matrix = embeddings

    def may_fire(self, states: Tensor, mask: Tensor, bias: Tensor) -> Tensor | None:
        """(B, V) False where the term's weight is 0; None if all may fire."""
        if self._axes is not None:
            return self._axes.may_fire(states, mask, bias)
        if self._n_tokens < _LEARNED_FROM:
            self._learn(states, mask, bias)
        return None

    def _learn(self, states: Tensor, mask: Tensor, bias: Tensor) -> None:
        own = states[mask.bool()]
        self._moments = self._moments + own.T @ own
        self._n_tokens += len(own)
        if self._n_tokens >= _LEARNED_FROM:
            axes = _principal_axes(self._moments, self._embeddings)
            if axes.may_fire(states, mask, bias).float().mean() < _WORTH:
                self._axes, self.matrix = axes, axes.embeddings


class _Axes(NamedTuple):
    rotation: Tensor
    """(H, H), the axes that are kept first."""
    embeddings: Tensor
    """(V, H / 2) on the kept axes."""
    rest: Tensor
    """(V,) their lengths on the other ones."""
    error: Tensor
    """(V,) what rounding may do, of a state's length."""

    def may_fire(self, states: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
        kept, rest = (states @ self.rotation).tensor_split([self.embeddings.shape[1]], dim=2)
        bound = max_logits(kept, mask, self.embeddings) + bias
        bound.addcmul_(_longest(rest, mask), self.rest)
        return bound.addcmul_(_longest(states, mask), self.error).gt(0)


def _principal_axes(moments: Tensor, embeddings: Tensor) -> _Axes:
    rotation = torch.linalg.eigh(moments).eigenvectors.flip(1).contiguous()
    kept, rest = (embeddings @ rotation).tensor_split(2, dim=1)
    error = _FLOAT32_ERROR * embeddings.norm(dim=1)
    return _Axes(rotation, kept.contiguous(), rest.norm(dim=1), error)


def _longest(states: Tensor, mask: Tensor) -> Tensor:
    """(B, 1) the length of each text's longest state."""
    lengths: Tensor = states.norm(dim=2) * mask
    return lengths.amax(1, keepdim=True)
