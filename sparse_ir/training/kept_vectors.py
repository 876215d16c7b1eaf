"""KeptVectors: what networks made of texts, in files: a resumed training reads none again."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir.files import whole_file
from sparse_ir.vectors import TermWeights


class KeptVectors:
    """Vectors by who made them and of which texts.

    Args:
        folder: Of the files, made when there are some; None keeps none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def dense(
        self, made_by: str, texts: Sequence[str], make: Callable[[], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """(n, H) float32, kept in half precision.

        Args:
            made_by: Whatever decides the vectors beside the texts.
            texts: n of them.
            make: Called if they are not kept.
        """
        if self._folder is None:
            return make()
        path = self._file(self._folder, made_by, texts, ".npy")
        _write(path, lambda file: np.save(file, make().astype(np.float16)))
        kept: NDArray[np.float32] = np.load(path).astype(np.float32)
        return kept

    def sparse(
        self, made_by: str, texts: Sequence[str], make: Callable[[], TermWeights]
    ) -> sp.csr_array:
        """(n, V) float32; arguments as of ``dense``."""
        if self._folder is None:
            return sp.csr_array(make())
        path = self._file(self._folder, made_by, texts, ".npz")
        _write(path, lambda file: sp.save_npz(file, sp.csr_array(make()), compressed=False))
        return sp.csr_array(sp.load_npz(path))

    def _file(self, folder: Path, made_by: str, texts: Sequence[str], suffix: str) -> Path:
        key = hashlib.blake2b(made_by.encode(), digest_size=16)
        for text in texts:
            key.update(hashlib.blake2b(text.encode(), digest_size=16).digest())
        return folder / f"{key.hexdigest()}{suffix}"


def _write(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # trainings may share a folder: the second finds it done
        if not path.is_file():
            with whole_file(path) as beside, beside.open("wb") as file:
                write(file)
