"""Safetensors files: types that numpy has not, and files that are damaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sparse_ir.encoders.tensor_files import load_tensors
from sparse_ir.errors import InvalidInputError


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_of_any_precision(tmp_path, dtype):
    tensors = {"a": torch.linspace(-3, 70000, 12).reshape(3, 4).clamp(max=6e4), "b": torch.ones(0)}
    tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    save_file(tensors, tmp_path / "t.safetensors")
    found = load_tensors(tmp_path / "t.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name].astype(np.float64), tensor.double().numpy())


def test_what_holds_no_such_tensors(tmp_path):
    (tmp_path / "t.safetensors").write_bytes(b"no")
    with pytest.raises(InvalidInputError, match="no safetensors file"):
        load_tensors(tmp_path / "t.safetensors")
    save_file({"a": torch.ones(2, dtype=torch.int64)}, tmp_path / "t.safetensors")
    with pytest.raises(InvalidInputError, match="a tensor of type 'I64'; want one of F64, F32"):
        load_tensors(tmp_path / "t.safetensors")
    save_file({"a": torch.ones(2, dtype=torch.int64), "b": torch.ones(1)}, tmp_path / "m.st")
    assert load_tensors(tmp_path / "m.st", skip_others=True).keys() == {"b"}
    with pytest.raises(FileNotFoundError):
        load_tensors(tmp_path / "other.safetensors")
