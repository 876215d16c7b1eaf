"""Dense queries by table against the network: nDCG@10 of dense and hybrid, and time to encode.

    python -m bench.query_table DATA/scifact DATA/cranfield --work FOLDER

The table is distilled as ``sparse-ir distil-queries`` does it, on each collection's own texts.
Indexes are kept in the work folder and reused. Tests: paired randomisation, Holm-corrected.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np

from bench import folders, machine, records
from sparse_ir.evaluation.collection import Collection
from sparse_ir.evaluation.evaluate import evaluate
from sparse_ir.evaluation.significance import difference, holm
from sparse_ir.files import whole_folder
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.dense_queries import distil_queries
from sparse_ir.retrieval.experiment import rankings
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.systems import DenseSystem, HybridSystem, SparseSystem, System

SPARSE, DENSE, DENSE_TABLE = "anchored", "dense", "dense by table"
HYBRID, HYBRID_TABLE = "hybrid", "hybrid by table"
SHOWN = (SPARSE, DENSE, DENSE_TABLE, HYBRID, HYBRID_TABLE)
_MEASURE = "nDCG@10"
_REPORT = "distilled.json"  # beside the index: what distilling said of itself
_TIMED_QUERIES = 200


def main() -> None:
    arguments = folders.arguments(__doc__)
    result = {
        "bench": "query_table",
        "machine": machine.describe("ir-measures", "torch", "transformers"),
        "model": arguments.model,
        "rows": _with_mean(
            [_row(name, arguments.work, arguments.model) for name in arguments.folders]
        ),
    }
    records.add(result)
    print(table(result))


def table(result: dict[str, Any]) -> str:
    """nDCG@10 as a Markdown table; a star where hybrid by table differs (p < .05)."""
    lines = [
        "Dense queries by table (`distil-queries`) against the network, `python -m "
        "bench.query_table`; a star where the hybrid by table differs (p < .05, Holm-corrected), "
        "and the mean cosine of both vectors of a query:",
        "",
        f"| collection | {' | '.join(SHOWN)} | cosine | ms a query, network | table |",
        "|---" * (4 + len(SHOWN)) + "|",
    ]
    for row in result["rows"]:
        cells = [
            f"{row[_MEASURE][name]:.3f}{'*' * (row['tests'].get(name, 1.0) < 0.05)}"
            for name in SHOWN
        ]
        times = row["encode_ms"]
        lines.append(
            f"| {row['collection']} | {' | '.join(cells)} | {row['cosine_of_queries']:.2f} "
            f"| {times['network']:.2f} | {times['table']:.2f} |"
        )
    return "\n".join(lines)


def _with_mean(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def mean(*keys: str) -> float:
        return float(np.mean([reduce(getitem, keys, row) for row in rows]))

    last = {
        "collection": "mean",
        _MEASURE: {name: mean(_MEASURE, name) for name in SHOWN},
        "tests": {},
        "cosine_of_queries": mean("cosine_of_queries"),
        "encode_ms": {how: mean("encode_ms", how) for how in ("network", "table")},
    }
    return [*rows, last]


def _row(name: str, work: Path, model: str) -> dict[str, Any]:
    collection = folders.read(name)
    texts = [query.text for query in collection.queries]
    with CachedIndexes(collection.documents, work, model=model) as indexes:
        by_network = indexes.hybrid
        path, distilled = _with_table(by_network.index.path)
        with HybridRetriever.open(path, dense_queries="table") as by_table:
            systems: dict[str, System] = {
                SPARSE: SparseSystem(by_network.sparse, "anchored"),
                DENSE: DenseSystem(by_network),
                DENSE_TABLE: DenseSystem(by_table),
                HYBRID: HybridSystem(by_network, "anchored"),
                HYBRID_TABLE: HybridSystem(by_table, "anchored"),
            }
            values = {name: _values(system, collection) for name, system in systems.items()}
            others = [name for name in SHOWN if name != HYBRID_TABLE]
            tested = holm([difference(values[HYBRID_TABLE], values[name]) for name in others])
            vectors = [one.dense_query_vectors(texts) for one in (by_network, by_table)]
            return {
                "collection": collection.name,
                "split": collection.split,
                "queries": len(texts),
                _MEASURE: {name: float(np.mean([*of.values()])) for name, of in values.items()},
                "tests": {
                    name: one.p_randomisation for name, one in zip(others, tested, strict=True)
                },
                "distilled": distilled,
                "cosine_of_queries": float((vectors[0] * vectors[1]).sum(1).mean()),
                "encode_ms": {
                    "network": _median_ms(by_network, texts),
                    "table": _median_ms(by_table, texts),
                },
            }


def _with_table(source: Path) -> tuple[Path, dict[str, Any]]:
    """(a copy of the index with a table beside it, what distilling said), made if missing."""
    folder = source.with_name(f"table-{source.name}")
    if not folder.is_dir():
        with whole_folder(folder) as beside:
            shutil.copytree(source, beside)
            report = distil_queries(beside)
            (beside / _REPORT).write_text(json.dumps(asdict(report)))
    return folder, json.loads((folder / _REPORT).read_text())


def _values(system: System, collection: Collection) -> Mapping[str, float]:
    """nDCG@10 by query."""
    run = dict(rankings(system, collection.queries, 10))
    return evaluate(run, collection.qrels, [_MEASURE]).by_query[_MEASURE]


def _median_ms(retriever: HybridRetriever, texts: Sequence[str]) -> float:
    """To encode a query, one at a time."""
    milliseconds = []
    for text in [texts[0], *texts[:_TIMED_QUERIES]]:
        start = time.perf_counter()
        retriever.dense_query_vectors([text])
        milliseconds.append(1000 * (time.perf_counter() - start))
    return float(np.median(milliseconds[1:]))


if __name__ == "__main__":
    main()
