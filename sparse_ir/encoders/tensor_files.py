"""Safetensors files, which whom the umask lets may read.

The library itself writes them for their owner alone; then no server under another account could
open an index or a model.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from sparse_ir.errors import InvalidInputError

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def load_tensors(path: Path, *, skip_others: bool = False) -> dict[str, NDArray[np.float32]]:
    """The tensors of a safetensors file; those in bfloat16, which numpy has not, in float32.

    Args:
        path: Of the file.
        skip_others: Whether tensors of other than floating-point numbers are left out.

    Raises:
        InvalidInputError: not such a file, or one with other numbers than floating-point ones.
        OSError: no such file.
    """
    content = path.read_bytes()
    try:
        stored: list[tuple[str, dict[str, Any]]] = deserialize(content)  # type: ignore[no-untyped-call]
        is_skipped = {name: skip_others and t["dtype"] not in _TYPES for name, t in stored}
        return {name: _array(tensor) for name, tensor in stored if not is_skipped[name]}
    except SafetensorError as error:
        raise InvalidInputError(f"{path} is no safetensors file: {error}") from error
    except KeyError as error:
        raise InvalidInputError(
            f"{path} holds a tensor of type {error}; want one of {', '.join(_TYPES)}"
        ) from error


def save_tensors(tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    """The tensors are in the file."""
    path.write_bytes(save(dict(tensors)))


def save_network(network: Any, folder: Path, **options: Any) -> None:
    """A model of transformers is in ``folder``, by its ``save_pretrained`` with these options."""
    network.save_pretrained(folder, **options)
    for path in folder.glob("*.safetensors"):
        shutil.copymode(folder / "config.json", path)


def _array(tensor: Mapping[str, Any]) -> NDArray[Any]:
    numbers: NDArray[Any] = np.frombuffer(tensor["data"], _TYPES[tensor["dtype"]])
    if tensor["dtype"] == "BF16":  # the upper half of a float32
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    shaped: NDArray[Any] = numbers.reshape(tensor["shape"])
    return shaped
