"""What the adapters of RAG frameworks add to a query, beside the same search without one.

    python -m bench.adapters [--queries 400]

Each query is searched by the retriever and by every adapter, each time another one first, so that
all meet the same machine and caches; a row is the median of its time, and of what it took more than
the retriever did. ``ours alone`` leaves out what the framework itself does around an adapter. Needs
the extra ``frameworks``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import scipy.sparse as sp

from bench import machine, records
from sparse_ir import Document, IndexWriter, SparseRetriever, ingest
from sparse_ir.encoders.analyzer import Analyzer

DOCS, WORDS_A_DOC, VOCABULARY, HITS = 2_000, 60, 5_000, 10
PACKAGES = ("langchain-core", "llama-index-core", "haystack-ai", "dspy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=400)
    n_queries = parser.parse_args().queries
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
    random = np.random.default_rng(7)
    folder = Path(tempfile.mkdtemp())
    try:
        _build(folder, [_text(random, WORDS_A_DOC) for _ in range(DOCS)])
        with SparseRetriever.open(folder) as retriever:
            rows = _measure(_ways(retriever, folder), [_text(random, 5) for _ in range(n_queries)])
    finally:
        shutil.rmtree(folder)
    result = {"bench": "adapters", "machine": machine.describe(*PACKAGES), "docs": DOCS}
    records.add({**result, "queries": n_queries, "k": HITS, "rows": rows})
    for row in rows:
        print(f"| {row['way']} | {row['median_ms']:.3f} | {row['added_ms']:.3f} |")


def _text(random: np.random.Generator, n: int) -> str:
    return " ".join(f"word{rank}" for rank in random.zipf(1.3, n) % VOCABULARY)


def _build(folder: Path, texts: list[str]) -> None:
    """An index of words; the learned block is empty, so no network is needed."""
    ingest(folder, ())
    analyzer = Analyzer("english")
    documents = [Document(f"d{i}", text, metadata={"n": i}) for i, text in enumerate(texts)]
    with IndexWriter.open(folder) as writer:
        shape = (len(texts), writer.settings["n_terms"])
        empty = sp.csr_array(shape, dtype=np.float32)
        writer.add(documents, empty, [analyzer.words(text) for text in texts])


def _ways(retriever: SparseRetriever, folder: Path) -> dict[str, Callable[[str], Any]]:
    from sparse_ir.integrations import dspy, haystack, langchain, llama_index

    lang = langchain.SparseIRRetriever(retriever=retriever, k=HITS)
    llama = llama_index.SparseIRRetriever(retriever, similarity_top_k=HITS)
    rm = dspy.SparseIRRM(retriever, k=HITS)
    hay = haystack.SparseIRRetriever(haystack.SparseIRDocumentStore(str(folder)), top_k=HITS)
    return {
        "SparseRetriever": lambda query: retriever.search([query], HITS),
        "LangChain, invoke": lang.invoke,
        "LangChain, ours alone": lambda query: lang._get_relevant_documents(
            query, run_manager=None
        ),
        "LlamaIndex, retrieve": llama.retrieve,
        "LlamaIndex, ours alone": lambda query: llama._retrieve(_bundle(query)),
        "DSPy, call": rm,
        "Haystack, run": hay.run,
    }


def _bundle(query: str) -> Any:
    from llama_index.core.schema import QueryBundle

    return QueryBundle(query)


def _measure(ways: dict[str, Callable[[str], Any]], queries: list[str]) -> list[dict[str, Any]]:
    for way in ways.values():  # what is opened, compiled or looked up once
        for query in queries[:20]:
            way(query)
    times: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for i, query in enumerate(queries):
        ways[names[0]](query)  # words that no query had before are looked up here
        for name in names[i % len(names) :] + names[: i % len(names)]:
            way = ways[name]
            started = time.perf_counter()
            way(query)
            times[name].append((time.perf_counter() - started) * 1e3)
    plain = times["SparseRetriever"]
    return [
        {
            "way": name,
            "median_ms": median(own),
            "p95_ms": quantiles(own, n=20)[-1],
            "added_ms": median(a - b for a, b in zip(own, plain, strict=True)),
        }
        for name, own in times.items()
    ]


if __name__ == "__main__":
    main()
