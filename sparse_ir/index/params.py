"""Every number of the index that a user may turn, and what each costs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, get_args

from sparse_ir.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Exact:
    """Search that returns what scoring every document would return, ties included."""

    algorithm: Literal["auto", "exhaustive"] = "auto"
    """``auto`` scores only what could be a hit; ``exhaustive`` scores every document, and is there
    to check the other."""


@dataclass(frozen=True, slots=True)
class Approximate:
    """Search that reads the postings that promise most, and may miss documents by the others.

    Either the recall is given, and each query is searched as measuring this index has shown to be
    enough for it (``tune_recall``), or the raw parameter.
    """

    recall: float | None = None
    """Mean share of the exact hits that is to be found, more than 0 and at most 1."""

    bound_share: float | None = None
    """Share of the greatest score that there could be which the postings that are read hold, more
    than 0 and at most 1, where it is exact. Less is faster and loses hits, of short queries more
    than of long ones."""

    def __post_init__(self) -> None:
        if (self.recall is None) == (self.bound_share is None):
            raise InvalidInputError(
                f"recall is {self.recall!r}, bound_share is {self.bound_share!r}; want one of them"
            )
        for name in ("recall", "bound_share"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise InvalidInputError(f"{name} is {value!r}; want more than 0 and at most 1")


CodeKind = Literal["none", "hnsw", "ivf-sq8", "ivf-rabitq"]


@dataclass(frozen=True, slots=True)
class DensePart:
    """What the dense part of an index holds."""

    model: str
    """The dense model, as ``load_dense_encoder`` takes it; "" for vectors of unknown origin."""

    dimension: int
    """Numbers of a vector."""

    codes: CodeKind = "none"
    """Held in memory to find candidates among the vectors on the disk: ``none`` reads all vectors
    instead; ``hnsw`` is a graph over bytes (1.3 bytes a dimension and more, the fastest at equal
    recall, slow to build); ``ivf-sq8`` lists of bytes; ``ivf-rabitq`` lists of bits, a thirtieth of
    float32. Segments of few vectors need none and have none."""

    fingerprint: str = ""
    """Digest of what decides a vector."""

    def __post_init__(self) -> None:
        if self.codes not in get_args(CodeKind):
            raise InvalidInputError(
                f"codes are {self.codes!r}; want one of {', '.join(get_args(CodeKind))}"
            )
        if not 0 < self.dimension <= 2**16:
            raise InvalidInputError(f"dimension is {self.dimension}; want 1..{2**16}")


@dataclass(frozen=True, slots=True)
class BuildParams:
    """How an index is built."""

    precision: Literal["float32", "float16", "uint8"] = "float16"
    """Stored weights: float32 keeps BM25 scores to seven digits (what ``ingest`` takes); float16
    saves 2 bytes a posting and rounds each weight by at most 1 part in 2048; uint8 saves 3 and
    rounds to 255ths of the term's greatest weight in the segment."""

    k1: float = 1.2
    """BM25's term frequency saturation, >= 0."""

    b: float = 0.75
    """BM25's length normalisation, 0..1."""

    memory_mb: int = 1024
    """Memory that building takes at most, beside 50 MB for the catalog: vectors are flushed to a
    new segment, and segments are joined, so far as this allows. 1024 are enough for segments of 38
    million postings, of 53 million by ``IndexWriter.optimize``, during which nothing is added. A
    document counts as four more; many rare terms take up to 50 bytes each on top."""

    threads: int | None = None
    """That build a large segment, None for as many as the machine has cores; its bytes are the same
    for any number."""

    @property
    def n_threads(self) -> int:
        """``threads``, or the cores of this machine."""
        return self.threads or os.cpu_count() or 1

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "float16", "uint8"):
            raise InvalidInputError(
                f"precision is {self.precision!r}; want float32, float16 or uint8"
            )
        if not self.k1 >= 0 or not 0 <= self.b <= 1:
            raise InvalidInputError(f"k1 is {self.k1}, b is {self.b}; want k1 >= 0 and b in 0..1")
        if self.threads is not None and self.threads < 1:
            raise InvalidInputError(f"threads is {self.threads}; want an integer >= 1")
        if self.memory_mb < 1:
            raise InvalidInputError(f"memory_mb is {self.memory_mb}; want an integer >= 1")
