"""Every leg and fusion on BEIR folders: nDCG@10 with significance, latency, bytes, memory.

    python -m bench.hybrid DATA/scifact DATA/cranfield --work FOLDER

Indexes are kept in the work folder and reused. ``bi-granular`` is the hybrid with RaBitQ codes in
memory, which find dense candidates, and float16 vectors on the disk, which verify them;
``sparse candidates`` has no codes: the vectors verify what the sparse leg found. Their recall is
the share of the flat hybrid's first ten that they find.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from sparse_ir.evaluation.collection import read_collection
from sparse_ir.files import whole_folder
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.experiment import compare_systems
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.systems import SYSTEMS, HybridSystem, System

RESULTS = Path(__file__).parent / "results" / "hybrid.jsonl"
SHOWN = ("lexical", "learned", "anchored", "dense", "bm25+dense", "hybrid")
BASELINE = "hybrid"
BI_GRANULAR, SPARSE = "bi-granular", "sparse candidates"
_TIMED_QUERIES = 100


def main() -> None:
    arguments = _arguments()
    collections = [_evaluate(name, arguments.work, arguments.model) for name in arguments.folders]
    result = {
        "bench": "hybrid",
        "machine": machine.describe("ir-measures", "torch", "transformers"),
        "model": arguments.model,
        "rows": _rows(collections),
        "collections": collections,
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps(result) + "\n")
    print(table(result))


def table(result: dict[str, Any]) -> str:
    """nDCG@10 as a Markdown table; a star where the hybrid differs (p < .05, Holm-corrected)."""
    shown = [*SHOWN, BI_GRANULAR, SPARSE]
    lines = [f"| collection | {' | '.join(shown)} |", "|---" * (1 + len(shown)) + "|"]
    for row in result["rows"]:
        cells = [f"{row['nDCG@10'][name]:.3f}{'*' * row['differs'][name]}" for name in shown]
        lines.append(f"| {row['collection']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rows(collections: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The table's numbers: a row a collection, and their mean."""
    shown = [*SHOWN, BI_GRANULAR, SPARSE]
    rows = [
        {
            "collection": one["collection"],
            "nDCG@10": {name: one["systems"][name]["measures"]["nDCG@10"] for name in shown},
            "differs": {
                name: one["differences"].get(name, {}).get("p_randomisation", 1.0) < 0.05
                for name in shown
            },
        }
        for one in collections
    ]
    means = {name: float(np.mean([row["nDCG@10"][name] for row in rows])) for name in shown}
    return [*rows, {"collection": "mean", "nDCG@10": means, "differs": dict.fromkeys(shown, False)}]


def _evaluate(name: str, work: Path, model: str) -> dict[str, Any]:
    folder, _, split = name.partition(":")
    collection = read_collection(folder, split or "test")
    texts = [query.text for query in collection.queries]
    with CachedIndexes(collection.documents, work, model=model) as indexes:
        flat = indexes.hybrid
        folder_of_codes = flat.index.path.with_name(f"codes-{flat.index.path.name}")
        if not folder_of_codes.is_dir():
            with whole_folder(folder_of_codes) as beside:
                shutil.copytree(flat.index.path, beside)
                with IndexWriter.open(beside) as writer:
                    writer.recode("ivf-rabitq")
        light = {
            BI_GRANULAR: HybridRetriever.open(folder_of_codes),
            SPARSE: HybridRetriever(flat.sparse, candidates="sparse"),
        }
        systems: dict[str, System] = {system: SYSTEMS[system](indexes) for system in SHOWN}
        systems |= {name: HybridSystem(one, "anchored") for name, one in light.items()}
        report = compare_systems(
            collection, systems, n_documents=indexes.corpus[1], baseline=BASELINE, k=100
        )
        granular = {name: _bi_granular(flat, one, texts) for name, one in light.items()}
        return {**report.record(), "bi_granular": granular}


def _bi_granular(
    flat: HybridRetriever, light: HybridRetriever, texts: Sequence[str]
) -> dict[str, Any]:
    exact, found = flat.search_fused(texts, 10), light.search_fused(texts, 10)
    shared = [
        len(set(one) & set(other)) / max(len(one), 1)
        for one, other in zip(exact.hits.ids, found.hits.ids, strict=True)
    ]
    dense = light.index.dense
    return {
        "recall@10": float(np.mean(shared)),
        "candidates": float(found.n_candidates.mean()),
        "bytes_read": float(found.bytes_read.mean()),
        "memory_bytes": dense.memory_bytes,
        "float32_bytes": dense.n_vectors * dense.dimension * 4,
        **_times(light, texts[:_TIMED_QUERIES]),
    }


def _times(light: HybridRetriever, texts: Sequence[str]) -> dict[str, float]:
    """Median milliseconds of a query, one at a time on one thread, and of its parts."""
    depth = light.fusion.depth
    parts = {
        "encode_ms": lambda text: light.query_vectors([text]),
        "sparse_ms": lambda text: light.sparse.search_arrays([text], 10),
        "sparse_candidates_ms": lambda text: light.sparse.search_arrays([text], depth),
        "hybrid_ms": lambda text: light.search_fused([text], 10),
    }
    result = {}
    for name, search in parts.items():
        search(texts[0])
        milliseconds = []
        for text in texts:
            start = time.perf_counter()
            search(text)
            milliseconds.append(1000 * (time.perf_counter() - start))
        result[name] = float(np.median(milliseconds))
    return result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", metavar="FOLDER[:SPLIT]")
    parser.add_argument("--work", type=Path, required=True, help="where indexes are kept")
    parser.add_argument("--model", default="mini")
    return parser.parse_args()


if __name__ == "__main__":
    main()
