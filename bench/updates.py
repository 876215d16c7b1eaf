"""What changes cost on an index of N documents: opening, one document more, a filter, a view.

    python -m bench.updates [--docs 100000]

Medians and maxima over repetitions, in milliseconds, on a disk that syncs.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, records, synthetic
from sparse_ir import Index, IndexWriter

CHANGES = 64
FILTERS = {"1 in 2": "half = 0", "1 in 100": "hundredth = 0", "1 in 10,000": "rare = 0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=100_000)
    n = parser.parse_args().docs
    matrix, topic = synthetic.documents(n + CHANGES)
    queries = synthetic.queries(matrix[:n], topic[:n], 50, "splade")
    folder = Path(tempfile.mkdtemp())
    try:
        started = time.perf_counter()
        with IndexWriter.create(folder, n_terms=matrix.shape[1]) as writer:
            metadata = [{"half": i % 2, "hundredth": i % 100, "rare": i % 10_000} for i in range(n)]
            writer.add_vectors(matrix[:n], [f"d{i}" for i in range(n)], metadata=metadata)
            writer.optimize()
        seconds = time.perf_counter() - started
        rows = [*_updates(folder, matrix, n), *_openings(folder), *_filters(folder, queries)]
    finally:
        shutil.rmtree(folder)
    result = {"bench": "updates", "machine": machine.describe(), "docs": n}
    records.add({**result, "build_seconds": seconds, "rows": rows})
    print(f"{n:,} documents, built in {seconds:.1f} s")
    for row in rows:
        print(f"| {row['what']} | {row['median_ms']:.2f} | {row['max_ms']:.2f} |")


Row = dict[str, Any]


def _updates(folder: Path, matrix: Any, n: int) -> Iterator[Row]:
    with IndexWriter.open(folder) as writer:

        def add(i: int) -> None:
            writer.add_vectors(matrix[[n + i]], [f"new{i}"])

        def add_and_commit(i: int) -> None:
            add(i)
            writer.commit()

        def add_and_view(i: int) -> None:
            add(i)
            writer.index()

        yield _timed("add one document and commit", add_and_commit, CHANGES)
        yield _timed("replace one document and search it uncommitted", add_and_view, CHANGES)
        writer.delete([f"new{i}" for i in range(0, CHANGES, 2)])


def _openings(folder: Path) -> Iterator[Row]:
    yield _timed("open, with deletions, and close", lambda _: Index.open(folder).close(), 30)


def _filters(folder: Path, queries: Any) -> Iterator[Row]:
    rows = [queries[[i]] for i in range(queries.shape[0])]
    with Index.open(folder) as index:

        def search(filter: str | None) -> Callable[[int], object]:
            return lambda i: index.search(rows[i], 10, filter=filter)

        yield _timed("search", search(None), len(rows))
        for name, filter in FILTERS.items():
            yield _timed(f"search, new filter, {name} allowed", search(filter), 1)
            yield _timed(f"search, known filter, {name} allowed", search(filter), len(rows))


def _timed(what: str, action: Callable[[int], object], times: int) -> Row:
    ms = []
    for i in range(times):
        start = time.perf_counter()
        action(i)
        ms.append(1000 * (time.perf_counter() - start))
    return {"what": what, "median_ms": float(np.median(ms)), "max_ms": max(ms), "times": times}


if __name__ == "__main__":
    main()
