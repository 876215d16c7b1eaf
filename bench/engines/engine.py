"""What the bench asks of an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Search = Callable[[Any, int, Any], Sequence[int] | NDArray[Any]]
"""Query as prepared, k, setting -> row numbers of the k best documents."""


class Engine(Protocol):
    """One way to index documents, with the settings in which it may be searched.

    The libraries that it needs are imported by its methods, so that an engine that is not installed
    costs nothing.
    """

    name: str
    settings: Mapping[str, Any]
    """Label -> what a search takes; labels of settings that miss nothing begin with "exact"."""

    most_docs: int
    """Beyond it, building or searching takes minutes or more memory than is usual."""

    def version(self) -> str:
        """Changes whenever an index must be built anew."""
        ...

    def build(self, documents: Any, folder: Path) -> None:
        """The index of a (n, terms) float32 csr_array is in ``folder``."""
        ...

    def open(self, folder: Path) -> Search:
        """Searches the index in ``folder`` until it is forgotten."""
        ...

    def prepare(self, terms: NDArray[np.uint32], weights: NDArray[np.float32]) -> Any:
        """The query as the engine's own interface takes it; not timed."""
        ...
