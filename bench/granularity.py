"""What codes of vectors cost and miss: memory, vectors read, recall@10 of the flat hybrid.

    python -m bench.granularity DATA/scifact DATA/wikiqa --work FOLDER
    python -m bench.granularity                                        # draws the last results anew

Each kind of codes finds candidates in memory, that vectors on the disk verify; ``sparse`` has no
codes, and verifies what the sparse leg found. Every kind is tried with several numbers of
candidates a leg. ``flat`` reads all vectors for every query, so they count as its memory. Indexes
are kept in the work folder and reused; of each collection up to 300 queries are asked.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, records
from bench.hybrid import shared_share, with_codes
from sparse_ir.evaluation.collection import read_collection
from sparse_ir.index.faiss_codes import LEAST_ROWS
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.fusion import Fusion
from sparse_ir.retrieval.hybrid import HybridRetriever

RESULTS = records.FOLDER / "granularity.jsonl"
PLOT = records.FOLDER / "granularity.svg"
FLAT, SPARSE = "flat", "sparse"
KINDS = (FLAT, "hnsw", "ivf-sq8", "ivf-rabitq", SPARSE)
DEPTHS = (10, 25, 50, 100, 200)
DEFAULT = Fusion().depth
MOST_MEMORY, LEAST_RECALL = 1 / 8, 0.98  # the goal
_MOST_QUERIES = 300


def main() -> None:
    arguments = _arguments()
    if arguments.folders:
        rows = [row for name in arguments.folders for row in _rows(name, arguments)]
        result = {
            "bench": "granularity",
            "machine": machine.describe("faiss-cpu", "torch", "transformers"),
            "model": arguments.model,
            "rows": rows,
        }
        records.add(result)
    result = json.loads(RESULTS.read_text().splitlines()[-1])
    print(table(result))
    draw(result)


def table(result: dict[str, Any]) -> str:
    """Every kind with the default number of candidates: means over the collections, and goals."""
    rows = [row for row in result["rows"] if row["depth"] == DEFAULT]
    names = list(dict.fromkeys(row["collection"] for row in rows))
    lines = [
        f"| codes | memory / float32 | recall@10 | candidates | KiB read a query "
        f"| recall@10 with {DEPTHS[1]} a leg |",
        "|---" * 6 + "|",
    ]
    for kind in KINDS:
        of_kind = [row for row in rows if row["kind"] == kind]
        few = [r for r in result["rows"] if r["kind"] == kind and r["depth"] == DEPTHS[1]]
        lines.append(
            f"| {kind} | {_mean(of_kind, 'memory_share'):.3f} | {_mean(of_kind, 'recall@10'):.3f} "
            f"| {_mean(of_kind, 'candidates'):.0f} | {_mean(of_kind, 'bytes_read') / 1024:,.0f} "
            f"| {_mean(few, 'recall@10'):.3f} |"
        )
    return "\n".join([*lines, "", f"Means over {', '.join(names)}."])


def draw(result: dict[str, Any]) -> None:
    """The plot: a column a collection; memory and bytes read against recall."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "sparse_ir", "svg.fonttype": "none"})
    from matplotlib import pyplot

    by_collection = groupby(result["rows"], key=itemgetter("collection"))
    columns = {name: list(rows) for name, rows in by_collection}
    figure, axes = pyplot.subplots(
        2, len(columns), figsize=(3.0 * len(columns), 5.4), layout="constrained", squeeze=False
    )
    lines = {}
    for (name, rows), (memory, read) in zip(columns.items(), axes.T, strict=True):
        memory.set(title=f"{name}, {rows[0]['vectors']:,} vectors", xlim=(-0.03, 0.55))
        memory.title.set_fontsize(9)
        read.set(xscale="log")
        for kind, points in groupby(rows, key=itemgetter("kind")):
            lines[kind] = _line(memory, read, kind, list(points))
        for axis in (memory, read):
            axis.set(ylim=(0.9, 1.003))
            axis.axhline(LEAST_RECALL, color="0.6", lw=0.8, ls=":")
            axis.tick_params(labelsize=8)
        memory.axvline(MOST_MEMORY, color="0.6", lw=0.8, ls=":")
        memory.set_xlabel("memory / flat float32", fontsize=8)
        read.set_xlabel("KiB of vectors read a query", fontsize=8)
    figure.supylabel(
        f"recall@10 of the flat hybrid; {', '.join(map(str, DEPTHS))} candidates a leg"
    )
    where = {"loc": "outside upper center", "ncols": len(KINDS), "fontsize": 8}
    figure.legend(lines.values(), lines.keys(), **where)
    figure.savefig(PLOT, metadata={"Date": None})


def _line(memory: Any, read: Any, kind: str, points: list[dict[str, Any]]) -> Any:
    recall = [row["recall@10"] for row in points]
    look = {"ms": 3.5, "lw": 1.2, "color": f"C{KINDS.index(kind)}"}
    memory.plot([row["memory_share"] for row in points], recall, "o-", **look)
    (line,) = read.plot([row["bytes_read"] / 1024 for row in points], recall, "o-", **look)
    return line


def _rows(name: str, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    folder, _, split = name.partition(":")
    collection = read_collection(folder, split or "test")
    texts = [query.text for query in collection.queries][:_MOST_QUERIES]
    with CachedIndexes(collection.documents, arguments.work, model=arguments.model) as indexes:
        flat = indexes.hybrid
        n_vectors = flat.index.dense.n_vectors
        if n_vectors < LEAST_ROWS:
            raise SystemExit(f"{name} has {n_vectors} vectors; want {LEAST_ROWS}, else no codes")
        asked = _Asked(texts, flat)
        wanted = HybridRetriever(flat.sparse, asked).search_fused(texts, 10).hits
        for kind in KINDS:
            source = flat if kind in (FLAT, SPARSE) else with_codes(flat, kind)
            memory = flat.index.dense.n_bytes if kind == FLAT else source.index.dense.memory_bytes
            for depth in DEPTHS:
                tried = HybridRetriever(
                    source.sparse,
                    asked,
                    fusion=Fusion(depth=depth),
                    candidates="sparse" if kind == SPARSE else "both",
                )
                found = tried.search_fused(texts, 10)
                yield {
                    "collection": collection.name,
                    "kind": kind,
                    "depth": depth,
                    "vectors": n_vectors,
                    "memory_share": 0
                    if kind == SPARSE
                    else memory / (n_vectors * 4 * asked.dimension),
                    "recall@10": shared_share(wanted, found.hits),
                    "candidates": float(found.n_candidates.mean()),
                    "bytes_read": float(found.bytes_read.mean()),
                }


class _Asked:
    """The vectors of some texts, encoded once."""

    def __init__(self, texts: Sequence[str], retriever: HybridRetriever) -> None:
        self._vectors = dict(zip(texts, retriever.query_vectors(texts), strict=True))
        self.dimension = retriever.index.dense.dimension

    def encode(self, texts: Sequence[str], *, batch_size: int = 32) -> Any:
        return np.stack([self._vectors[text] for text in texts])


def _mean(rows: Sequence[dict[str, Any]], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", metavar="FOLDER[:SPLIT]")
    parser.add_argument("--work", type=Path, help="where indexes are kept")
    parser.add_argument("--model", default="mini")
    arguments = parser.parse_args()
    if arguments.folders and arguments.work is None:
        parser.error("--work is missing")
    return arguments


if __name__ == "__main__":
    main()
