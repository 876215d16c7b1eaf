"""nDCG@10 of models on dev splits, where training is chosen by; no test split is read.

    python -m bench.dev_splits DATA MODEL [MODEL ...]

Models are searched by themselves, without what ``index`` has documents take over from others and
from their titles. A row is a model; its last row counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, records
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.checkpoint import model_settings
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.training.validation import DevSet, read_dev_set, search_dev_set

SPLITS = {
    "scifact": "train",  # of this one no split was trained on
    "fairytaleqa": "dev",
    "tldr_pages": "dev",
    "medquad": "dev",
    "dclaw_headings": "dev",
}
WEIGHTS = (0.4, 0.6, 0.8, 1.0)
_ALL = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--max-queries", type=int, default=_ALL, help="of a set")
    parser.add_argument("--max-documents", type=int, default=_ALL, help="of a set")
    arguments = parser.parse_args()
    few = (arguments.max_queries, arguments.max_documents)
    sets = [
        read_dev_set(arguments.data / name, split=split, max_queries=few[0], max_documents=few[1])
        for name, split in SPLITS.items()
    ]
    for model in arguments.models:
        record = {
            "bench": "dev_splits",
            "machine": machine.describe("torch", "transformers"),
            "model": model,
            "rows": [_row(model, dev) for dev in sets],
        }
        records.add(record)
        print(table([record]), flush=True)


def table(measured: list[records.Record]) -> str:
    """Learned / anchored with the best g, and terms, as a Markdown table."""
    names = [row["set"] for row in measured[0]["rows"]]
    lines = [f"| model | {' | '.join(names)} | mean | g |", "|---" * (len(names) + 3) + "|"]
    lines.append(_line("BM25", measured[0], lambda row, g: f"{row['lexical']:.3f}"))
    for one in measured:
        lines.append(_line(one["model"], one, _cell))
    return "\n".join(lines)


def best_weight(record: records.Record) -> str:
    """The g that is best in the mean."""
    return max(map(str, WEIGHTS), key=lambda g: _mean(record, g)["anchored"])


def _line(name: str, record: records.Record, cell: Any) -> str:
    g = best_weight(record)
    cells = [cell(row, g) for row in (*record["rows"], _mean(record, g))]
    return f"| {name} | {' | '.join(cells)} | {'' if name == 'BM25' else g} |"


def _cell(row: dict[str, Any], g: str) -> str:
    anchored = row["anchored"] if isinstance(row["anchored"], float) else row["anchored"][g]
    return f"{row['learned']:.3f} / {anchored:.3f}, {row['terms']:.0f} terms"


def _mean(record: records.Record, g: str) -> dict[str, float]:
    rows = record["rows"]
    means = {k: float(np.mean([row[k] for row in rows])) for k in ("lexical", "learned", "terms")}
    return {**means, "anchored": float(np.mean([row["anchored"][g] for row in rows]))}


def _row(model: str, dev: DevSet) -> dict[str, Any]:
    found = search_dev_set(
        dev,
        load_encoder(model),
        load_encoder(model, "query"),
        anchor_weights=WEIGHTS,
        collection_idf=model_settings(model).collection_idf,
        analyzer=Analyzer(title_weight=1),
    )
    return {
        "set": dev.name,
        "queries": len(dev.queries),
        "documents": len(dev.documents),
        "lexical": round(found.lexical, 4),
        "learned": round(found.learned, 4),
        "anchored": {str(g): round(value, 4) for g, value in found.anchored.items()},
        "terms": round(found.terms, 1),
        "flops": round(found.flops, 2),
    }


if __name__ == "__main__":
    main()
