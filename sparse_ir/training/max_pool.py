"""The sparse head for training: the greatest logit of each term, in memory for (B, V) numbers.

Autograd would keep (B, T, V) logits, gigabytes of them. Here the forward pass keeps their maxima
only, and the backward pass, which needs the token that each maximum came from, finds it again for
the terms that a gradient reaches: behind a relu a few hundred of a text's 30,000. So the head costs
one product instead of three.

Source: the idea of recomputing what a fused head needs is that of "Sparton", 2026,
arXiv:2603.25011, there as GPU kernels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparse_ir.encoders.sparse_head import max_logits

_TILE = 1024  # terms whose logits exist at once


def max_pooled_logits(states: Tensor, mask: Tensor, embeddings: Tensor, bias: Tensor) -> Tensor:
    """(B, V) float32: max over tokens of states . embeddings, plus bias; differentiable.

    Args:
        states: (B, T, H) float32 or bfloat16; the products are made in this type.
        mask: (B, T) 1 for tokens, 0 for padding; at least one token a text.
        embeddings: (V, H) float32.
        bias: (V,) float32; ``-inf`` silences a term.
    """
    pooled: Tensor = _MaxPooled.apply(states, mask, embeddings)  # type: ignore[no-untyped-call]
    return pooled + bias


class _MaxPooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, mask: Tensor, embeddings: Tensor) -> Tensor:
        ctx.save_for_backward(states, mask, embeddings)
        return max_logits(states, mask, embeddings, tile=_TILE)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        states, mask, embeddings = ctx.saved_tensors
        grad_states = torch.zeros(states.shape, dtype=torch.float32, device=states.device)
        grad_embeddings = torch.zeros_like(embeddings)
        for text, n_tokens in enumerate(mask.sum(1).tolist()):
            terms = grads[0][text].nonzero().squeeze(1)
            if len(terms) == 0:
                continue
            vectors, scale = embeddings[terms], grads[0][text, terms, None]
            own = states[text, :n_tokens].float()
            token = (vectors @ own.T).argmax(1)
            grad_states[text].index_add_(0, token, scale * vectors)
            grad_embeddings.index_add_(0, terms, scale * own[token])
        return grad_states.to(states.dtype), None, grad_embeddings
