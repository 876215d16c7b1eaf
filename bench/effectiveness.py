"""nDCG@10 and more of all retrievers on BEIR folders: what ``sparse-ir eval`` measures, kept.

    python -m bench.effectiveness DATA/scifact DATA/fairytaleqa:dev --work FOLDER

Indexes are kept in the work folder and reused. A folder's split is ``test`` unless named after a
colon. ``bm25`` is tantivy's, an engine that shares no code with ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import folders, machine, records
from sparse_ir.retrieval.cached import CachedIndexes
from sparse_ir.retrieval.experiment import compare_systems
from sparse_ir.retrieval.systems import SYSTEMS

SHOWN = ("bm25", "lexical", "learned", "anchored")


def main() -> None:
    arguments = folders.arguments(__doc__)
    collections = [_evaluate(name, arguments.work, arguments.model) for name in arguments.folders]
    result = {
        "bench": "effectiveness",
        "machine": machine.describe("ir-measures", "tantivy", "torch", "transformers"),
        "model": arguments.model,
        "collections": collections,
    }
    records.add(result)
    print(table(result))


def table(result: dict[str, Any]) -> str:
    """nDCG@10 as a Markdown table, with what the lexical and the learned terms need for it."""
    lines = [
        f"| collection | split | queries | {' | '.join(SHOWN)} | terms a doc | FLOPS |",
        "|---" * (5 + len(SHOWN)) + "|",
    ]
    for one in result["collections"]:
        systems = one["systems"]
        scores = [f"{systems[name]['measures']['nDCG@10']:.3f}" for name in SHOWN]
        lexical, learned = (systems[name]["cost"] for name in ("lexical", "learned"))
        lines.append(
            f"| {one['collection']} | {one['split']} | {one['queries']} | {' | '.join(scores)} "
            f"| {lexical['terms_a_document']:.0f} + {learned['terms_a_document']:.0f} "
            f"| {lexical['flops']:.2f} + {learned['flops']:.2f} |"
        )
    return "\n".join(lines)


def _evaluate(name: str, work: Path, model: str) -> dict[str, Any]:
    collection = folders.read(name)
    with CachedIndexes(collection.documents, work, model=model) as indexes:
        systems = {system: SYSTEMS[system](indexes) for system in SHOWN}
        report = compare_systems(
            collection, systems, n_documents=indexes.corpus[1], baseline="bm25", threads=2
        )
        anchor_weight = indexes.sparse.index.settings["anchor_weight"]
    return {**report.record(), "anchor_weight": anchor_weight}


if __name__ == "__main__":
    main()
