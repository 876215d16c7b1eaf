"""The sparse head: hidden states to term weights, without ever holding a logit for every token.

The vocabulary is cut in tiles; of each tile's logits only the maximum over the tokens is kept. As
the activation grows with its input, bias and activation come after the maximum, on (B, V) numbers.

Source: Formal, Lassance, Piwowarski, Clinchant 2021, "SPLADE v2", arXiv:2109.10086, eq. 6 (max
pooling); the activation's second logarithm: Shen et al. 2025, arXiv:2504.14839.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from sparse_ir.errors import InvalidInputError
from sparse_ir.vectors import TermWeights

_TILE_BYTES = 4 * 2**20  # of logits: they stay in cache between product and maximum
_MASKED = -1e9
ACTIVATIONS = {"log1p_relu": 1, "log1p_log1p_relu": 2}  # logarithms after the relu


class SparseHead:
    """A vocabulary projection with max pooling.

    Args:
        embeddings: (V, H) float32, the decoder's matrix.
        bias: (V,) float32.
        activation: ``log1p_relu`` or ``log1p_log1p_relu``.
        silent: Terms whose weight is always 0 (special tokens).
    """

    def __init__(
        self,
        embeddings: Tensor,
        bias: Tensor,
        *,
        activation: str = "log1p_relu",
        silent: Sequence[int] = (),
    ) -> None:
        if activation not in ACTIVATIONS:
            raise InvalidInputError(
                f"activation is {activation!r}; want {' or '.join(ACTIVATIONS)}"
            )
        self._embeddings = embeddings
        self._bias = bias.clone()
        self._bias[list(silent)] = -torch.inf
        self._n_logarithms = ACTIVATIONS[activation]

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """The weights of a batch of texts.

        Args:
            states: (B, T, H) transformed hidden states.
            mask: (B, T) 1 for tokens, 0 for padding.

        Returns:
            (B, V) float32 >= 0.
        """
        weights = max_logits(states, mask, self._embeddings)
        weights += self._bias
        weights.clamp_(min=0)
        for _ in range(self._n_logarithms):
            weights.log1p_()
        return weights


def max_logits(states: Tensor, mask: Tensor, embeddings: Tensor) -> Tensor:
    """(B, V) float32: of each term, the greatest product with any token's state, before the bias.

    Args:
        states: (B, T, H).
        mask: (B, T) 1 for tokens, 0 for padding.
        embeddings: (V, H).
    """
    n_texts, n_tokens, width = states.shape
    is_token = mask.bool()
    # Padding takes its text's first state: a second copy changes no maximum, and costs no mask.
    filled = torch.where(is_token[..., None], states, states[:, :1])
    columns = filled.reshape(n_texts * n_tokens, width).T.contiguous()
    pooled = states.new_empty((len(embeddings), n_texts), dtype=torch.float32)
    tile = max(16, _TILE_BYTES // (states.element_size() * n_texts * n_tokens))
    for start in range(0, len(embeddings), tile):
        logits = embeddings[start : start + tile] @ columns
        pooled[start : start + tile] = logits.view(-1, n_texts, n_tokens).amax(2)
    pooled[:, ~is_token.any(1)] = _MASKED
    return pooled.T.contiguous()


def to_term_weights(weights: Tensor, *, top_terms: int | None = None) -> TermWeights:
    """Dense weights as CSR, of each row at most the ``top_terms`` greatest.

    Args:
        weights: (B, V) float32 >= 0.
        top_terms: >= 1, None keeps all.

    Returns:
        (B, V) float32 csr_array.
    """
    array: np.ndarray[Any, Any] = weights.cpu().numpy()
    if top_terms is not None and top_terms < array.shape[1]:
        least = np.partition(array, -top_terms, axis=1)[:, -top_terms, None]
        array = np.where(array >= least, array, 0)
    return sp.csr_array(array)
