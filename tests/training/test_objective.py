"""What a step minimises, computed by hand from what a student makes of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from sparse_ir.training.config import TrainConfig
from sparse_ir.training.losses import IndividualTemperatures
from sparse_ir.training.objective import Objective
from sparse_ir.training.student import Scored, Student

TEACHER = torch.tensor([[30.0, 5.0, 0.0], [2.0, 30.0, -torch.inf]])
POSITIVES = torch.tensor([[True, False, False], [False, True, False]])
BATCH = {
    "teacher": TEACHER,
    "positives": POSITIVES,
    "agreement": 1.0,
    "query_numbers": torch.tensor([4, 1]),
}


@pytest.fixture
def student(model_folder):
    return Student(str(model_folder))


@pytest.fixture
def scored(student):
    draw = torch.Generator().manual_seed(0)
    documents = torch.rand(3, len(student.bias), generator=draw)
    documents[1, 4:] = 0  # few terms
    queries, learned = torch.rand(2, 5, generator=draw), 9 * torch.rand(2, 3, generator=draw)
    return Scored(documents, queries, learned, learned + torch.tensor([[0.0, 2.0, 1.0]]))


def objective(student, **tables):
    tables = {"sparsity": {"weight": 0.0, "target_terms": 0}, **tables}
    config = {"data": [{"path": "unread"}], "teachers": [{"kind": "bm25"}], **tables}
    return Objective(student, TrainConfig.model_validate(config), n_queries=6)


def test_the_loss_is_the_mix_of_both_modes_by_hand(student, scored):
    def ranking(scores):
        scores, total = scores.numpy().astype(np.float64), 0.0
        for row, known in ((0, [0, 1, 2]), (1, [0, 1])):
            told = log_softmax(TEACHER[row, known].double().numpy())
            asked = log_softmax(scores[row, known])
            total += (np.exp(told) * (told - asked)).sum() / 2
            total += -0.4 * log_softmax(scores[row] / 0.7)[row] / 2
        return total

    loss = {"residual": 0.3, "contrast": 0.4, "temperature": 0.7}
    got, numbers = objective(student, loss=loss)(scored, BATCH, step=0)
    expected = 0.3 * ranking(scored.anchored) + 0.7 * ranking(scored.learned)
    assert float(got.detach()) == pytest.approx(expected, rel=1e-5)
    assert numbers["ranking"] == pytest.approx(expected, rel=1e-5)
    assert numbers["pressure"] == 0


@pytest.mark.parametrize(
    ("table", "pressure"),
    [
        ({"regularizer": "idf_flops"}, lambda w, table: (w.mean(0) ** 2).sum()),
        ({"regularizer": "flops"}, lambda w, table: ((w * table).mean(0) ** 2).sum()),
        ({"regularizer": "l1"}, lambda w, table: w.sum(1).mean()),
        (
            {"regularizer": "idf_flops", "least_terms": 6},
            lambda w, table: (((w[0] + w[2]) / 3) ** 2).sum(),
        ),
    ],
)
def test_the_regularisers_of_queries_by_table_by_hand(student, scored, table, pressure):
    """In this spelling, plain FLOPS are of what a search multiplies: idf is in both factors."""
    settings = {"weight": 0.25, "target_terms": 0, "ramp": 0.5, **table}
    made = objective(student, sparsity=settings, optimizer={"steps": 8})
    _, numbers = made(scored, BATCH, step=1)
    documents = scored.documents.double().numpy()
    expected = pressure(documents, student.query_table().detach().double().numpy())
    assert numbers["pressure"] == pytest.approx((2 / 4) ** 2 * 0.25 * expected, rel=1e-5)


def test_each_mode_has_temperatures_of_its_own(student, scored):
    """Their scores differ in scale, and what one remembers is nothing to the other."""
    loss = {"contrast_kind": "individual", "contrast": 1.0, "distillation": 0.0, "residual": 0.5}
    made = objective(student, loss=loss)
    alone = {mode: IndividualTemperatures(6) for mode in ("anchored", "learned")}
    for step in range(3):
        got, _ = made(scored, BATCH, step=step)
        expected = sum(
            0.5 * alone[mode](getattr(scored, mode), POSITIVES, BATCH["query_numbers"])
            for mode in alone
        )
        torch.testing.assert_close(got, expected)
    for mode, contrast in alone.items():
        for name, tensor in contrast.state().items():
            torch.testing.assert_close(made.state()[f"{mode}.{name}"], tensor, equal_nan=True)
    again = objective(student, loss=loss)
    again.load_state({name: tensor.clone() for name, tensor in made.state().items()})
    torch.testing.assert_close(again(scored, BATCH, step=3)[0], made(scored, BATCH, step=3)[0])
