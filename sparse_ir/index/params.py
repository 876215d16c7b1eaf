"""Every number of the index that a user may turn, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparse_ir.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Exact:
    """Search that returns what scoring every document would return, ties included."""

    algorithm: Literal["maxscore", "exhaustive"] = "maxscore"
    """``maxscore`` skips what cannot enter the top k; ``exhaustive`` scores every document, and is
    there to check the former."""


@dataclass(frozen=True, slots=True)
class BuildParams:
    """How an index is built."""

    precision: Literal["float32", "float16"] = "float32"
    """Stored weights: float32 keeps BM25 scores to seven digits; float16 saves 2 bytes a posting
    and rounds each weight by at most 1 part in 2048."""

    k1: float = 1.2
    """BM25's term frequency saturation, >= 0."""

    b: float = 0.75
    """BM25's length normalisation, 0..1."""

    memory_mb: int = 1024
    """Memory that building takes at most, beside 50 MB for the catalog: vectors are flushed to a
    new segment, and segments are joined, so far as this allows (22 million postings by default)."""

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "float16"):
            raise InvalidInputError(f"precision is {self.precision!r}; want float32 or float16")
        if not self.k1 >= 0 or not 0 <= self.b <= 1:
            raise InvalidInputError(f"k1 is {self.k1}, b is {self.b}; want k1 >= 0 and b in 0..1")
        if self.memory_mb < 1:
            raise InvalidInputError(f"memory_mb is {self.memory_mb}; want an integer >= 1")
