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
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from sparse_ir.errors import InvalidInputError


def load_tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of a safetensors file.

    Raises:
        InvalidInputError: not such a file.
        OSError: no such file.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InvalidInputError(f"{path} is no safetensors file: {error}") from error


def save_tensors(tensors: Mapping[str, NDArray[Any]], path: Path) -> None:
    """The tensors are in the file."""
    path.write_bytes(save(dict(tensors)))


def save_network(network: Any, folder: Path, **options: Any) -> None:
    """A model of transformers is in ``folder``, by its ``save_pretrained`` with these options."""
    network.save_pretrained(folder, **options)
    for path in folder.glob("*.safetensors"):
        shutil.copymode(folder / "config.json", path)
