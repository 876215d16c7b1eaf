"""Losses against numbers worked out by hand, and autograd's own check."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from sparse_ir.training import losses

SCORES = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0]], dtype=torch.float64)
POSITIVES = torch.tensor([[True, False, False], [False, True, False]])


def test_info_nce_by_hand():
    first = -math.log(math.exp(2) / (math.exp(2) + math.exp(1) + 1))
    second = -math.log(math.exp(3) / (1 + math.exp(3) + math.exp(1)))
    assert losses.info_nce(SCORES, POSITIVES).item() == pytest.approx((first + second) / 2)


def test_temperature_divides_scores():
    warm = losses.info_nce(SCORES, POSITIVES, temperature=2.0)
    assert warm.item() == pytest.approx(losses.info_nce(SCORES / 2, POSITIVES).item())


def test_rows_without_a_positive_count_nothing():
    only_first = POSITIVES & torch.tensor([[True], [False]])
    expected = losses.info_nce(SCORES[:1], POSITIVES[:1])
    assert losses.info_nce(SCORES, only_first).item() == pytest.approx(expected.item())
    nothing = torch.zeros_like(POSITIVES)
    for loss in (losses.info_nce, losses.decoupled_contrastive):
        assert loss(SCORES, nothing).item() == 0


def test_the_decoupled_loss_leaves_positives_out_of_the_denominator():
    first = -2 + math.log(math.exp(1) + 1)
    second = -3 + math.log(1 + math.exp(1))
    got = losses.decoupled_contrastive(SCORES, POSITIVES).item()
    assert got == pytest.approx((first + second) / 2)


def test_soft_contrast_weighs_every_pair():
    weight = np.array([[1.0, 0.5, 0.0], [0.2, 1.0, 0.3]])
    log_p = log_softmax(SCORES.numpy(), axis=1)
    expected = np.mean(-(weight * log_p).sum(1) / weight.sum(1))
    got = losses.soft_contrastive(SCORES, torch.from_numpy(weight)).item()
    assert got == pytest.approx(expected)


def test_distillation_is_kullback_leibler():
    teacher = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 1.0]], dtype=torch.float64)
    p, q = softmax(teacher.numpy(), axis=1), softmax(SCORES.numpy(), axis=1)
    expected = (p * np.log(p / q)).sum(1).mean()
    assert losses.distillation(SCORES, teacher).item() == pytest.approx(expected)
    assert losses.distillation(teacher, teacher).item() == pytest.approx(0)


def test_a_hidden_pair_is_out_of_both_distributions():
    teacher = torch.tensor([[1.0, 2.0, -torch.inf]], dtype=torch.float64)
    without = losses.distillation(SCORES[:1, :2], teacher[:, :2]).item()
    scores = SCORES[:1].clone().requires_grad_()
    loss = losses.distillation(scores, teacher)
    assert loss.item() == pytest.approx(without)
    loss.backward()
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[0, 2] == 0


def test_margin_mse_by_hand():
    teacher = torch.tensor([[3.0, 1.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    errors = [(2 - 1) - 2, (2 - 0) - 3, (3 - 0) - 1, (3 - 1) - 1]
    expected = np.mean(np.square(errors))
    assert losses.margin_mse(SCORES, teacher, POSITIVES).item() == pytest.approx(expected)
    knows_positives = torch.where(POSITIVES, teacher, torch.nan)
    assert losses.margin_mse(SCORES, knows_positives, POSITIVES).item() == 0


@pytest.mark.parametrize(
    "loss",
    [
        lambda s: losses.info_nce(s, POSITIVES, temperature=0.7),
        lambda s: losses.decoupled_contrastive(s, POSITIVES),
        lambda s: losses.soft_contrastive(s, POSITIVES + 0.25),
        lambda s: losses.distillation(s, SCORES.flip(0)),
        lambda s: losses.margin_mse(s, SCORES.flip(0), POSITIVES),
    ],
)
def test_gradients(loss):
    scores = torch.randn(2, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    assert torch.autograd.gradcheck(loss, scores.requires_grad_())


def test_individual_temperatures_first_step_is_a_softmax_over_negatives():
    contrast = losses.IndividualTemperatures(5, initial=0.5)
    scores = SCORES.float().clone().requires_grad_()
    loss = contrast(scores, POSITIVES, torch.tensor([1, 3]))
    loss.backward()
    weights = softmax(np.array([1.0, 0.0]) / 0.5)  # the negatives' scores of the first row
    assert scores.grad[0].numpy() == pytest.approx([-0.5, *(weights / 2)], abs=1e-5)
    moved = contrast.temperatures != 0.5
    assert moved.tolist() == [False, True, False, True, False]


def test_individual_temperatures_follow_the_algorithm():
    """Algorithm 1 as it is written, without logarithms, for four steps of scores that change."""
    rho, momentum, step, n = 2.0, 0.7, 0.05, 3
    options = {"initial": 0.8, "rho": rho, "momentum": momentum, "step": step}
    contrast = losses.IndividualTemperatures(n, **options)
    positives = torch.eye(n, dtype=torch.bool)
    tau, memory = np.full(n, 0.8), np.full(n, np.nan)
    draw = torch.Generator().manual_seed(0)
    for _ in range(4):
        scores = torch.rand(n, n, generator=draw, dtype=torch.float64).requires_grad_()
        loss = contrast(scores, positives, torch.arange(n))
        loss.backward()
        values, expected = scores.detach().numpy(), np.zeros((n, n))
        for row in range(n):
            others = [column for column in range(n) if column != row]
            gaps = values[row, others] - values[row, row]
            sums = np.exp(gaps / tau[row])
            before = sums.mean() if np.isnan(memory[row]) else memory[row]
            memory[row] = (1 - momentum) * before + momentum * sums.mean()
            weights = sums / len(others) / memory[row]
            expected[row, others], expected[row, row] = weights / n, -weights.sum() / n
            slope = np.log(memory[row]) + rho - (weights * gaps).sum() / tau[row]
            tau[row] -= step * slope
        np.testing.assert_allclose(scores.grad, expected, rtol=1e-5)
        np.testing.assert_allclose(contrast.temperatures, tau, rtol=1e-5)


def test_individual_temperatures_need_a_positive_and_a_negative():
    contrast = losses.IndividualTemperatures(3)
    positives = torch.tensor([[True, True, True], [False, False, False], [True, False, False]])
    scores = torch.ones(3, 3, requires_grad=True)
    loss = contrast(scores, positives, torch.arange(3))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[:2] == 0).all()
    assert (contrast.temperatures[:2] == 1).all()
    assert contrast(scores[:2], positives[:2], torch.arange(2)) == 0


def test_individual_temperatures_stay_in_bounds():
    contrast = losses.IndividualTemperatures(2, initial=0.1, bounds=(0.05, 0.2), step=100.0)
    for _ in range(3):
        contrast(SCORES.float(), POSITIVES, torch.tensor([0, 1]))
    assert (contrast.temperatures >= 0.05 - 1e-6).all()
    assert (contrast.temperatures <= 0.2 + 1e-6).all()
