"""Other threads run Python in the middle of every loop over postings."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np
import pytest

from sparse_ir import _native

N_DOCS, LENGTH, N_TERMS = 100_000, 8, 800
LOOPS = ("search", "rows", "document_frequencies", "rank_by_best_passage")


@pytest.fixture(scope="module")
def loops():
    """Calls that take a tenth of a second or so, by name."""
    draw = np.random.default_rng(0)
    apart = N_TERMS // LENGTH
    terms = draw.integers(0, apart, (N_DOCS, LENGTH)) + apart * np.arange(LENGTH)
    terms = terms.ravel().astype(np.uint32)
    weights = draw.integers(1, 9, terms.size).astype(np.float32)
    indptr = LENGTH * np.arange(N_DOCS + 1)
    builder = _native.SegmentBuilder()
    builder.add(np.arange(N_DOCS, dtype=np.uint64), indptr, terms, weights)
    segment = builder.segment("in memory")
    queries = indptr[:21], terms[: indptr[20]], weights[: indptr[20]]
    passages = np.full((N_DOCS, 3), LENGTH, np.uint32)  # start, end, number of terms
    row = (0, passages.tobytes(), terms.tobytes(), weights.tobytes())
    bound = np.zeros(1, np.int64), np.ones(1, np.float32)
    query = np.arange(N_TERMS, dtype=np.uint32), np.ones(N_TERMS, np.float32)
    many = np.tile(np.arange(N_DOCS, dtype=np.uint32), 10)
    return {
        "search": partial(_native.search, [segment], [None], *queries, 10, "exhaustive", 1),
        "rows": partial(segment.rows, many),
        "document_frequencies": partial(segment.document_frequencies, np.tile(many % N_TERMS, 10)),
        "rank_by_best_passage": partial(_native.rank_by_best_passage, *bound, [row], *query),
    }


def another_thread_ran_in_the_middle_of(call):
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    call()
    third = (time.perf_counter() - start) / 3
    done.set()
    thread.join()
    return any(start + third < at < start + 2 * third for at in ticks)


@pytest.mark.parametrize("name", LOOPS)
def test_holds_no_lock_of_python(loops, name):
    attempts = 5  # on a busy machine the other thread may get no turn
    assert any(another_thread_ran_in_the_middle_of(loops[name]) for _ in range(attempts))
