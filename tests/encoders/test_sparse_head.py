"""The tiled head against the formula with all logits at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparse_ir.encoders import sparse_head
from sparse_ir.encoders.sparse_head import SparseHead, max_logits, to_term_weights
from sparse_ir.errors import InvalidInputError


def naive(states, mask, embeddings, bias, n_logarithms):
    logits = states @ embeddings.T + bias
    logits = logits.masked_fill(mask[..., None] == 0, -1e9).amax(1)
    weights = torch.relu(logits)
    for _ in range(n_logarithms):
        weights = torch.log1p(weights)
    return weights


@pytest.fixture(params=[16, 70, 10_000])
def tile(request, monkeypatch):
    monkeypatch.setattr(sparse_head, "_TILE_BYTES", request.param * 4 * 27)
    return request.param


@pytest.mark.parametrize(("activation", "n"), [("log1p_relu", 1), ("log1p_log1p_relu", 2)])
def test_equals_the_formula(tile, activation, n):
    torch.manual_seed(0)
    states, embeddings, bias = torch.randn(3, 9, 8), torch.randn(300, 8), torch.randn(300)
    mask = (torch.arange(9) < torch.tensor([9, 1, 4])[:, None]).long()
    head = SparseHead(embeddings, bias, activation=activation)
    expected = naive(states, mask, embeddings, bias, n)
    torch.testing.assert_close(head(states, mask), expected, rtol=1e-5, atol=1e-5)


def test_sums_equal_the_formula(tile):
    torch.manual_seed(0)
    states, embeddings, bias = torch.randn(3, 9, 8), torch.randn(300, 8), torch.randn(300)
    mask = (torch.arange(9) < torch.tensor([9, 1, 4])[:, None]).long()
    logits = torch.log1p(torch.relu(states @ embeddings.T + bias)) * mask[..., None]
    found = SparseHead(embeddings, bias, pooling="sum")(states, mask)
    torch.testing.assert_close(found, logits.sum(1), rtol=1e-5, atol=1e-5)


def test_silent_terms_and_padding_never_fire():
    states, embeddings = torch.ones(1, 2, 4), torch.ones(5, 4)
    states[0, 1] = 100  # a padded position
    head = SparseHead(embeddings, torch.zeros(5), silent=[0, 3])
    weights = head(states, torch.tensor([[1, 0]]))
    assert weights[0, [0, 3]].tolist() == [0, 0]
    assert weights[0, 1].item() == pytest.approx(np.log1p(4))


def test_a_text_without_tokens_has_no_terms():
    assert (max_logits(torch.ones(1, 2, 4), torch.zeros(1, 2), torch.ones(5, 4)) < -1e8).all()


def test_top_terms():
    weights = torch.tensor([[0, 3, 1, 2, 0.5], [0, 0, 1, 0, 0]])
    assert to_term_weights(weights, top_terms=2).toarray().tolist() == [
        [0, 3, 0, 2, 0],
        [0, 0, 1, 0, 0],
    ]
    assert to_term_weights(weights).nnz == 5


def test_unknown_activation():
    with pytest.raises(InvalidInputError, match="want log1p_relu or log1p_log1p_relu"):
        SparseHead(torch.ones(2, 2), torch.ones(2), activation="gelu")
