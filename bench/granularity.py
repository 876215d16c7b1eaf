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
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from bench import folders, machine, records
from bench.hybrid import shared_share, with_codes
from sparse_ir.index.faiss_codes import LEAST_ROWS
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.fusion import Fusion
from sparse_ir.retrieval.hybrid import HybridRetriever

PLOT = records.FOLDER / "granularity.svg"
FLAT, SPARSE = "flat", "sparse"
KINDS = (FLAT, "hnsw", "ivf-sq8", "ivf-rabitq", SPARSE)
DEPTHS = (10, 25, 50, 100, 200)
DEFAULT, FEW = Fusion().depth, 25
MOST_MEMORY, LEAST_RECALL = 1 / 8, 0.98  # the goal
_MOST_QUERIES = 300


def main() -> None:
    arguments = _arguments()
    if arguments.folders:
        points = [point for name in arguments.folders for point in _points(name, arguments)]
        result = {
            "bench": "granularity",
            "machine": machine.describe("faiss-cpu", "torch", "transformers"),
            "model": arguments.model,
            "rows": _rows(points),
            "points": points,
        }
        records.add(result)
    result = records.read("granularity")[-1]
    print(table(result))
    draw(result)


def table(result: dict[str, Any]) -> str:
    """A row a kind, as Markdown: means over the collections."""
    names = ", ".join(dict.fromkeys(point["collection"] for point in result["points"]))
    lines = [
        "| codes | memory / float32 | recall@10 | candidates | KiB read a query "
        f"| recall@10, {FEW} a leg | KiB |",
        "|---" * 7 + "|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['kind']} | {row['memory_share']:.3f} | {row['recall@10']:.3f} "
            f"| {row['candidates']:.0f} | {row['kib_read']:.0f} "
            f"| {row['few']['recall@10']:.3f} | {row['few']['kib_read']:.0f} |"
        )
    return "\n".join([*lines, "", f"Means over {names}."])


def _rows(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the collections, a row a kind, with the default candidates and with few."""
    return [
        {"kind": kind, **_means(points, kind, DEFAULT), "few": _means(points, kind, FEW)}
        for kind in KINDS
    ]


def _means(points: Sequence[dict[str, Any]], kind: str, depth: int) -> dict[str, float]:
    chosen = [one for one in points if one["kind"] == kind and one["depth"] == depth]
    names = ("memory_share", "recall@10", "candidates", "bytes_read")
    means = {name: float(np.mean([one[name] for one in chosen])) for name in names}
    return {**means, "kib_read": means["bytes_read"] / 1024}


def draw(result: dict[str, Any]) -> None:
    """The plot: a column a collection; memory and bytes read against recall."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "sparse_ir", "svg.fonttype": "none"})
    from matplotlib import pyplot

    by_collection = groupby(result["points"], key=itemgetter("collection"))
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
    figure.supylabel("recall@10 of the flat hybrid", fontsize=9)
    where = {"loc": "outside upper center", "ncols": len(KINDS), "fontsize": 8}
    figure.legend(lines.values(), lines.keys(), **where)
    figure.savefig(PLOT, metadata={"Date": None})


def _line(memory: Any, read: Any, kind: str, points: list[dict[str, Any]]) -> Any:
    recall = [row["recall@10"] for row in points]
    look = {"ms": 3.5, "lw": 1.2, "color": f"C{KINDS.index(kind)}"}
    memory.plot([row["memory_share"] for row in points], recall, "o-", **look)
    (line,) = read.plot([row["bytes_read"] / 1024 for row in points], recall, "o-", **look)
    return line


def _points(name: str, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    collection = folders.read(name)
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
        self._vectors = dict(zip(texts, retriever.dense_query_vectors(texts), strict=True))
        self.dimension = retriever.index.dense.dimension

    def encode(self, texts: Sequence[str], *, batch_size: int = 32) -> Any:
        return np.stack([self._vectors[text] for text in texts])


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
