"""The memory-lean head against the naive one that keeps every logit."""

from __future__ import annotations

import pytest
import torch

from sparse_ir.training.max_pool import max_pooled_logits

N_TERMS = 2100  # more than two tiles


def naive(states, mask, embeddings, bias):
    logits = states @ embeddings.T + bias
    return logits.masked_fill(mask[..., None] == 0, -torch.inf).amax(1)


def inputs(n_texts=3, n_tokens=7, width=8, seed=0):
    draw = torch.Generator().manual_seed(seed)
    states = torch.randn(n_texts, n_tokens, width, generator=draw, requires_grad=True)
    mask = torch.ones(n_texts, n_tokens, dtype=torch.long)
    mask[0, 3:] = 0
    mask[1, 1:] = 0
    embeddings = torch.randn(N_TERMS, width, generator=draw, requires_grad=True)
    bias = torch.randn(N_TERMS, generator=draw) - 2
    return states, mask, embeddings, bias.requires_grad_()


@pytest.mark.parametrize("activated", [True, False], ids=["behind a relu", "raw"])
def test_values_and_gradients_are_those_of_the_naive_head(activated):
    states, mask, embeddings, bias = inputs()
    seen = []
    for head in (naive, max_pooled_logits):
        pooled = head(states, mask, embeddings, bias)
        out = torch.log1p(torch.relu(pooled)) if activated else pooled
        weight = torch.linspace(-1, 1, out.numel()).view_as(out)
        seen.append((out, *torch.autograd.grad((out * weight).sum(), [states, embeddings, bias])))
    for expected, got in zip(*seen, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_a_silenced_term_never_fires_and_gets_no_gradient():
    states, mask, embeddings, bias = inputs()
    silent = torch.zeros(N_TERMS)
    silent[5] = -torch.inf
    weights = torch.log1p(torch.relu(max_pooled_logits(states, mask, embeddings, bias + silent)))
    assert not weights[:, 5].any()
    grads = torch.autograd.grad(weights.sum(), [states, embeddings, bias])
    assert all(torch.isfinite(grad).all() for grad in grads)
    assert not grads[1][5].any()
    assert grads[2][5] == 0


def test_it_computes_in_the_type_of_the_states():
    states, mask, embeddings, bias = inputs()
    half = max_pooled_logits(states.bfloat16(), mask, embeddings, bias)
    assert half.dtype == torch.float32
    full = max_pooled_logits(states, mask, embeddings, bias)
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.2)
