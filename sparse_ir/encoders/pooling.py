"""From the states of a text's tokens to one vector of the text.

Source: Reimers, Gurevych 2019, "Sentence-BERT", arXiv:1908.10084, section 3 (first token, mean,
max); Wang et al. 2024, "Improving Text Embeddings with Large Language Models", arXiv:2401.00368
(last).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Pool = Callable[[Tensor, Tensor], Tensor]
"""((B, T, H) float32 states, (B, T) mask of 0 and 1, padded on the right) -> (B, H)."""


def mean(states: Tensor, mask: Tensor) -> Tensor:
    """(B, H) the mean of the states that the mask keeps; 0 where it keeps none."""
    weights = mask[..., None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def first(states: Tensor, mask: Tensor) -> Tensor:
    """(B, H) the state of the first token, which is [CLS] in BERT and its kin."""
    return states[:, 0]


def last(states: Tensor, mask: Tensor) -> Tensor:
    """(B, H) the state of the last token that the mask keeps: of decoders, the one that saw all."""
    rows = torch.arange(len(states), device=states.device)
    return states[rows, mask.sum(1).clamp(min=1) - 1]


def greatest(states: Tensor, mask: Tensor) -> Tensor:
    """(B, H) the greatest value of each dimension among the states that the mask keeps."""
    return states.masked_fill(mask[..., None] == 0, float("-inf")).amax(1)


POOLS: dict[str, Pool] = {"mean": mean, "cls": first, "lasttoken": last, "max": greatest}
"""By sentence-transformers' names."""
