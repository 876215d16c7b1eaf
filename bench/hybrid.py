"""Every leg and fusion on BEIR folders: nDCG@10 with significance, latency, bytes, memory.

    python -m bench.hybrid DATA/scifact DATA/cranfield --work FOLDER

Indexes are kept in the work folder and reused. ``bi-granular`` is the hybrid with RaBitQ codes in
memory, which find dense candidates, and float16 vectors on the disk, which verify them;
``sparse candidates`` has no codes: the vectors verify what the sparse leg found. Their recall is
the share of the flat hybrid's first ten that they find.

The hybrid is tested against the best single leg of each collection (chosen on its test queries, so
the strictest one) and against BM25 + dense, which it is to beat: paired randomisation tests,
Holm-corrected for the two, by collection and over all queries.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench import folders, machine, records
from sparse_ir.evaluation.significance import difference, holm
from sparse_ir.files import whole_folder
from sparse_ir.hits import Hits
from sparse_ir.index.params import CodeKind
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.experiment import compare_systems
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.systems import SYSTEMS, HybridSystem, System

LEGS = ("lexical", "learned", "anchored", "dense")
RIVAL, BASELINE, BEST = "bm25+dense", "hybrid", "best leg"
SHOWN = (*LEGS, RIVAL, BASELINE)
BI_GRANULAR, SPARSE = "bi-granular", "sparse candidates"
_TIMED_QUERIES = 100

ByQuery = dict[str, Mapping[str, float]]  # system -> query_id -> nDCG@10


def main() -> None:
    arguments = folders.arguments(__doc__)
    found = [_evaluate(name, arguments.work, arguments.model) for name in arguments.folders]
    collections = [record for record, _ in found]
    result = {
        "bench": "hybrid",
        "machine": machine.describe("ir-measures", "torch", "transformers"),
        "model": arguments.model,
        "rows": _rows({one["collection"]: values for one, values in found}),
        "collections": collections,
    }
    records.add(result)
    print(table(result))


def table(result: dict[str, Any]) -> str:
    """nDCG@10 as a Markdown table, and what the hybrid gains, with p-values."""
    against = (f"{BASELINE} - {name}, p" for name in (BEST, RIVAL))
    lines = [
        f"| collection | {' | '.join([*SHOWN, *against])} |",
        "|---" * (3 + len(SHOWN)) + "|",
    ]
    for row in result["rows"]:
        cells = [f"{row['nDCG@10'][name]:.3f}" for name in SHOWN]
        for one in row["against"].values():
            cells.append(f"{one['mean']:+.3f}, {one['p_randomisation']:.3f}")
        lines.append(f"| {row['collection']} | {' | '.join(cells)} |")
    tests = (
        "The last columns are what the hybrid gains on the best single leg and on BM25 + dense, "
        "with p of a paired randomisation test, Holm-corrected for the two; in the last row over "
        "all queries."
    )
    return "\n".join([*lines, "", f"{tests} {_times_in_words(result['collections'])}"])


def with_codes(flat: HybridRetriever, kind: CodeKind) -> HybridRetriever:
    """The same index with codes of its vectors: a copy beside it, made if it is not there."""
    path = flat.index.path
    folder = path.with_name(f"{kind}-{path.name}")
    if not folder.is_dir():
        with whole_folder(folder) as beside:
            shutil.copytree(path, beside)
            with IndexWriter.open(beside) as writer:
                writer.recode(kind)
    return HybridRetriever.open(folder)


def shared_share(wanted: Hits, found: Hits) -> float:
    """The mean share of the wanted hits that were found."""
    shares = [
        len({*one} & {*other}) / max(len(one), 1)
        for one, other in zip(wanted.ids, found.ids, strict=True)
    ]
    return float(np.mean(shares))


def _times_in_words(collections: Sequence[dict[str, Any]]) -> str:
    """Medians of a query, their mean over the collections."""
    granular = [one["bi_granular"] for one in collections]

    def mean(name: str, part: str) -> float:
        return float(np.mean([one[name][part] for one in granular]))

    encoding, sparse = mean(SPARSE, "encode_ms"), mean(SPARSE, "sparse_ms")
    goal = encoding + 1.5 * sparse
    return (
        f"Milliseconds a query: to encode it {encoding:.1f}, sparse search {sparse:.2f}, the "
        f"hybrid with codes {mean(BI_GRANULAR, 'hybrid_ms'):.1f}, without, verifying 200 sparse "
        f"candidates, {mean(SPARSE, 'hybrid_ms'):.1f} (goal: encoding + 1.5 x sparse, {goal:.1f})."
    )


def _rows(measured: Mapping[str, ByQuery]) -> list[dict[str, Any]]:
    """The table's numbers: a row a collection, and their mean, tested over all queries."""
    rows = [
        {"collection": collection, "nDCG@10": _means(of), "against": _tests(of)}
        for collection, of in measured.items()
    ]
    together = {
        name: {
            f"{collection} {query}": value
            for collection, of in measured.items()
            for query, value in of[name].items()
        }
        for name in SHOWN
    }
    means = {name: float(np.mean([row["nDCG@10"][name] for row in rows])) for name in SHOWN}
    return [*rows, {"collection": "mean", "nDCG@10": means, "against": _tests(together)}]


def _means(of: ByQuery) -> dict[str, float]:
    return {name: float(np.mean([*of[name].values()])) for name in SHOWN}


def _tests(of: ByQuery) -> dict[str, dict[str, Any]]:
    means = _means(of)
    others = {BEST: max(LEGS, key=lambda name: means[name]), RIVAL: RIVAL}
    tested = holm([difference(of[BASELINE], of[name]) for name in others.values()])
    return {
        name: {"system": other, **asdict(one)}
        for (name, other), one in zip(others.items(), tested, strict=True)
    }


def _evaluate(name: str, work: Path, model: str) -> tuple[dict[str, Any], ByQuery]:
    """What was measured on one collection, and nDCG@10 of each system by query."""
    collection = folders.read(name)
    texts = [query.text for query in collection.queries]
    with CachedIndexes(collection.documents, work, model=model) as indexes:
        flat = indexes.hybrid
        light = {
            BI_GRANULAR: with_codes(flat, "ivf-rabitq"),
            SPARSE: HybridRetriever(flat.sparse, candidates="sparse"),
        }
        systems: dict[str, System] = {system: SYSTEMS[system](indexes) for system in SHOWN}
        systems |= {name: HybridSystem(one, "anchored") for name, one in light.items()}
        report = compare_systems(
            collection, systems, n_documents=indexes.corpus[1], baseline=BASELINE, k=100
        )
        granular = {name: _bi_granular(flat, one, texts) for name, one in light.items()}
        by_query = {name: report.outcomes[name].evaluation.by_query["nDCG@10"] for name in SHOWN}
        return {**report.record(), "bi_granular": granular}, by_query


def _bi_granular(
    flat: HybridRetriever, light: HybridRetriever, texts: Sequence[str]
) -> dict[str, Any]:
    exact, found = flat.search_fused(texts, 10), light.search_fused(texts, 10)
    dense = light.index.dense
    return {
        "recall@10": shared_share(exact.hits, found.hits),
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
        "encode_ms": lambda text: light.dense_query_vectors([text]),
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


if __name__ == "__main__":
    main()
