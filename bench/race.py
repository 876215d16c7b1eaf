"""Who is faster: contenders take turns, each answering all queries in a turn, many times over.

Turns spread what else the machine does over all contenders; whole passes give each the caches that
it would have alone. A query's latency is its median over the rounds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Name = TypeVar("Name", bound=Hashable)
Search = Callable[[int], Any]  # answers the query of this number


def race(
    contenders: Mapping[Name, Search], n_queries: int, rounds: int, *, warm_up: int = 1
) -> dict[Name, NDArray[np.float64]]:
    """(n_queries,) median seconds of each contender, after so many passes that are not timed."""
    seconds = {name: np.empty((rounds, n_queries)) for name in contenders}
    for search in contenders.values():
        for query in [*range(n_queries)] * warm_up:
            search(query)
    gc.disable()
    try:
        for turn in range(rounds):
            for name, search in contenders.items():
                _pass(search, turn * n_queries // rounds, seconds[name][turn])
    finally:
        gc.enable()
    return {name: np.median(times, axis=0) for name, times in seconds.items()}


def summary(seconds: NDArray[np.float64]) -> dict[str, float]:
    """Mean, median and 99th percentile over queries, in milliseconds."""
    return {
        "mean_ms": float(seconds.mean() * 1000),
        "median_ms": float(np.median(seconds) * 1000),
        "p99_ms": float(np.quantile(seconds, 0.99) * 1000),
    }


def _pass(search: Search, first: int, seconds: NDArray[np.float64]) -> None:
    """All queries once, beginning with ``first``: no query always comes when caches are cold."""
    n = len(seconds)
    for i in range(n):
        query = (first + i) % n
        start = time.perf_counter()
        search(query)
        seconds[query] = time.perf_counter() - start
