"""Which numbers are multiplied, on processors of all kinds."""

from __future__ import annotations

import pytest
import torch

from sparse_ir.encoders import precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("few_rows", "many_rows", "pays"),
    [(0.7, 9.0, True), (1.9, 2.3, True), (0.9, 1.0, False), (0.03, None, False)],
    ids=["AMX", "AVX-512 BF16", "no faster", "emulated"],
)
def test_bfloat16_where_it_is_faster(monkeypatch, few_rows, many_rows, pays):
    """Float32's time over bfloat16's, by rows; where it is emulated, many are never multiplied."""
    ratios = {16: few_rows, 1024: many_rows}
    monkeypatch.setattr(precision, "_ratio", lambda n_rows: ratios[n_rows])
    monkeypatch.setattr(precision, "_is_faster", precision._is_faster.__wrapped__)
    threads = torch.get_num_threads()
    assert precision.choose_dtype("auto", CPU) == (torch.bfloat16 if pays else torch.float32)
    assert torch.get_num_threads() == threads


def test_what_is_asked_for():
    assert precision.choose_dtype("bfloat16", CPU) == torch.bfloat16
    assert precision.choose_dtype("float32", CPU) == torch.float32


def test_a_ratio_is_measured():
    assert precision._ratio(16) > 0
