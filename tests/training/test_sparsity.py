"""Regularisers by hand, their equivalences, and what they do under data parallelism."""

from __future__ import annotations

import math

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from sparse_ir.errors import InvalidInputError
from sparse_ir.training import sparsity
from sparse_ir.training.losses import IndividualTemperatures

WEIGHTS = torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 0.0]], dtype=torch.float64)


def test_flops_by_hand():
    assert sparsity.flops(WEIGHTS).item() == pytest.approx(2.0**2 + 0 + 1.0**2)


def test_short_texts_are_spared():
    assert sparsity.flops(WEIGHTS, least_terms=1).item() == pytest.approx(0.5**2 + 1.0**2)
    assert sparsity.flops(WEIGHTS, least_terms=2).item() == 0


def test_both_spellings_of_idf_aware_flops_coincide():
    draw = torch.Generator().manual_seed(0)
    weights = torch.rand(5, 40, generator=draw, dtype=torch.float64).requires_grad_()
    idf = 0.1 + 10 * torch.rand(40, generator=draw, dtype=torch.float64)
    plain, explicit = sparsity.flops(weights), sparsity.idf_flops(idf * weights, idf)
    assert explicit.item() == pytest.approx(plain.item(), rel=1e-12)
    one, other = (torch.autograd.grad(loss, weights)[0] for loss in (plain, explicit))
    torch.testing.assert_close(one, other)


def test_df_flops_presses_on_frequent_terms():
    weights = torch.eye(3, dtype=torch.float64)
    factor = [
        math.sqrt(sparsity.df_flops(weights[i : i + 1], torch.tensor([1.0, 0.1, 0.001])).item())
        for i in range(3)
    ]
    assert factor[0] == pytest.approx(1)
    assert factor[1] == pytest.approx(0.5)
    assert factor[2] < 0.01


def test_l1_and_joint_flops_by_hand():
    assert sparsity.l1(WEIGHTS).item() == pytest.approx((3 + 3) / 2)
    queries = torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
    assert sparsity.joint_flops(queries, WEIGHTS).item() == pytest.approx(1 * 2)


@pytest.mark.parametrize(
    "regularizer",
    [
        sparsity.flops,
        sparsity.l1,
        lambda w: sparsity.idf_flops(w, torch.tensor([1.0, 2.0, 3.0])),
        lambda w: sparsity.df_flops(w, torch.tensor([0.5, 0.1, 0.9])),
        lambda w: sparsity.joint_flops(WEIGHTS, w),
    ],
)
def test_gradients(regularizer):
    weights = torch.rand(4, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    assert torch.autograd.gradcheck(regularizer, weights.requires_grad_())


def test_the_ramp_is_quadratic_and_ends():
    assert [sparsity.quadratic_ramp(step, 4) for step in (0, 1, 3, 9)] == [1 / 16, 1 / 4, 1, 1]


def test_the_controller_reaches_its_target():
    controller = sparsity.TermsController(target=150, weight=1e-3, gain=0.05)
    terms = 600.0
    for _ in range(2000):  # a document's terms fall as lambda grows, with a lag
        terms += 0.1 * (400 - 50 * math.log10(controller.update(terms) / 1e-6) - terms)
    assert terms == pytest.approx(150, rel=0.05)


def test_the_controller_refuses_a_target_of_nothing():
    with pytest.raises(InvalidInputError, match="target terms is 0"):
        sparsity.TermsController(target=0, weight=1)


def _worker(rank, port_file, whole, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{port_file}", rank=rank, world_size=2
    )
    scale = torch.ones(whole.shape[1], dtype=torch.float64, requires_grad=True)
    model = torch.nn.parallel.DistributedDataParallel(_Scale(scale))
    part = whole[:1] if rank == 0 else whole[1:]  # unequal batches
    loss = _pressure(model(part))
    loss.backward()
    own_columns = sparsity.l1(torch.ones(2, 3 + rank))  # as of queries that are looked up
    contrast = IndividualTemperatures(5, initial=0.5)
    own = torch.tensor([rank, 4])[: 2 - rank]  # the first process has a query more
    contrast.temperatures[own] = 0.1 * (own + 1).float()
    contrast.share(own)
    shared = contrast.state()["temperatures"].tolist()
    results[rank] = (loss.item(), model.module.scale.grad.tolist(), own_columns.item(), shared)
    torch.distributed.destroy_process_group()


def _pressure(weights):
    """Every regulariser of documents that looks at a whole batch, and the terms steered by."""
    frequency = sparsity.mean_over_all((weights > 0.3).double()).detach()
    return (
        sparsity.flops(weights)
        + 2 * sparsity.idf_flops(weights, torch.arange(1.0, 7.0))
        + 3 * sparsity.df_flops(weights, frequency)
        + 4 * sparsity.joint_flops(weights.detach() ** 2, weights)
        + 5 * sparsity.l1(weights)
        + frequency.sum()
    )


class _Scale(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = torch.nn.Parameter(scale.detach().clone())

    def forward(self, batch):
        return batch * self.scale


def test_two_processes_have_the_pressure_gradient_and_memory_of_the_global_batch(tmp_path):
    whole = torch.rand(4, 6, dtype=torch.float64, generator=torch.manual_seed(1))
    alone = _Scale(torch.ones(6, dtype=torch.float64))
    expected = _pressure(alone(whole))
    expected.backward()
    with torch.multiprocessing.Manager() as manager:
        results = manager.dict()
        torch.multiprocessing.spawn(_worker, (tmp_path / "meet", whole, results), nprocs=2)
        for loss, grad, own_columns, shared in dict(results).values():
            assert shared == pytest.approx([0.1, 0.2, 0.5, 0.5, 0.5])
            assert own_columns == pytest.approx((2 * 3 + 2 * 4) / 4)
            assert loss == pytest.approx(expected.item())
            assert grad == pytest.approx(alone.scale.grad.tolist())
