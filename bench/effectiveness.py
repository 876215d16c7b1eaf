"""nDCG@10 of the three search modes beside BM25 (bm25s) on BEIR folders.

    python -m bench.effectiveness DATA/scifact DATA/fairytaleqa:dev --work FOLDER

Indexes are built by the same call that ``sparse-ir index`` makes, and kept in the work folder. A
folder's split is ``test`` unless named after a colon. Queries without a judgement are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s
import ir_measures
import Stemmer
from ir_measures import R, nDCG

from bench import machine
from sparse_ir import Document, SparseRetriever, ingest, read_documents, read_queries

RESULTS = Path(__file__).parent / "results" / "effectiveness.jsonl"
MEASURES = [nDCG @ 10, R @ 100]
MODES = ("anchored", "learned", "lexical")
DEPTH = 100


def main() -> None:
    arguments = _arguments()
    collections = [_evaluate(name, arguments.work, arguments.model) for name in arguments.folders]
    result = {
        "bench": "effectiveness",
        "machine": machine.describe("bm25s", "ir-measures", "torch", "transformers"),
        "model": arguments.model,
        "collections": collections,
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps(result) + "\n")
    print(table(result))


def table(result: dict[str, Any]) -> str:
    """nDCG@10 as a Markdown table."""
    lines = [
        "| collection | split | queries | bm25s | lexical | learned | anchored | terms a doc |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in result["collections"]:
        scores = one["nDCG@10"]
        cells = [f"{scores[name]:.3f}" for name in ("bm25s", "lexical", "learned")]
        lines.append(
            f"| {one['collection']} | {one['split']} | {one['queries']} | {' | '.join(cells)} "
            f"| **{scores['anchored']:.3f}** | {one['learned_terms_a_document']:.0f} |"
        )
    return "\n".join(lines)


def _evaluate(name: str, work: Path, model: str) -> dict[str, Any]:
    folder, _, split = name.partition(":")
    path, split = Path(folder), split or "test"
    documents = list(read_documents(path, allow_empty=True))  # Cranfield has two without text
    qrels = _qrels(path / "qrels" / f"{split}.tsv")
    queries = {q.query_id: q.text for q in read_queries(path) if q.query_id in qrels}
    index = work / path.name
    ingest(index, documents, model=model)
    runs = {"bm25s": _bm25s_run(documents, queries)}
    with SparseRetriever.open(index) as retriever:
        for mode in MODES:
            hits = retriever.search_arrays(list(queries.values()), DEPTH, mode=mode, threads=2)
            runs[mode] = {
                query_id: dict(zip(ids, scores.tolist(), strict=False))
                for query_id, ids, scores in zip(queries, hits.ids, hits.scores, strict=True)
            }
        terms = _learned_terms(retriever)
        anchor_weight = retriever.index.settings["anchor_weight"]
    measured = {
        name: ir_measures.calc_aggregate(MEASURES, qrels, run) for name, run in runs.items()
    }
    return {
        "collection": path.name,
        "split": split,
        "documents": len(documents),
        "queries": len(queries),
        "anchor_weight": anchor_weight,
        "learned_terms_a_document": terms,
        **{
            str(measure): {name: round(values[measure], 4) for name, values in measured.items()}
            for measure in MEASURES
        },
    }


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for line in path.read_text().splitlines()[1:]:
        query_id, doc_id, grade = line.split("\t")
        qrels.setdefault(query_id, {})[doc_id] = int(grade)
    return {query_id: grades for query_id, grades in qrels.items() if any(grades.values())}


def _bm25s_run(
    documents: Sequence[Document], queries: dict[str, str]
) -> dict[str, dict[str, float]]:
    """bm25s with its own tokeniser, English stop words and stems."""
    options = {
        "stopwords": "en",
        "stemmer": Stemmer.Stemmer("english"),
        "show_progress": False,
    }
    peer = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    peer.index(bm25s.tokenize([d.content for d in documents], **options), show_progress=False)
    asked = bm25s.tokenize(list(queries.values()), **options)
    depth = min(DEPTH, len(documents))
    numbers, scores = peer.retrieve(asked, k=depth, show_progress=False)
    return {
        query_id: {documents[d].doc_id: float(s) for d, s in zip(docs, row, strict=True) if s > 0}
        for query_id, docs, row in zip(queries, numbers, scores, strict=True)
    }


def _learned_terms(retriever: SparseRetriever) -> float:
    """Mean learned terms a document, from the learned block's document frequencies."""
    import numpy as np

    index = retriever.index
    frequencies = index.document_frequencies(np.arange(index.n_terms, dtype=np.uint32))
    return float(frequencies.sum() / len(index))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", metavar="FOLDER[:SPLIT]")
    parser.add_argument("--work", type=Path, required=True, help="where indexes are kept")
    parser.add_argument("--model", default="mini")
    return parser.parse_args()


if __name__ == "__main__":
    main()
