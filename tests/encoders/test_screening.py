"""A screened head against the formula with all logits: screens change no weight."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.encoders import screening
from sparse_ir.encoders.screening import BFloat16Screen, SubspaceScreen
from sparse_ir.encoders.sparse_head import SparseHead

WIDTH, TERMS = 32, 300


def expected(states, mask, embeddings, bias):
    logits = (states @ embeddings.T + bias).masked_fill(mask[..., None] == 0, -1e9).amax(1)
    logits[:, 2] = 0
    return torch.log1p(torch.relu(logits))


def mask_of(lengths):
    return (torch.arange(9) < torch.tensor(lengths)[:, None]).long()


def flat_states(n, generator, rest=0.05):
    """Long in a third of the dimensions after some rotation, short in the others."""
    states = torch.randn(n, 9, WIDTH, generator=generator)
    states[..., WIDTH // 3 :] *= rest
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator)).Q
    return states @ rotation


@pytest.mark.parametrize("shift", [0, -6, -12])
def test_bfloat16(shift):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(3, 9, WIDTH, generator=generator)
    embeddings = torch.randn(TERMS, WIDTH, generator=generator)
    bias = torch.randn(TERMS, generator=generator) + shift
    mask = mask_of([9, 0, 4])
    head = SparseHead(embeddings, bias, silent=[2], screen=BFloat16Screen(embeddings))
    wanted, found = expected(states, mask, embeddings, bias), head(states, mask)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert ((found > 0) == (wanted > 0)).all()
    assert head.most_products.dtype == torch.bfloat16


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(-14, 2), st.floats(0, 1), st.booleans())
def test_subspace(seed, shift, rest, strange):
    """Whatever it learned from, and whatever comes then."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(TERMS, WIDTH, generator=generator)
    bias = torch.randn(TERMS, generator=generator) + shift
    screen = SubspaceScreen(embeddings)
    head = SparseHead(embeddings, bias, silent=[2], screen=screen)
    states = flat_states(300, generator, rest)
    head(states, torch.ones(300, 9))
    later = torch.randn(4, 9, WIDTH, generator=generator) if strange else states[:4]
    mask = mask_of([9, 0, 4, 1])
    wanted, found = expected(later, mask, embeddings, bias), head(later, mask)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    passing = screen.may_fire(later, mask, head.bias)
    assert passing is None or not (wanted > 0)[~passing].any()


def test_a_subspace_is_learned_where_it_pays(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(TERMS, WIDTH, generator=generator)
    silent_but_few = torch.full((TERMS,), -14.0)
    mask = torch.ones(100, 9)
    for rest, pays in ((0.01, True), (1.0, False)):
        screen = SubspaceScreen(embeddings)
        monkeypatch.setattr(screening, "_LEARNED_FROM", 100 * 9 + 1)
        head = SparseHead(embeddings, silent_but_few, screen=screen)
        states = flat_states(100, generator, rest)
        assert screen.may_fire(states, mask, head.bias) is None  # too few tokens
        assert screen.may_fire(states, mask, head.bias) is None  # learns
        passing = screen.may_fire(states, mask, head.bias)
        assert (passing is not None) == pays
        assert head.most_products.shape == (TERMS, WIDTH // 2 if pays else WIDTH)
        if pays:
            share = float((head(states, mask) > 0).float().mean())
            assert share <= float(passing.float().mean()) < 0.1
