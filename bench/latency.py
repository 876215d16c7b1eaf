"""Search latency beside other engines: same documents, same queries, same run, one thread.

    pip install '.[models,dev,peers]' && pip install --no-deps pyserini
    python -m bench.latency --peers all [--collection BEIR_FOLDER] [--build-only]

Indexes are built first, each in a process of its own, and kept in the cache; then all engines take
turns. A result is a line for each workload in results/latency.jsonl; bench.goals and the plot
read them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench import goals, latency_plot, machine, records
from bench.bandwidth import POSTING_BYTES, read_gb_s
from bench.builds import built
from bench.engines import OURS, PEERS
from bench.engines.engine import Engine, Search
from bench.race import race, summary
from bench.workloads import (
    SYNTHETIC,
    TEXT_MODES,
    K,
    Workload,
    synthetic_workload,
    text_collection,
    text_workload,
)
from sparse_ir.retrieval.cached import default_cache

PACKAGES = ("scipy", "numba", "pyvsag", "pyseismic-lsr")


def main() -> None:
    arguments = _arguments()
    for workload in _workloads(arguments):
        engines = _engines(arguments, workload)
        indexes = {engine.name: built(engine, workload) for engine in engines}
        print(f"{workload.name}: {len(indexes)} indexes are built", flush=True)
        if arguments.build_only:
            continue
        result = _measure(workload, engines, indexes, arguments.rounds)
        records.add(result)
        print(table(result), flush=True)
    if not arguments.build_only:
        goals.main()
        latency_plot.main()


def _measure(
    workload: Workload, engines: Sequence[Engine], indexes: dict[str, Any], rounds: int
) -> dict[str, Any]:
    facts, searches = [], []
    for engine in engines:
        folder, costs = indexes[engine.name]
        start = time.perf_counter()
        searches.append(engine.open(folder))
        open_ms = (time.perf_counter() - start) * 1000
        facts.append({"engine": engine.name, "open_ms": open_ms, **asdict(costs)})
    opened = list(zip(engines, searches, strict=True))
    documents, gb_s = workload.documents, read_gb_s()
    return {
        "bench": "latency",
        "workload": workload.name,
        "machine": machine.describe(*PACKAGES),
        "docs": documents.shape[0],
        "postings": int(documents.nnz),
        "k": K,
        "rounds": rounds,
        "engines": facts,
        "limits": [_limit(workload, kind, gb_s) for kind in workload.kinds],
        "rows": [
            row for kind in workload.kinds for row in _race_kind(workload, kind, opened, rounds)
        ],
    }


def _race_kind(
    workload: Workload, kind: str, opened: list[tuple[Engine, Search]], rounds: int
) -> Iterator[dict[str, Any]]:
    queries = workload.queries(kind)
    parts = [slice(*queries.indptr[row : row + 2]) for row in range(queries.shape[0])]
    vectors = [(queries.indices[part].astype(np.uint32), queries.data[part]) for part in parts]
    searches = {
        (engine.name, label): _contender(engine, search, vectors, setting)
        for engine, search in opened
        for label, setting in engine.settings.items()
    }
    seconds = race(searches, len(vectors), rounds)
    for (name, label), search in searches.items():
        found = [np.asarray(search(i), np.int64) for i in range(len(vectors))]
        yield {
            "queries": kind,
            "engine": name,
            "setting": label,
            "recall": workload.recall(kind, found),
            **summary(seconds[name, label]),
        }


def _limit(workload: Workload, kind: str, gb_s: float) -> dict[str, Any]:
    """How long reading all postings of a query once takes at the least, on average."""
    frequencies = np.bincount(workload.documents.indices, minlength=workload.documents.shape[1])
    queries = workload.queries(kind)
    postings = float(frequencies[queries.indices].sum() / queries.shape[0])
    ms = postings * POSTING_BYTES / gb_s / 1e6
    return {"queries": kind, "postings": postings, "read_gb_s": gb_s, "ms": ms}


def _contender(
    engine: Engine, search: Search, vectors: list[Any], setting: Any
) -> Callable[[int], Any]:
    prepared = [engine.prepare(*vector) for vector in vectors]
    return lambda i: search(prepared[i], K, setting)


def table(result: dict[str, Any]) -> str:
    """What each engine costs, and its latency in every setting, as Markdown tables."""
    lines = [
        "| engine | build CPU s | bytes a non-zero | opening ms |",
        "|---|---|---|---|",
    ]
    for one in result["engines"]:
        lines.append(
            f"| {one['engine']} | {one['cpu_seconds']:.1f} "
            f"| {one['n_bytes'] / result['postings']:.2f} | {one['open_ms']:.1f} |"
        )
    lines += [
        f"\nReading the {one['postings']:,.0f} postings of a {one['queries']} query once, "
        f"{POSTING_BYTES} bytes each at {one['read_gb_s']:.1f} GB/s: {one['ms']:.4f} ms."
        for one in result["limits"]
    ]
    lines += [
        "\n| queries | engine | setting | recall@10 | mean ms | p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['queries']} | {row['engine']} | {row['setting']} "
            f"| {row['recall']:.4f} | {row['mean_ms']:.3f} | {row['p99_ms']:.3f} |"
        )
    return "\n".join(lines)


def _workloads(arguments: argparse.Namespace) -> Iterator[Workload]:
    for name in arguments.workloads:
        yield synthetic_workload(name, arguments.cache)
    if arguments.collection:
        collection = text_collection(arguments.collection, arguments.documents)
        for mode in TEXT_MODES:
            yield text_workload(collection, mode, arguments.cache)


def _engines(arguments: argparse.Namespace, workload: Workload) -> list[Engine]:
    """Ours and the wanted ones of the others that can do with so many documents."""
    wanted = arguments.peers
    peers = [peer for peer in PEERS if "all" in wanted or peer.name in wanted]
    n_docs = workload.documents.shape[0]
    return [engine for engine in (*OURS, *peers) if n_docs <= engine.most_docs]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", nargs="*", choices=SYNTHETIC, default=SYNTHETIC)
    parser.add_argument("--collection", help="BEIR folder; anchored and learned vectors race too")
    parser.add_argument("--documents", type=int, help="of the collection, the first ones")
    names = ["all", *(peer.name for peer in PEERS)]
    parser.add_argument("--peers", nargs="*", choices=names, default=["all"], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=default_cache() / "bench")
    parser.add_argument("--build-only", action="store_true", help="indexes only, nothing is timed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
