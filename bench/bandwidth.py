"""How fast one thread reads memory: no scan of postings can be faster than this."""

from __future__ import annotations

import time

import numba
import numpy as np
from numpy.typing import NDArray

POSTING_BYTES = 3  # of our index: a document in 16 bits, an impact in 8
_WORDS = 2**26  # 512 MiB, more than any cache holds


def read_gb_s() -> float:
    """Gigabytes a second that one thread sums up, the best of five times."""
    words = np.ones(_WORDS, np.int64)
    _sum(words)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        _sum(words)
        seconds.append(time.perf_counter() - start)
    return float(words.nbytes / min(seconds) / 1e9)


@numba.njit
def _sum(words: NDArray[np.int64]) -> int:
    total = 0
    for word in words:
        total += word
    return total
