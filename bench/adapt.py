"""What ``sparse-ir adapt`` is worth on a corpus's real questions, which it does not see.

    python -m bench.adapt DATA/cranfield DATA/cisi --work FOLDER

Models and indexes are left in the work folder, where no model of an earlier run may be. A folder's
split is ``test`` unless named after a colon. Tests: paired randomisation of adapted against not,
Holm-corrected for the two modes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import folders, machine, records
from sparse_ir.evaluation.collection import Collection
from sparse_ir.evaluation.significance import difference, holm
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.experiment import Report, compare_systems
from sparse_ir.retrieval.systems import SYSTEMS
from sparse_ir.training.adapt import adapt_model, adapt_trainer

MODEL = "mini"
MODES = ("learned", "anchored")
MEASURE = "nDCG@10"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", metavar="FOLDER[:SPLIT]")
    parser.add_argument("--work", type=Path, required=True, help="where models and indexes are")
    arguments = parser.parse_args()
    for name in arguments.folders:
        record = {
            "bench": "adapt",
            "machine": machine.describe("torch", "transformers"),
            "rows": [_row(folders.read(name), arguments.work)],
        }
        records.add(record)
        print(table(record["rows"]), flush=True)


def table(rows: list[dict[str, Any]]) -> str:
    """nDCG@10 of learned / anchored search before and after, as a Markdown table."""
    lines = [
        f"| collection | questions | {MODEL} | adapted | p | terms | kept | minutes |",
        "|---" * 8 + "|",
    ]
    for row in rows:
        before, after, p = (
            " / ".join(f"{row[what][mode]:.3f}" for mode in MODES)
            for what in ("before", "after", "p")
        )
        # A row that says "interrupted" was stopped for other work meanwhile.
        minutes = "" if row.get("interrupted") else f"{row['seconds'] / 60:.0f}"
        lines.append(
            f"| {row['collection']} | {row['questions']} | {before} | {after} | {p} "
            f"| {row['before']['terms']:.0f}, {row['after']['terms']:.0f} "
            f"| {row['kept']} | {minutes} |"
        )
    return "\n".join(lines)


def _row(collection: Collection, work: Path) -> dict[str, Any]:
    output = work / f"adapted-{collection.name}"
    start = time.perf_counter()
    texts = [document for document in collection.documents() if document.content.strip()]
    done = adapt_model(adapt_trainer(texts, output, model=MODEL))
    assert done is not None  # nobody presses Ctrl-C here
    seconds = time.perf_counter() - start
    before, after = (_searched(collection, model, work) for model in (MODEL, str(output)))
    tests = holm([difference(_by_query(after, mode), _by_query(before, mode)) for mode in MODES])
    return {
        "collection": collection.name,
        "questions": len(collection.qrels),
        "before": _means(before),
        "after": _means(after),
        "p": {mode: one.p_randomisation for mode, one in zip(MODES, tests, strict=True)},
        "kept": done.kept,
        "held_out": done.measured,
        "seconds": seconds,
    }


def _searched(collection: Collection, model: str, work: Path) -> Report:
    with CachedIndexes(collection.documents, work, model=model) as indexes:
        return compare_systems(collection, {mode: SYSTEMS[mode](indexes) for mode in MODES})


def _by_query(report: Report, mode: str) -> Mapping[str, float]:
    return report.outcomes[mode].evaluation.by_query[MEASURE]


def _means(report: Report) -> dict[str, float]:
    cost = report.outcomes["learned"].cost
    assert cost is not None
    means = {mode: report.outcomes[mode].evaluation.means[MEASURE] for mode in MODES}
    return {**means, "terms": cost.terms_a_document}


if __name__ == "__main__":
    main()
