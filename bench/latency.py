"""Search latency, exact, one thread, beside plain scans over the same matrix in the same run.

    python -m bench.latency [--docs 100000] [--queries 200]

Each engine answers every query once a round, engines taking turns within it; a query's latency is
its median over the rounds. Results are compared by score with scipy's, so that only equals race.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bench import machine, synthetic
from sparse_ir import Exact, Index, IndexWriter
from sparse_ir.index.params import BuildParams

RESULTS = Path(__file__).parent / "results" / "latency.jsonl"
K = 10
Search = Callable[[Any], NDArray[np.float32]]  # a (1, V) query -> its K best scores, best first


def main() -> None:
    arguments = _arguments()
    matrix, topic = synthetic.documents(arguments.docs)
    rows = []
    folder = Path(tempfile.mkdtemp())
    try:
        engines = _engines(matrix, folder)
        for kind in ("splade", "inference-free"):
            queries = synthetic.queries(matrix, topic, arguments.queries, kind)
            rows += _race(engines, [queries[[i]] for i in range(queries.shape[0])], kind, arguments)
        n_bytes = Index.open(folder).info()["segment_bytes"]
    finally:
        shutil.rmtree(folder)
    result = {
        "bench": "latency",
        "machine": machine.describe("scipy", "numba"),
        "docs": arguments.docs,
        "postings": int(matrix.nnz),
        "k": K,
        "segment_bytes": n_bytes,
        "rows": rows,
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps(result) + "\n")
    print(table(result))


def table(result: dict[str, Any]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| queries | engine | mean ms | p99 ms | ratio to numba |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['queries']} | {row['engine']} | {row['mean_ms']:.3f} | {row['p99_ms']:.3f} "
            f"| {row['ratio_to_numba']:.2f} |"
        )
    return "\n".join(lines)


def _race(
    engines: dict[str, Search], queries: list[Any], kind: str, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    seconds = {name: np.empty((arguments.rounds, len(queries))) for name in engines}
    for i, query in enumerate(queries):
        best = {name: search(query) for name, search in engines.items()}  # warms up and checks
        for name, scores in best.items():
            np.testing.assert_allclose(scores, best["scipy CSC"], rtol=1e-5, err_msg=name)
        for turn in range(arguments.rounds):
            for name, search in engines.items():
                start = time.perf_counter()
                search(query)
                seconds[name][turn, i] = time.perf_counter() - start
    medians = {name: np.median(times, axis=0) * 1000 for name, times in seconds.items()}
    base = medians["numba term-at-a-time"].mean()
    return [
        {
            "queries": kind,
            "engine": name,
            "mean_ms": float(times.mean()),
            "p99_ms": float(np.quantile(times, 0.99)),
            "ratio_to_numba": float(times.mean() / base),
        }
        for name, times in medians.items()
    ]


def _engines(matrix: Any, folder: Path) -> dict[str, Search]:
    params = BuildParams("float32")  # so that scores equal those of the other engines
    with IndexWriter.create(folder, n_terms=matrix.shape[1], params=params) as writer:
        writer.add_vectors(matrix, [str(i) for i in range(matrix.shape[0])])
        writer.optimize()
    index = Index.open(folder)
    return {
        "scipy CSC": _scipy_columns(matrix),
        "numba term-at-a-time": _numba_scan(matrix),
        "sparse_ir, exact": _ours(index, Exact()),
        "sparse_ir, exhaustive": _ours(index, Exact("exhaustive")),
    }


def _ours(index: Index, plan: Exact) -> Search:
    return lambda query: index.search(query, K, plan=plan).scores[0]


def _scipy_columns(matrix: Any) -> Search:
    columns = matrix.tocsc()

    def search(query: Any) -> NDArray[np.float32]:
        scores = columns[:, query.indices] @ query.data
        best = np.argpartition(-scores, K)[:K]
        return -np.sort(-scores[best])

    return search


def _numba_scan(matrix: Any) -> Search:
    columns = matrix.tocsc()
    bounds, docs, weights = columns.indptr, columns.indices.astype(np.uint32), columns.data
    scores = np.zeros(matrix.shape[0], np.float32)

    def search(query: Any) -> NDArray[np.float32]:
        _accumulate(bounds, docs, weights, scores, query.indices, query.data)
        return _best(scores)

    return search


@numba.njit(fastmath=True)
def _accumulate(bounds: Any, docs: Any, weights: Any, scores: Any, terms: Any, values: Any) -> None:
    scores[:] = 0
    for j in range(len(terms)):
        for at in range(bounds[terms[j]], bounds[terms[j] + 1]):
            scores[docs[at]] += values[j] * weights[at]


@numba.njit(fastmath=True)
def _best(scores: Any) -> Any:
    best = np.zeros(K, np.float32)
    for start in range(0, len(scores), 64):
        stop = min(start + 64, len(scores))
        greatest = np.float32(0)
        for at in range(start, stop):
            greatest = max(greatest, scores[at])
        if greatest > best[K - 1]:
            for at in range(start, stop):
                place = K
                while place > 0 and best[place - 1] < scores[at]:
                    if place < K:
                        best[place] = best[place - 1]
                    place -= 1
                if place < K:
                    best[place] = scores[at]
    return best


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200, help="of each kind")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
