"""What it gains that titles count (``index --title-weight 2``) over titles as text like any other.

    python -m bench.titles DATA/scifact:train DATA/medquad:dev --work FOLDER --max-documents 1500

Indexes are left in the work folder and reused. A folder's split is ``test`` unless named after a
colon; with ``--max-documents`` a larger collection is sampled, all judged documents among it.
Tests: paired randomisation, Holm-corrected for the three modes. The last row of a split counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, records
from sparse_ir.evaluation.evaluate import evaluate
from sparse_ir.evaluation.significance import difference, holm
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.retriever import SparseRetriever
from sparse_ir.training.validation import DevSet, read_dev_set

MODES = ("lexical", "learned", "anchored")
MEASURE = "nDCG@10"
_ALL = 1_000_000
_WHEN = ("before", "after")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", metavar="FOLDER[:SPLIT]")
    parser.add_argument("--work", type=Path, required=True, help="where indexes are kept")
    parser.add_argument("--max-documents", type=int, default=_ALL)
    arguments = parser.parse_args()
    for name in arguments.folders:
        folder, _, split = name.partition(":")
        sample = read_dev_set(
            Path(folder),
            split=split or "test",
            max_queries=_ALL,
            max_documents=arguments.max_documents,
        )
        rows = [_row(sample, split or "test", arguments.work)]
        versions = machine.describe("ir-measures", "torch", "transformers")
        records.add({"bench": "titles", "machine": versions, "rows": rows})
        print(table(rows), flush=True)


def table(rows: list[dict[str, Any]]) -> str:
    """nDCG@10 of titles as text and of titles that count, as a Markdown table; dev splits' mean."""
    lines = [
        f"| collection | split | documents | questions | {' | '.join(MODES)} | terms |",
        "|---" * (5 + len(MODES)) + "|",
    ]
    for row in rows:
        cells = [
            f"{row['before'][mode]:.3f} -> {row['after'][mode]:.3f}, p {row['p'][mode]:.3f}"
            for mode in MODES
        ]
        lines.append(
            f"| {row['collection']} | {row['split']} | {row['documents']} | {row['questions']} "
            f"| {' | '.join(cells)} "
            f"| {row['before']['terms']:.0f} -> {row['after']['terms']:.0f} |"
        )
    dev = [row for row in rows if row["split"] != "test"]
    if len(dev) > 1:
        means = [
            " -> ".join(f"{np.mean([row[when][m] for row in dev]):.3f}" for when in _WHEN)
            for m in MODES
        ]
        lines.append(f"| mean | not test | | | {' | '.join(means)} | |")
    return "\n".join(lines)


def _row(sample: DevSet, split: str, work: Path) -> dict[str, Any]:
    before, after = (_searched(sample, work, title_weight) for title_weight in (1, 2))
    tests = holm([difference(after["by_query"][m], before["by_query"][m]) for m in MODES])
    return {
        "collection": sample.name,
        "split": split,
        "documents": len(sample.documents),
        "questions": len(sample.queries),
        "before": before["means"],
        "after": after["means"],
        "p": {mode: one.p_randomisation for mode, one in zip(MODES, tests, strict=True)},
        "seconds": [before["seconds"], after["seconds"]],
    }


def _searched(sample: DevSet, work: Path, title_weight: int) -> dict[str, Any]:
    path = work / f"{sample.name}-{len(sample.documents)}-{title_weight}"
    start = time.perf_counter()
    report = ingest(path, sample.documents, title_weight=title_weight, batch_size=32)
    seconds = time.perf_counter() - start if report.added == len(sample.documents) else None
    with SparseRetriever.open(path) as retriever:
        by_query = {mode: _by_query(sample, retriever, mode) for mode in MODES}
        index = retriever.index
        frequencies = index.document_frequencies(np.arange(index.n_terms, dtype=np.uint32))
        values = {mode: float(np.mean([*one.values()])) for mode, one in by_query.items()}
        return {
            "by_query": by_query,
            "means": {**values, "terms": float(frequencies.sum() / len(index))},
            "seconds": seconds,
        }


def _by_query(sample: DevSet, retriever: SparseRetriever, mode: Any) -> Mapping[str, float]:
    hits = retriever.search_arrays([*sample.queries.values()], 10, mode=mode)
    return evaluate(hits.run([*sample.queries]), sample.qrels, [MEASURE]).by_query[MEASURE]


if __name__ == "__main__":
    main()
